//! Invalid input from every side: each gets the precise error of the protocol or the API, affects nothing else and
//! loses no stored data.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::body::Body;
use http::{Method, Request};
use serde_json::{Value, json};
use toolgate_tests::agent::{Agent, answer, messages, refusal};
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill, now};
use toolgate_tests::http_client::{HttpReply, TestHttpClient};
use toolgate_tests::invalid_server::{INVALID_TOOLS, InvalidServer, VALID_TOOL};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::{CommandLine, ToolgateUp};
use toolgate_tests::upstream_server::UpstreamServer;

/// Process with a server of both eras behind one gateway.
struct InputScenario {
    up: ToolgateUp,
    server: UpstreamServer,
    token: String,
    sandbox: Sandbox,
}

impl InputScenario {
    async fn start(name: &str) -> Result<Self> {
        let sandbox = Sandbox::new(name)?;
        let server = UpstreamServer::fixture(&sandbox, "fixture", &[]).await?;
        let up = ToolgateUp::start(&sandbox, &[]).await?;
        let token = up.expose("main", server.url(), "single").await?;
        let stage = Self {
            up,
            server,
            token,
            sandbox,
        };
        let agent = stage.modern();
        eventually("the token arrives", HANG_GUARD, || agent.echo("echo", "hi")).await?;
        Ok(stage)
    }

    fn modern(&self) -> Agent {
        Agent::modern(&self.up.url("main"), &self.token)
    }

    /// Checks that valid requests still work.
    async fn check_still_working(&self) -> Result<()> {
        self.modern().echo("echo", "still here").await?;
        let legacy = Agent::legacy(&self.up.url("main"), &self.token).await?;
        legacy.echo("echo", "still here").await
    }

    fn cli(&self) -> Result<CommandLine> {
        self.up.cli()
    }
}

/// Checks status and code; returns the difference, if any.
fn error_mismatch(what: &str, reply: &HttpReply, status: u16, code: i64) -> Option<String> {
    match refusal(reply) {
        Ok((got, found, _)) if got == status && found == code => None,
        Ok((got, found, words)) => Some(format!(
            "{what}: {status}/{code} expected, {got}/{found} came: {words}"
        )),
        Err(_) => Some(format!(
            "{what}: {status}/{code} expected, {} came: {}",
            reply.status,
            reply.text()
        )),
    }
}

