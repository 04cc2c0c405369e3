//! Tests of the events of changes.

use serde_json::json;

use super::changes;

#[test]
fn changes_and_probes_name_their_object() {
    let versions = json!([
        { "author": "organizations/acme/tokens/ci", "changes": ["create server acme/git"] },
        { "author": "system/prober", "changes": ["probe of server acme/git: no connection: refused"] },
        { "author": "system", "changes": ["create token acme/cli-0123456789ab"] },
    ]);
    let events = changes(&versions);
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            (
                event.type_name,
                event.object.as_str(),
                event.message.as_str(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "Change",
                "server/git",
                "create, by organizations/acme/tokens/ci"
            ),
            ("Probe", "server/git", "no connection: refused"),
        ]
    );
}
