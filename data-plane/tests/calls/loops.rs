//! Loops of gateways: requests to servers name the deployments that they have passed, and a request that has passed this one
//! is refused.

use http::Method;
use serde_json::{Value, json};
use toolgate_data_core::Refusal;
use toolgate_mcp::cdn_loop::{CDN_LOOP, CdnId, CdnLoopError, MAX_IDS};
use toolgate_model::Era;

use crate::{
    client::{TestClient, TestResponse},
    rig::{DEPLOYMENT_KEY, TestRig, exposed},
};

const ERAS: [Era; 2] = [Era::Legacy, Era::Modern];

fn own() -> String {
    CdnId::derive(&DEPLOYMENT_KEY).to_string()
}

async fn client(rig: &TestRig, era: Era) -> TestClient {
    let mut client = rig.client();
    if era == Era::Legacy {
        client.initialize().await;
    }
    client
}

/// Calls `echo` of the server of this era.
async fn echo(client: &TestClient, era: Era, server: Era) -> TestResponse {
    let tool = exposed(server, "echo");
    client.call(era, json!(1), &tool, "x").await.whole().await
}

#[tokio::test]
async fn every_request_to_a_server_names_the_deployments_that_it_has_passed_in_one_line() {
    let rig = TestRig::start().await;
    let cases: [(Vec<(&'static str, &'static str)>, String); 3] = [
        (vec![], own()),
        (
            vec![(CDN_LOOP, "other; loops=1")],
            format!("other; loops=1, {}", own()),
        ),
        (
            vec![(CDN_LOOP, "first"), (CDN_LOOP, "second,third")],
            format!("first, second,third, {}", own()),
        ),
    ];
    for era in ERAS {
        let mut client = client(&rig, era).await;
        for (sent, expected) in &cases {
            client.extra_headers.clone_from(sent);
            for server in ERAS {
                assert_eq!(echo(&client, era, server).await.status, 200);
                let (headers, _) = rig.server(server).last("tools/call").unwrap();
                let lines: Vec<_> = headers.get_all(CDN_LOOP).iter().collect();
                assert_eq!(lines, [expected.as_str()], "{era:?} {server:?}");
            }
        }
    }
    let (headers, _) = rig.legacy.last("initialize").unwrap();
    assert_eq!(headers[CDN_LOOP], own(), "a session that is opened");
}

#[tokio::test]
async fn a_request_that_has_passed_this_deployment_is_refused_with_the_cause_and_reaches_no_server()
{
    let rig = TestRig::start().await;
    let looped: &'static str = format!("other, {}", own()).leak();
    for era in ERAS {
        let mut client = client(&rig, era).await;
        client.extra_headers = vec![(CDN_LOOP, looped)];
        for server in ERAS {
            let refused = echo(&client, era, server).await;
            assert_eq!(refused.status, 508, "{refused:?}");
            let error = refused.json()["error"].clone();
            assert_eq!(error["data"]["toolgate/refusal"], "gateway_loop");
            let text = error["message"].as_str().unwrap();
            let expected = Refusal::Loop(CdnLoopError::PassedBefore).to_string();
            assert_eq!(text, expected, "{error}");
        }
        for method in [Method::GET, Method::DELETE] {
            let refused = client.raw(method, &[], "").await.whole().await;
            assert_eq!(refused.status, 508, "{refused:?}");
        }
    }
    for server in [&rig.legacy, &rig.modern] {
        assert_eq!(server.calls("echo"), 0);
    }
}

#[tokio::test]
async fn a_chain_of_other_deployments_is_served_up_to_its_limit() {
    let rig = TestRig::start().await;
    let mut client = rig.client();
    for (count, expected) in [(MAX_IDS - 1, 200), (MAX_IDS, 508)] {
        let chain: &'static str = vec!["other"; count].join(", ").leak();
        client.extra_headers = vec![(CDN_LOOP, chain)];
        let answer = echo(&client, Era::Modern, Era::Modern).await;
        assert_eq!(answer.status, expected, "{answer:?}");
        let reason = answer.json()["error"]["data"]["toolgate/refusal"].clone();
        match expected {
            200 => assert_eq!(reason, Value::Null),
            _ => assert_eq!(reason, "gateway_chain"),
        }
    }
}