fn assert_no_failures(failures: &[String]) {
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_not_one_strict_object_is_rejected() {
    let stage = InputScenario::start("frames").await.unwrap();
    let agent = stage.modern();
    let good = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{{{META}}}}}"#);
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let frames: Vec<(&str, Vec<u8>, i64)> = vec![
        ("nothing", Vec::new(), -32700),
        ("no JSON", b"hello".to_vec(), -32700),
        ("half a frame", good.as_bytes()[..good.len() / 2].to_vec(), -32700),
        ("something after it", format!("{good} x").into_bytes(), -32700),
        ("two frames", format!("{good}{good}").into_bytes(), -32700),
        ("a byte order mark", format!("\u{feff}{good}").into_bytes(), -32700),
        ("bytes that are no text", b"{\"jsonrpc\":\"2.0\",\"method\":\"\xff\"}".to_vec(), -32700),
        ("a batch", format!("[{good}]").into_bytes(), -32600),
        ("a string", b"\"tools/list\"".to_vec(), -32600),
        ("a number", b"42".to_vec(), -32600),
        (
            "one member twice",
            br#"{"jsonrpc":"2.0","id":1,"id":2,"method":"tools/list"}"#.to_vec(),
            -32600,
        ),
        ("no version", br#"{"id":1,"method":"tools/list"}"#.to_vec(), -32600),
        ("an id of null", br#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#.to_vec(), -32600),
        ("an id that is an object", br#"{"jsonrpc":"2.0","id":{},"method":"x"}"#.to_vec(), -32600),
        ("a method that is a number", br#"{"jsonrpc":"2.0","id":1,"method":7}"#.to_vec(), -32600),
        (
            "arguments deeper than anything",
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"arguments":{deep}}}}}"#)
                .into_bytes(),
            -32700,
        ),
    ];
    let mut failures = Vec::new();
    for (what, bytes, code) in frames {
        let reply = agent.post_bytes(bytes, "tools/list").await.unwrap();
        failures.extend(error_mismatch(what, &reply, 400, code));
    }
    stage.check_still_working().await.unwrap();
    assert_no_failures(&failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_disagrees_with_the_body_is_rejected() {
    let stage = InputScenario::start("headers").await.unwrap();
    let agent = stage.modern();
    let call = json!({"name": "echo", "arguments": {"message": "x"}});
    let changes: &[(&str, &'static str, &str)] = &[
        ("another method", "mcp-method", "tools/list"),
        ("the method in capitals", "mcp-method", "TOOLS/CALL"),
        ("no method", "mcp-method", ""),
        ("another name", "mcp-name", "add"),
        ("no name", "mcp-name", ""),
        ("a name in broken base64", "mcp-name", "=?base64?!!!?="),
        ("no version", "mcp-protocol-version", ""),
        ("another version", "mcp-protocol-version", "2025-11-25"),
    ];
    let mut failures = Vec::new();
    for (what, header, value) in changes {
        let frame = agent.frame("tools/call", call.clone());
        let reply = agent.post(&frame, &[(header, value)]).await.unwrap();
        failures.extend(error_mismatch(what, &reply, 400, -32020));
    }
    let frame = agent.frame("tools/call", call);
    let reply = agent
        .post(&frame, &[("mcp-name", "=?base64?ZWNobw==?=")])
        .await
        .unwrap();
    if !reply.status.is_success() {
        failures.push(format!(
            "a right name in base64 was refused: {}",
            reply.text()
        ));
    }
    let mut frame = agent.frame("tools/list", json!({}));
    frame["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2999-01-01");
    let reply = agent
        .post(&frame, &[("mcp-protocol-version", "2999-01-01")])
        .await
        .unwrap();
    failures.extend(error_mismatch(
        "a version of the future",
        &reply,
        400,
        -32022,
    ));
    let supported = reply
        .json()
        .unwrap()
        .pointer("/error/data/supported")
        .cloned();
    if !supported.is_some_and(|versions| versions.to_string().contains("2026-07-28")) {
        failures.push(format!(
            "the refusal does not say what is supported: {}",
            reply.text()
        ));
    }
    assert_no_failures(&failures);
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_gateway_and_a_wrong_token_are_rejected() {
    let stage = InputScenario::start("doors").await.unwrap();
    let mut failures = Vec::new();
    for path in [
        "nowhere",
        "",
        "main//",
        "main/x",
        "MAIN",
        "%6dain",
        "main?x=1/../y",
    ] {
        let agent = Agent::modern(&stage.up.url(path), &stage.token);
        let reply = agent.request("tools/list", json!({})).await.unwrap();
        let fine = reply.status == 404 || (path.contains('?') && reply.status.is_success());
        if !fine {
            failures.push(format!("{path:?}: 404 expected, {} came", reply.status));
        }
    }
    let mut changed = stage.token.clone();
    changed.pop();
    changed.push('x');
    for (what, gateway, token) in [
        ("none", "main", ""),
        ("another", "main", "archestra_nobody"),
        ("changed", "main", &changed),
        // A client without a valid token does not learn which gateways exist.
        ("another, nowhere", "nowhere", "archestra_nobody"),
    ] {
        let agent = Agent::modern(&stage.up.url(gateway), token);
        let reply = agent.request("tools/list", json!({})).await.unwrap();
        let asks = reply
            .header("www-authenticate")
            .unwrap_or_default()
            .to_owned();
        if reply.status != 401 || !asks.starts_with("Bearer") {
            failures.push(format!(
                "{what}: 401 with a challenge expected, {} {asks:?}",
                reply.status
            ));
        }
    }
    let agent = stage.modern();
    for (what, header, value, status) in [
        ("a hostile host", "host", "evil.example", 403),
        ("a hostile origin", "origin", "https://evil.example", 403),
        ("a body that is no JSON", "content-type", "text/plain", 415),
        ("an answer nobody can give", "accept", "image/png", 406),
    ] {
        let frame = agent.frame("tools/list", json!({}));
        let reply = agent.post(&frame, &[(header, value)]).await.unwrap();
        if reply.status != status {
            failures.push(format!("{what}: {status} expected, {} came", reply.status));
        }
    }
    assert_no_failures(&failures);
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_body_is_rejected_and_not_buffered() {
    let stage = InputScenario::start("sizes").await.unwrap();
    let agent = stage.modern();
    let large = "x".repeat(5 << 20);
    let frame = agent.frame(
        "tools/call",
        json!({"name": "echo", "arguments": {"message": large}}),
    );
    // The listener may respond and close before the body is read, which the HTTP client reports as an error.
    if let Ok(reply) = agent.post(&frame, &[]).await {
        assert_eq!(reply.status, 413, "{}", reply.text());
    }
    let many: Vec<String> = (0..200)
        .map(|n| format!("{n}{}", "h".repeat(2000)))
        .collect();
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(stage.up.url("main"));
    for value in &many {
        request = request.header("x-many", value);
    }
    if let Ok(reply) = TestHttpClient::default()
        .send(request.body(Body::empty()).unwrap())
        .await
    {
        assert!(reply.status.is_client_error(), "{}", reply.status);
    }
    stage.check_still_working().await.unwrap();
    assert_eq!(
        stage.server.counts().await.unwrap().tools.get("echo"),
        Some(&3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_methods_and_missing_sessions_have_their_own_errors() {
    let stage = InputScenario::start("methods").await.unwrap();
    let agent = stage.modern();
    let mut failures = Vec::new();
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "no/such",
    ] {
        let reply = agent.request(method, json!({})).await.unwrap();
        failures.extend(error_mismatch(
            &format!("modern {method}"),
            &reply,
            404,
            -32601,
        ));
    }
    let mut bare = agent.frame("tools/list", json!({}));
    bare["params"]["_meta"] = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28"});
    let reply = agent.post(&bare, &[]).await.unwrap();
    failures.extend(error_mismatch("no capabilities", &reply, 400, -32602));
    let reply = agent
        .request(
            "tools/call",
            json!({"name": "no_such_tool", "arguments": {}}),
        )
        .await
        .unwrap();
    failures.extend(error_mismatch("an unknown tool", &reply, 200, -32602));
    let reply = agent
        .request("tools/list", json!({"cursor": "made-up"}))
        .await
        .unwrap();
    failures.extend(error_mismatch("a made-up cursor", &reply, 200, -32602));

    let legacy = Agent::legacy(&stage.up.url("main"), &stage.token)
        .await
        .unwrap();
    let frame = legacy.frame("tools/list", json!({}));
    for (what, session, status) in [("no session", "", 400), ("a made-up one", "made-up", 404)] {
        let reply = legacy
            .post(&frame, &[("mcp-session-id", session)])
            .await
            .unwrap();
        if reply.status != status {
            failures.push(format!("{what}: {status} expected, {} came", reply.status));
        }
    }
    let reply = legacy
        .post(&frame, &[("mcp-protocol-version", "1999-01-01")])
        .await
        .unwrap();
    if reply.status != 400 {
        failures.push(format!("an unknown legacy version: {}", reply.status));
    }
    let reply = legacy.request("no/such", json!({})).await.unwrap();
    failures.extend(error_mismatch("legacy no/such", &reply, 200, -32601));
    assert!(legacy.delete().await.unwrap().status.is_success());
    let reply = legacy.request("tools/list", json!({})).await.unwrap();
    if reply.status != 404 {
        failures.push(format!("after DELETE: 404 expected, {} came", reply.status));
    }
    assert_no_failures(&failures);
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_belongs_to_its_principal() {
    let stage = InputScenario::start("sessions").await.unwrap();
    let other = stage
        .cli()
        .unwrap()
        .token("other", &["--user", "eve"])
        .await
        .unwrap();
    let legacy = Agent::legacy(&stage.up.url("main"), &stage.token)
        .await
        .unwrap();
    let session = legacy.session().unwrap().to_owned();
    // The proxy learns of a new token with a short delay.
    let thief = eventually("the token arrives", HANG_GUARD, || async {
        Agent::legacy(&stage.up.url("main"), &other).await
    })
    .await
    .unwrap();
    let frame = thief.frame("tools/list", json!({}));
    let reply = thief
        .post(&frame, &[("mcp-session-id", &session)])
        .await
        .unwrap();
    assert_eq!(reply.status, 404, "{}", reply.text());
    let mut forged = session.clone();
    forged.pop();
    forged.push(if session.ends_with('A') { 'B' } else { 'A' });
    let reply = legacy
        .post(&frame, &[("mcp-session-id", &forged)])
        .await
        .unwrap();
    assert_eq!(reply.status, 404, "{}", reply.text());
    legacy.echo("echo", "mine").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_server_affects_only_its_own_calls() {
    let stage = InputScenario::start("liar").await.unwrap();
    let liar = InvalidServer::start().await.unwrap();
    let token = stage
        .up
        .expose("liar", &liar.url(), "single")
        .await
        .unwrap();
    let agent = Agent::modern(&stage.up.url("liar"), &token);
    eventually("the liar is listed", HANG_GUARD, || async {
        agent.call(VALID_TOOL, json!({})).await
    })
    .await
    .unwrap();
    let mut failures = Vec::new();
    for lie in INVALID_TOOLS.iter().filter(|lie| **lie != "silent") {
        let start = now();
        let frame = agent.frame("tools/call", json!({"name": lie, "arguments": {}}));
        let reply = agent.post(&frame, &[]).await;
        match reply.and_then(|reply| check_tool_failure(&reply)) {
            Ok(()) => {}
            Err(error) => failures.push(format!("{lie}: {error:#}")),
        }
        // A lie that is waited out fails in any case: the test's client gives up before the timeouts of the server, a minute.
        if is_drill() && start.elapsed() > Duration::from_secs(10) {
            failures.push(format!("{lie}: took {:?}", start.elapsed()));
        }
        if let Err(error) = stage.check_still_working().await {
            failures.push(format!("after {lie}: {error:#}"));
        }
    }
    assert_no_failures(&failures);
}

/// Checks that the caller gets a failed call without text of the server.
fn check_tool_failure(reply: &HttpReply) -> Result<()> {
    let text = reply.text();
    if text.contains("secret-of-the-server") {
        bail!("leaks the server's words: {text}");
    }
    if reply.header("www-authenticate").is_some() || reply.header("location").is_some() {
        bail!("passes the server's headers on");
    }
    let message = messages(reply)?.pop().context("an empty stream")?;
    let failed = message.get("error").is_some()
        || message.pointer("/result/isError") == Some(&Value::Bool(true));
    if reply.status != 200 || !failed {
        bail!("{} {text}", reply.status);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_fails_fast_and_recovers() {
    let mut stage = InputScenario::start("unreachable").await.unwrap();
    let agent = stage.modern();
    stage.server.process().kill().unwrap();
    for round in 0..10 {
        let start = now();
        let frame = agent.frame(
            "tools/call",
            json!({"name": "echo", "arguments": {"message": "x"}}),
        );
        let reply = agent.post(&frame, &[]).await.unwrap();
        check_tool_failure(&reply).unwrap_or_else(|error| panic!("round {round}: {error:#}"));
        assert!(
            !reply.text().contains("127.0.0.1"),
            "shows the address: {}",
            reply.text()
        );
        assert!(
            !is_drill() || start.elapsed() < Duration::from_secs(5),
            "took {:?}",
            start.elapsed()
        );
    }
    assert!(
        !agent.tools().await.unwrap().is_empty(),
        "lists come from memory"
    );
    let address = stage.server.address();
    stage.server = UpstreamServer::fixture_at(&stage.sandbox, "again", address, &[])
        .await
        .unwrap();
    eventually("it is called again", HANG_GUARD, || {
        agent.echo("echo", "back")
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_write_is_aborted_and_loses_nothing() {
    let stage = InputScenario::start("stale").await.unwrap();
    let cli = stage.cli().unwrap();
    let shown = cli
        .run(&["get", "gateway", "main", "-o", "yaml"])
        .await
        .unwrap()
        .stdout;
    let shown = String::from_utf8(shown).unwrap();
    assert!(shown.contains("resourceVersion"), "{shown}");
    let path = stage.sandbox.join("gateway.yaml");
    let file = path.to_str().unwrap();
    let first = shown.replacen("spec:", "spec:\n  instructions: first", 1);
    std::fs::write(&path, &first).unwrap();
    cli.run(&["apply", "-f", file]).await.unwrap();
    std::fs::write(&path, first.replace("first", "second")).unwrap();
    let (code, words) = cli.fails(&["apply", "-f", file]).await.unwrap();
    assert_eq!(code, 5, "{words}");
    let kept = cli
        .run(&["get", "gateway", "main", "-o", "yaml"])
        .await
        .unwrap()
        .stdout;
    assert!(
        String::from_utf8(kept).unwrap().contains("first"),
        "the first write was lost"
    );
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_document_is_rejected_with_its_position() {
    let stage = InputScenario::start("documents").await.unwrap();
    let cli = stage.cli().unwrap();
    let head = "apiVersion: toolgate/v1\nkind: Server\nmetadata:\n  name: bad\n";
    let documents = [
        ("not-yaml", "a: [1, 2\nb: }".to_owned(), "not-yaml.yaml"),
        ("no-kind", "apiVersion: toolgate/v1\nmetadata:\n  name: x\n".to_owned(), "kind"),
        ("wrong-kind", head.replace("Server", "Sever"), "Sever"),
        ("wrong-field", format!("{head}spec:\n  uri: https://x.example/mcp\n"), "uri"),
        ("wrong-type", format!("{head}spec:\n  url: [1]\n"), "url"),
        ("wrong-url", format!("{head}spec:\n  url: not a url\n"), "url"),
        ("wrong-name", format!("{}spec:\n  url: https://x.example/mcp\n", head.replace("bad", "Not A Slug!")), "name"),
        ("no-server", "apiVersion: toolgate/v1\nkind: Gateway\nmetadata:\n  name: g\nspec:\n  bindings:\n  - server: nobody\n    allTools: true\n".to_owned(), "nobody"),
    ];
    let before = cli
        .run(&["get", "servers", "-o", "json"])
        .await
        .unwrap()
        .stdout;
    let mut failures = Vec::new();
    for (name, text, place) in documents {
        let path = stage.sandbox.join(&format!("{name}.yaml"));
        std::fs::write(&path, text).unwrap();
        let (code, words) = cli
            .fails(&["apply", "-f", path.to_str().unwrap()])
            .await
            .unwrap();
        if code == 101 || !words.contains(place) {
            failures.push(format!("{name}: {code}, {place:?} is not in {words}"));
        }
    }
    let after = cli
        .run(&["get", "servers", "-o", "json"])
        .await
        .unwrap()
        .stdout;
    assert_eq!(before, after, "something was written");
    assert_no_failures(&failures);
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_rejects_unauthenticated_clients() {
    let stage = InputScenario::start("strangers").await.unwrap();
    let cli = stage.cli().unwrap();
    for token in ["", "archestra_nobody", &stage.token] {
        let stranger = cli.clone().with_token(token);
        for command in [
            ["get", "servers"],
            ["get", "tokens"],
            ["delete", "gateway/main"],
        ] {
            let (code, words) = stranger.fails(&command).await.unwrap();
            assert_eq!(code, 4, "{command:?} with {token:?}: {words}");
        }
    }
    stage.check_still_working().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loses_no_configuration() {
    let mut stage = InputScenario::start("crash").await.unwrap();
    let legacy = Agent::legacy(&stage.up.url("main"), &stage.token)
        .await
        .unwrap();
    stage.up.restart(&[]).await.unwrap();
    stage.check_still_working().await.unwrap();
    legacy.echo("echo", "the same session").await.unwrap();
    let frame = legacy.frame("tools/list", json!({}));
    let id = frame.get("id").and_then(Value::as_u64).unwrap();
    answer(&legacy.post(&frame, &[]).await.unwrap(), id).unwrap();
}
