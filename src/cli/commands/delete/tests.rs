//! Tests of dry runs of deletions.

use serde_json::json;

use super::{DeletedObjects, without_dependents};
use crate::cli::output::error::{ApiErrorReason, CliError, CliErrorKind};

#[test]
fn a_dry_run_leaves_out_dependents_that_the_same_command_deletes() {
    let mut fault = CliError::new(CliErrorKind::Conflict, "it is used");
    fault.reason = ApiErrorReason::InUse;
    let users = ["gateways/a", "gateways/b"].map(|it| format!("organizations/default/{it}"));
    fault.dependents = users.to_vec();
    let mut deleted = DeletedObjects::default();
    deleted.add(&users[0]);
    let checked = |fault: &CliError, deleted: &DeletedObjects| {
        without_dependents(Err(fault.clone()), |user| deleted.contains(user))
    };
    assert!(checked(&fault, &deleted).is_err());
    deleted.add(&users[1]);
    assert!(checked(&fault, &deleted).is_ok());
    let other = CliError::new(CliErrorKind::Conflict, "it was changed");
    assert!(checked(&other, &deleted).is_err());
}

#[test]
fn a_token_that_is_deleted_with_its_gateway_needs_no_other_one() {
    let token =
        |id: &str| json!({ "metadata": { "name": format!("organizations/default/tokens/{id}") } });
    let tokens = [token("gone"), token("stays")];
    let mut deleted = DeletedObjects::default();
    deleted.add("organizations/default/gateways/stays");
    deleted.add("organizations/default/tokens/gone");
    assert_eq!(deleted.without_deleted(&tokens), [&tokens[1]]);
}
