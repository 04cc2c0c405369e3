//! Tests of the order of deletions.

use std::collections::BTreeMap;

use serde_json::json;

use super::{ObjectToDelete, split};
use crate::cli::client::kind::{GATEWAY, TOKEN};

#[test]
fn the_token_of_the_command_is_deleted_last_and_a_working_bootstrap_token_stays() {
    let name = |id: &str| format!("organizations/default/tokens/{id}");
    let object = |id: &str| ObjectToDelete {
        kind: &TOKEN,
        name: name(id),
    };
    let gateway = || ObjectToDelete {
        kind: &GATEWAY,
        name: "organizations/default/gateways/g".to_owned(),
    };
    let record = |hint: &str, system: bool, revoked: bool| json!({ "status": { "hint": hint, "system": system, "revoked": revoked } });
    let tokens = BTreeMap::from([
        (name("bootstrap"), record("tg_boot", true, false)),
        (name("bootstrap-old"), record("tg_old", true, true)),
        (name("mine"), record("tg_mine", false, false)),
        (name("other"), record("tg_other", false, false)),
    ]);
    let objects = || {
        let ids = ["bootstrap", "bootstrap-old", "mine", "other", "missing"];
        let mut objects: Vec<_> = ids.map(object).into();
        objects.push(gateway());
        objects
    };
    let ids = |objects: &[ObjectToDelete]| -> Vec<String> {
        let ids = objects.iter().filter_map(|it| it.name.rsplit('/').next());
        ids.map(str::to_owned).collect()
    };
    let (bootstrap, ordered) = split(objects(), &tokens, "tg_mine_and_the_rest\n");
    assert_eq!(bootstrap, [name("bootstrap")]);
    assert_eq!(
        ids(&ordered),
        ["bootstrap-old", "other", "missing", "g", "mine"]
    );
    let (_, unordered) = split(objects(), &tokens, "");
    assert_eq!(
        ids(&unordered),
        ["bootstrap-old", "mine", "other", "missing", "g"]
    );
}
