//! Check of the identity providers: whether their keys can be fetched.

use serde_json::Value;

use crate::cli::{
    client::{admin::AdminClient, kind::IDENTITY_PROVIDER},
    output::{
        cell,
        error::{ApiErrorReason, CliError, CliErrorKind},
    },
};

use super::DoctorFinding;

/// Reports each identity provider. A token without the right to read them gets no finding, and neither does a control plane of an
/// earlier version.
pub(super) async fn check(admin: &mut AdminClient) -> Result<Vec<DoctorFinding>, CliError> {
    match admin.list(&IDENTITY_PROVIDER).await {
        Ok(providers) => Ok(providers.iter().map(finding).collect()),
        Err(fault) if fault.kind == CliErrorKind::Denied => Ok(Vec::new()),
        Err(fault) if fault.reason == ApiErrorReason::Unimplemented => Ok(Vec::new()),
        Err(fault) => Err(fault),
    }
}

/// Returns the finding about one provider: whether it has keys, and whether they can be fetched.
pub(super) fn finding(provider: &Value) -> DoctorFinding {
    let id = cell::id(provider, "/metadata/name");
    let subject = format!("identity provider {id}");
    let count = |list: &str| {
        let keys = provider.pointer(list).and_then(Value::as_array);
        keys.map_or(0, Vec::len)
    };
    let (listed, fetched) = (count("/spec/keys"), count("/status/keys"));
    let problem = provider["status"]["problem"].as_str().unwrap_or_default();
    let keys = |number| cell::counted(number, "key", "keys");
    if listed > 0 {
        return DoctorFinding::fine(subject, format!("{} listed", keys(listed)));
    }
    let fix = format!(
        "check that the control plane reaches it, and the issuer: `toolgate describe idp {id}`; `jwksUrl` or `keys` give the keys \
         otherwise"
    );
    match (problem, fetched) {
        ("", 0) => DoctorFinding::warning(
            subject,
            "its keys have not been fetched yet",
            "wait a moment",
        ),
        ("", fetched) => DoctorFinding::fine(subject, format!("{} fetched", keys(fetched))),
        (problem, 0) => DoctorFinding::broken(
            subject,
            format!("has no keys, so that no token is accepted: {problem}"),
            fix,
        ),
        (problem, fetched) => {
            let since = cell::age(provider, "/status/problemSinceTime", crate::cli::now());
            let what = format!(
                "its keys could not be fetched for {since}; {} of before may be used for 24 hours: {problem}",
                keys(fetched)
            );
            DoctorFinding::warning(subject, what, fix)
        }
    }
}
