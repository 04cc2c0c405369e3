//! Credentials that belong to one principal: each caller's own is presented, also where sessions are shared.

use serde_json::json;
use toolgate_model::{CredentialScope, Era, SessionSharing};

use crate::rig::{ANYTHING, TOKEN, TestRig, exposed};

#[tokio::test]
async fn each_principal_is_presented_with_its_own_credential() {
    let rig = TestRig::start().await;
    for id in ["old", "new"] {
        rig.edit_server(id, |server| {
            server.sharing = SessionSharing::Shared;
            server.credential.as_mut().unwrap().scope = CredentialScope::PerPrincipal;
        });
    }
    let (alice, carol) = (
        rig.client_with("everything", TOKEN),
        rig.client_with("everything", ANYTHING),
    );
    for era in [Era::Legacy, Era::Modern] {
        let tool = exposed(era, "echo");
        // Alternating, so that a credential remembered from the call before would be found.
        for _ in 0..3 {
            for (client, user) in [(&alice, "alice"), (&carol, "carol")] {
                let called = client.call(Era::Modern, json!(1), &tool, "x").await;
                let frame = called.whole().await.json();
                assert!(frame["result"]["isError"] != true, "{frame}");
                let (headers, _) = rig.server(era).last("tools/call").unwrap();
                let presented = headers["authorization"].to_str().unwrap();
                assert_eq!(
                    presented,
                    format!("Bearer of default/user:{user}"),
                    "{era:?}"
                );
            }
        }
        let sessions = if era == Era::Legacy { 2 } else { 0 };
        assert_eq!(rig.server(era).count("initialize"), sessions, "{era:?}");
    }
}
