//! A store that is restored from a copy: objects come back, and revocations that came after the copy are not lost.
#![expect(clippy::unwrap_used, reason = "scenarios")]

use std::fs;

use anyhow::ensure;
use serde_json::json;
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

async fn status(up: &ToolgateUp, token: &str) -> u16 {
    let agent = Agent::modern(&up.url("tools"), token);
    let reply = agent.request("tools/list", json!({})).await.unwrap();
    reply.status.as_u16()
}

async fn wait_for_status(up: &ToolgateUp, token: &str, expected: u16) {
    eventually("the token has this status", HANG_GUARD, || async {
        let found = status(up, token).await;
        ensure!(found == expected, "{found} instead of {expected}");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn se_08_a_token_that_was_revoked_after_the_copy_stays_revoked_when_the_store_is_restored() {
    let sandbox = Sandbox::new("restored").unwrap();
    let server = UpstreamServer::fixture(&sandbox, "fixture", &[])
        .await
        .unwrap();
    let mut up = ToolgateUp::start(&sandbox, &["--no-demo"]).await.unwrap();
    let cli = up.cli().unwrap();
    let kept = cli.expose("tools", server.url(), "single").await.unwrap();
    let flags = ["--gateway", "tools"];
    let revoked = cli.token("revoked", &flags).await.unwrap();
    for token in [&kept, &revoked] {
        wait_for_status(&up, token, 200).await;
    }
    let (store, copy) = (up.data().join("store.redb"), sandbox.join("copy.redb"));
    up.process().signal("TERM").unwrap();
    up.process().wait_for_exit(HANG_GUARD).await.unwrap();
    fs::copy(&store, &copy).unwrap();

    up.restart(&["--no-demo"]).await.unwrap();
    cli.run(&["token", "revoke", "revoked"]).await.unwrap();
    let later = cli.token("later", &flags).await.unwrap();
    wait_for_status(&up, &later, 200).await;
    wait_for_status(&up, &revoked, 401).await;
    up.process().signal("TERM").unwrap();
    up.process().wait_for_exit(HANG_GUARD).await.unwrap();
    fs::copy(&copy, &store).unwrap();

    up.restart(&["--no-demo", "--new-epoch"]).await.unwrap();
    // The restored state is served: a token that was created after the copy is gone.
    wait_for_status(&up, &later, 401).await;
    wait_for_status(&up, &kept, 200).await;
    for _ in 0..2 {
        assert_eq!(status(&up, &revoked).await, 401);
        // The revocations are on the disk of the proxy.
        up.restart(&["--no-demo"]).await.unwrap();
        wait_for_status(&up, &kept, 200).await;
    }
}
