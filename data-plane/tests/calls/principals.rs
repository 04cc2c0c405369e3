//! Tokens that stand for no user and no team are principals of their own, and a restricted token gains nothing from a
//! token of the same principal.

use http::Method;
use serde_json::{Value, json};
use toolgate_model::{AllowList, Era, TokenSubject};

use crate::{
    client::TestClient,
    resource_subscriptions,
    rig::{ANYTHING, NARROW_TOKEN, TOKEN, TestRig, exposed, slug},
};

/// Rig whose tokens stand for no user and no team.
async fn anonymous_tokens() -> TestRig {
    let rig = TestRig::start().await;
    for token in ["wide", "narrow", "anything"] {
        rig.edit_token(token, |token| token.subject = TokenSubject::Organization);
    }
    rig
}

async fn session_of(rig: &TestRig, token: &str) -> TestClient {
    let mut client = rig.client_with("everything", token);
    client.capabilities = json!({"elicitation": {}});
    client.initialize().await;
    client
}

async fn post(client: &TestClient, message: Value) -> u16 {
    client.legacy(message).await.whole().await.status.as_u16()
}

fn ping() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})
}

fn accept(question: &Value, n: u32) -> Value {
    json!({"jsonrpc": "2.0", "id": question["id"],
        "result": {"action": "accept", "content": {"n": n}}})
}

/// Asserts that `stranger` finds no session under the id of `owner`, whose session stays open.
async fn assert_closed_to(owner: &TestClient, mut stranger: TestClient) {
    stranger.session.clone_from(&owner.session);
    assert_eq!(post(&stranger, ping()).await, 404);
    let session = owner.session.clone().unwrap();
    let stream = [
        ("mcp-session-id", &*session),
        ("accept", "text/event-stream"),
        ("last-event-id", "1"),
    ];
    let opened = stranger.raw(Method::GET, &stream, "").await;
    assert_eq!(opened.status, 404);
    let ended = stranger.raw(Method::DELETE, &stream[..1], "").await;
    assert_eq!(ended.status, 404);
    assert_eq!(post(owner, ping()).await, 200);
}

#[tokio::test]
async fn tokens_without_user_and_team_share_no_session_with_a_server() {
    let rig = anonymous_tokens().await;
    let clients = [TOKEN, ANYTHING, NARROW_TOKEN].map(|token| rig.client_with("everything", token));
    for client in clients.iter().chain(&clients) {
        let tool = exposed(Era::Legacy, "echo");
        let called = client.call(Era::Modern, json!(1), &tool, "x").await;
        let frame = called.whole().await.json();
        assert!(frame["result"]["isError"] != true, "{frame}");
    }
    assert_eq!(rig.legacy.count("initialize"), 3);
}

#[tokio::test]
async fn a_token_without_user_and_team_neither_uses_nor_ends_the_session_of_another() {
    let rig = anonymous_tokens().await;
    let owner = session_of(&rig, TOKEN).await;
    for token in [ANYTHING, NARROW_TOKEN] {
        assert_closed_to(&owner, rig.client_with("everything", token)).await;
    }
}

#[tokio::test]
async fn a_token_without_user_and_team_does_not_answer_the_elicitation_of_another() {
    let rig = anonymous_tokens().await;
    let (asked, other) = (
        session_of(&rig, TOKEN).await,
        session_of(&rig, ANYTHING).await,
    );
    let tool = exposed(Era::Legacy, "ask");
    let mut stream = asked.call(Era::Legacy, json!("c"), &tool, "x").await;
    let question = stream.message().await.unwrap();
    assert_eq!(post(&other, accept(&question, 66)).await, 202);
    let mut stolen = other;
    stolen.session.clone_from(&asked.session);
    assert_eq!(post(&stolen, accept(&question, 66)).await, 404);
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
    assert_eq!(post(&asked, accept(&question, 1)).await, 202);
    let last = stream.message().await.unwrap();
    assert!(!last.to_string().contains("66"), "{last}");
    assert_eq!(rig.legacy.responses().len(), 1);
}

#[tokio::test]
async fn a_restricted_token_neither_uses_nor_ends_a_session_of_its_principal_with_more_tools() {
    let rig = TestRig::start().await;
    rig.edit_token("narrow", |token| {
        token.subject = TokenSubject::User(slug("alice"));
    });
    let owner = session_of(&rig, TOKEN).await;
    assert_closed_to(&owner, rig.client_with("everything", NARROW_TOKEN)).await;
    // The other way round, the session conveys nothing that the token may not see.
    let narrow = session_of(&rig, NARROW_TOKEN).await;
    let mut wide = rig.client();
    wide.session.clone_from(&narrow.session);
    assert_eq!(post(&wide, ping()).await, 200);
    // The token that opened a session keeps it when its tools change.
    rig.edit_token("narrow", |token| {
        token.tools = AllowList::of(vec![exposed(Era::Modern, "echo")]);
    });
    assert_eq!(post(&narrow, ping()).await, 200);
}

#[tokio::test]
async fn an_answer_is_dropped_once_the_grant_no_longer_allows_the_call() {
    let rig = TestRig::start().await;
    let client = session_of(&rig, TOKEN).await;
    let tool = exposed(Era::Legacy, "ask");
    let mut stream = client.call(Era::Legacy, json!("c"), &tool, "x").await;
    let question = stream.message().await.unwrap();
    let allow = |tools| rig.edit_token("wide", |token| token.tools = tools);
    allow(AllowList::of(vec![exposed(Era::Legacy, "echo")]));
    assert_eq!(post(&client, accept(&question, 66)).await, 202);
    assert_eq!(rig.legacy.responses(), [json!(null); 0]);
    allow(AllowList::All);
    assert_eq!(post(&client, accept(&question, 1)).await, 202);
    let last = stream.message().await.unwrap();
    assert!(!last.to_string().contains("66"), "{last}");
}

#[tokio::test]
async fn a_token_limited_to_tools_subscribes_to_no_resources() {
    let rig = resource_subscriptions::rig_with(|_| {}).await;
    let legacy = session_of(&rig, NARROW_TOKEN).await;
    let allowed = session_of(&rig, TOKEN).await;
    for server in ["old", "new"] {
        let uri = format!("{server}+test://a");
        let subscribe = "resources/subscribe";
        let refused = resource_subscriptions::subscribe(&legacy, subscribe, &uri).await;
        assert_eq!(refused["error"]["code"], -32002, "{refused}");
        let modern = rig.client_with("everything", NARROW_TOKEN);
        let listen = json!({"jsonrpc": "2.0", "id": 1, "method": "subscriptions/listen",
            "params": {"notifications": {"resourceSubscriptions": [uri]}}});
        let mut stream = modern.modern(listen).await;
        let acknowledged = stream.message().await.unwrap();
        let text = acknowledged.to_string();
        assert!(
            text.contains("acknowledged") && !text.contains("test://"),
            "{text}"
        );
    }
    assert_eq!(rig.legacy.open_feeds() + rig.modern.open_feeds(), 0);
    let uri = "old+test://a";
    let done = resource_subscriptions::subscribe(&allowed, "resources/subscribe", uri).await;
    assert_eq!(done["result"], json!({}), "{done}");
}
