//! A panic at any place that serves a request: that request alone fails, and the process serves the others.

use std::{sync::Arc, time::Duration};

use http::Method;
use serde_json::{Value, json};
use tokio::time::timeout;
use toolgate_model::Era;

use crate::{
    client::{TestClient, TestResponseStream},
    fault_plan::{FaultPlan, silence_injected_panics},
    rig::{HANG_GUARD, TestRig, exposed},
};

/// Kinds of requests, each of which is made once for each place that it visits.
const KINDS: [RequestKind; 11] = [
    RequestKind::Call(Era::Modern, Era::Modern, "echo"),
    RequestKind::Call(Era::Modern, Era::Legacy, "echo"),
    RequestKind::Call(Era::Legacy, Era::Modern, "stream"),
    RequestKind::Call(Era::Legacy, Era::Legacy, "stream"),
    RequestKind::Call(Era::Modern, Era::Legacy, "ask"),
    RequestKind::Call(Era::Modern, Era::Modern, "fail"),
    RequestKind::Method(Era::Modern, "tools/list"),
    RequestKind::Method(Era::Legacy, "ping"),
    RequestKind::Initialize,
    RequestKind::Listen,
    RequestKind::SessionStream,
];

/// Least number of places at which a panic happened.
const PLACES: usize = 20;

/// Visits of one request; more mean that a visit is repeated without end.
const MAX_VISITS: usize = 80;

/// Time in which a stream that stays open is expected to have visited all places.
const OPENING: Duration = Duration::from_millis(100);

/// Request of a client.
#[derive(Debug, Clone, Copy)]
enum RequestKind {
    /// Call of a tool: era of the client, era of the server, tool.
    Call(Era, Era, &'static str),
    /// Request without parameters.
    Method(Era, &'static str),
    /// New session, and its end.
    Initialize,
    /// Subscription of a modern client.
    Listen,
    /// Stream of a session.
    SessionStream,
}

impl RequestKind {
    /// Makes the request and reads its answer. Streams that stay open are dropped after a while.
    async fn make(self, mut client: TestClient) {
        match self {
            Self::Call(by, era, tool) => {
                let tool = exposed(era, tool);
                let called = client.call(by, json!("p"), &tool, "x").await;
                check_answer(called).await;
            }
            Self::Method(by, method) => {
                let message = json!({"jsonrpc": "2.0", "id": "p", "method": method});
                check_answer(client.ask(by, message).await).await;
            }
            Self::Initialize => {
                client.session = None;
                client.initialize().await;
                let session = client.session.clone().unwrap();
                let headers = [("mcp-session-id", &*session)];
                client.raw(Method::DELETE, &headers, "").await.whole().await;
            }
            Self::Listen => {
                let message = json!({"jsonrpc": "2.0", "id": "p", "method": "subscriptions/listen",
                    "params": {"notifications": {"toolsListChanged": true}}});
                let stream = client.modern(message).await;
                let _open = timeout(OPENING, stream.messages()).await;
            }
            Self::SessionStream => {
                let session = client.session.clone().unwrap();
                let headers = [
                    ("accept", "text/event-stream"),
                    ("mcp-session-id", &*session),
                    ("mcp-protocol-version", &*client.version),
                ];
                let stream = client.raw(Method::GET, &headers, "").await;
                let _open = timeout(OPENING, stream.messages()).await;
            }
        }
    }
}

/// Asserts that an answer is one of the request, or an internal error.
async fn check_answer(stream: TestResponseStream) {
    let status = stream.status.as_u16();
    let answer: Value = stream.last().await;
    assert!(status == 200 || status == 500, "{status}: {answer}");
    assert!(answer["id"] == "p" || answer["id"].is_null(), "{answer}");
    if status == 500 {
        assert_eq!(answer["error"]["code"], -32603, "{answer}");
    }
}

/// Calls a tool in a session that was there before, and as a modern client.
async fn check_others(client: &TestClient) {
    for by in [Era::Legacy, Era::Modern] {
        for era in [Era::Legacy, Era::Modern] {
            let tool = exposed(era, "echo");
            let called = client.call(by, json!("w"), &tool, "well");
            let frame = called.await.whole().await.json();
            assert_eq!(frame["result"]["content"][0]["text"], "well", "{frame}");
        }
    }
}

#[tokio::test]
async fn a_panic_at_any_of_twenty_places_fails_only_its_request() {
    silence_injected_panics();
    let faults = Arc::<FaultPlan>::default();
    let rig = TestRig::with_faults(Arc::clone(&faults)).await;
    let mut witness = rig.client();
    witness.initialize().await;
    check_others(&witness).await;
    let mut client = rig.client();
    client.capabilities = json!({"elicitation": {}});
    client.initialize().await;
    let (mut requests, mut lost) = (0, 0);
    for kind in KINDS {
        let mut visit = 0;
        loop {
            visit += 1;
            assert!(visit < MAX_VISITS, "{kind:?} visits the same place again");
            faults.arm(visit);
            // A connection that ends without an answer is a panic of this client.
            let made = tokio::spawn(kind.make(client.clone()));
            let made = timeout(HANG_GUARD, made).await;
            let made = made.unwrap_or_else(|_| panic!("{kind:?}, visit {visit}: no answer"));
            let happened = faults.disarm();
            assert!(happened || made.is_ok(), "{kind:?} fails without a panic");
            requests += 1;
            lost += usize::from(made.is_err());
            check_others(&witness).await;
            if !happened {
                break;
            }
        }
    }
    let places = faults.places();
    println!(
        "{requests} requests, {lost} without an answer, {} places: {places:#?}",
        places.len()
    );
    assert!(
        places.len() >= PLACES,
        "{} places: {places:#?}",
        places.len()
    );
}
