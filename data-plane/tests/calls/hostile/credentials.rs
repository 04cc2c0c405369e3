//! Credentials of principals that are changed and deleted while calls are made with them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use tokio::task::JoinSet;
use toolgate_model::{CredentialScope, Era, SessionSharing};

use crate::{
    client::TestClient,
    rig::{ANYTHING, NARROW_TOKEN, TOKEN, TestRig, exposed, sized},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

/// Users with their tokens. The last one may call the tool of the legacy server only.
const USERS: [(&str, &str); 3] = [("alice", TOKEN), ("carol", ANYTHING), ("bob", NARROW_TOKEN)];

/// Principal whose credential is deleted.
const DELETED: &str = "default/user:alice";

/// Calls as a user until `ended`, each with the user in its argument. Returns the number of calls that succeeded.
async fn call_until(client: TestClient, user: &str, ended: Arc<AtomicBool>) -> usize {
    let mut succeeded = 0;
    while !ended.load(Ordering::Relaxed) {
        for server in ERAS {
            if user == "bob" && server == Era::Modern {
                continue;
            }
            let tool = exposed(server, "echo");
            let answer = client.call(Era::Modern, json!(1), &tool, user).await;
            let answer = answer.whole().await.json();
            if answer["result"]["isError"] == true {
                continue;
            }
            assert_eq!(answer["result"]["content"][0]["text"], user, "{answer}");
            succeeded += 1;
        }
    }
    succeeded
}

/// Makes the servers use credentials of each principal, at this revision.
fn set_revision(rig: &TestRig, revision: u64) {
    for id in ["old", "new"] {
        rig.edit_server(id, |server| {
            server.sharing = SessionSharing::Shared;
            let credential = server.credential.as_mut().unwrap();
            credential.scope = CredentialScope::PerPrincipal;
            credential.revision = revision;
        });
    }
}

/// User and presented credential of each call at both servers since the last look.
fn presented(rig: &TestRig) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for server in [&rig.legacy, &rig.modern] {
        let mut seen = server.seen.lock().unwrap();
        for (headers, message) in seen.requests.drain(..) {
            if message["method"] == "tools/call" {
                let user = message["params"]["arguments"]["text"].as_str().unwrap();
                let credential = headers["authorization"].to_str().unwrap();
                all.push((user.to_owned(), credential.to_owned()));
            }
        }
    }
    all
}

/// Returns the number of calls, each with a credential of its own user.
fn assert_own_credentials(calls: &[(String, String)]) -> usize {
    for (user, credential) in calls {
        let own = format!("Bearer of default/user:{user}");
        let rest = credential.strip_prefix(&own);
        let rest = rest.unwrap_or_else(|| panic!("{user} was {credential}"));
        assert!(rest.is_empty() || rest.starts_with(" at "), "{credential}");
    }
    calls.len()
}

/// Three users call without a pause. Meanwhile all credentials are changed again and again, and the credential of one user is
/// deleted and made again. No call has a credential of another user, and none is made for a user without one.
#[tokio::test(flavor = "multi_thread")]
async fn ti_08_no_call_uses_the_credential_of_another_while_credentials_change_and_are_deleted() {
    let rig = TestRig::start().await;
    set_revision(&rig, 1);
    let ended = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for (user, token) in USERS {
        for _ in 0..2 {
            let client = rig.client_with("everything", token);
            tasks.spawn(call_until(client, user, Arc::clone(&ended)));
        }
    }
    let wanted = sized(600, 100_000);
    let (mut made, mut revision) = (0, 1);
    let without = Arc::clone(&rig.source.without_credential);
    while made < wanted || revision < 8 {
        revision += 1;
        set_revision(&rig, revision);
        if revision % 3 == 0 {
            without.lock().unwrap().insert(DELETED.to_owned());
            // Calls that have got the credential before it was deleted end; later ones are not made.
            let alice = rig.client();
            for server in ERAS {
                let tool = exposed(server, "echo");
                let answer = alice.call(Era::Modern, json!(1), &tool, "alice").await;
                let answer = answer.whole().await.json();
                assert_eq!(answer["result"]["isError"], true, "{answer}");
            }
            without.lock().unwrap().clear();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        made += assert_own_credentials(&presented(&rig));
    }
    ended.store(true, Ordering::Relaxed);
    let mut succeeded = 0;
    while let Some(calls) = tasks.join_next().await {
        succeeded += calls.unwrap();
    }
    made += assert_own_credentials(&presented(&rig));
    assert!(succeeded > wanted / 2, "{succeeded} of {made}");
    // The last credential is the one in use.
    let client = rig.client();
    for server in ERAS {
        let tool = exposed(server, "echo");
        let answer = client.call(Era::Modern, json!(1), &tool, "alice").await;
        answer.whole().await;
    }
    for (_, credential) in presented(&rig) {
        let last = format!("Bearer of {DELETED} at {revision}");
        assert_eq!(credential, last);
    }
}
