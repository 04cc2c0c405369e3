//! Clients in web pages: cross-origin resource sharing, and both spellings of an endpoint.

use anyhow::{Context, Result, ensure};
use axum::body::Body;
use http::{HeaderMap, Method, Request};
use serde_json::{Value, json};
use toolgate_tests::agent::Agent;
use toolgate_tests::http_client::{HttpReply, TestHttpClient};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

const APP: &str = "https://app.example.com";
const LOCAL: &str = "http://localhost:5173";
const ALLOWED: [&str; 2] = [
    "--allowed-origin",
    "https://app.example.com,http://localhost:*",
];

/// Sends the preflight of a page for a POST with a token, which browsers send without it.
async fn preflight(url: &str, origin: &str) -> Result<HttpReply> {
    let request = Request::options(url)
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type,mcp-method,mcp-param-region,mcp-protocol-version",
        );
    TestHttpClient::default()
        .send(request.body(Body::empty())?)
        .await
}

/// Reads the names in a header that is a list, in lower case.
fn names(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    let text = values.filter_map(|value| value.to_str().ok());
    text.flat_map(|text| text.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect()
}

/// Checks that a page of this origin can read the response and what it needs of its headers.
fn check_readable(what: &str, headers: &HeaderMap, origin: &str) -> Result<()> {
    let allowed = headers.get("access-control-allow-origin");
    ensure!(
        allowed.and_then(|value| value.to_str().ok()) == Some(origin),
        "{what}: {headers:?}"
    );
    ensure!(
        !headers.contains_key("access-control-allow-credentials"),
        "{what}: {headers:?}"
    );
    ensure!(
        names(headers, "vary").contains(&"origin".to_owned()),
        "{what}: {headers:?}"
    );
    let exposed = names(headers, "access-control-expose-headers");
    for name in ["mcp-session-id", "mcp-protocol-version", "www-authenticate"] {
        ensure!(exposed.contains(&name.to_owned()), "{what}: {exposed:?}");
    }
    Ok(())
}

fn greeting() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"},
    }})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_is_answered_without_a_token_and_reveals_no_gateway() {
    let sandbox = Sandbox::new("preflights").unwrap();
    let up = ToolgateUp::start(&sandbox, &ALLOWED).await.unwrap();
    let mut answers = Vec::new();
    for gateway in ["demo", "demo/", "absent", "%2e%2e"] {
        let reply = preflight(&up.url(gateway), APP).await.unwrap();
        assert_eq!(reply.status, 204, "{gateway}: {}", reply.text());
        check_readable(gateway, &reply.headers, APP).unwrap();
        let methods = names(&reply.headers, "access-control-allow-methods");
        assert_eq!(methods, ["get", "post", "delete"]);
        let headers = names(&reply.headers, "access-control-allow-headers");
        for name in ["authorization", "mcp-method", "mcp-param-region"] {
            assert!(headers.contains(&name.to_owned()), "{headers:?}");
        }
        let age: u32 = reply
            .header("access-control-max-age")
            .unwrap()
            .parse()
            .unwrap();
        assert!(age > 0);
        let mut rest = reply.headers.clone();
        rest.remove("date");
        answers.push((rest, reply.body));
    }
    assert!(
        answers.iter().all(|answer| *answer == answers[0]),
        "{answers:?}"
    );
    for origin in ["https://evil.example", "http://app.example.com", "null"] {
        let reply = preflight(&up.url("demo"), origin).await.unwrap();
        assert_eq!(reply.status, 403, "{origin}");
        assert!(
            reply.text().contains("--allowed-origin"),
            "{}",
            reply.text()
        );
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert!(names(&reply.headers, "vary").contains(&"origin".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_an_allowed_origin_reads_results_errors_and_event_streams() {
    let sandbox = Sandbox::new("pages").unwrap();
    let up = ToolgateUp::start(&sandbox, &ALLOWED).await.unwrap();
    let cli = up.cli().unwrap();
    let token = cli.token("page", &["--gateway", "demo"]).await.unwrap();
    let agent = Agent::modern(&up.url("demo"), &token);
    toolgate_tests::clock::eventually("served", toolgate_tests::clock::HANG_GUARD, || {
        agent.tools()
    })
    .await
    .unwrap();
    let list = agent.frame("tools/list", json!({}));
    for (what, origin, changes, status) in [
        ("a result", APP, vec![], 200),
        ("a result on any port", LOCAL, vec![], 200),
        ("no token", APP, vec![("authorization", "")], 401),
        (
            "a wrong media type",
            APP,
            vec![("content-type", "text/plain")],
            415,
        ),
        (
            "a wrong header",
            APP,
            vec![("mcp-method", "tools/call")],
            400,
        ),
        (
            "a refused head",
            APP,
            vec![("content-encoding", "gzip")],
            415,
        ),
    ] {
        let changes: Vec<_> = changes.into_iter().chain([("origin", origin)]).collect();
        let reply = agent.post(&list, &changes).await.unwrap();
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        check_readable(what, &reply.headers, origin).unwrap();
    }
    // A request without an origin shares nothing, and a cache keeps it apart.
    let reply = agent.post(&list, &[]).await.unwrap();
    assert_eq!(reply.header("access-control-allow-origin"), None);
    assert!(names(&reply.headers, "vary").contains(&"origin".to_owned()));
    // A session of the legacy era: its id is readable, and so is its stream, which leaves the HTTP server.
    let legacy = Agent::legacy(&up.url("demo"), &token).await.unwrap();
    let opened = agent
        .post(
            &greeting(),
            &[
                ("origin", APP),
                ("mcp-protocol-version", ""),
                ("mcp-method", ""),
            ],
        )
        .await
        .unwrap();
    assert_eq!(opened.status, 200, "{}", opened.text());
    assert!(opened.header("mcp-session-id").is_some());
    check_readable("initialize", &opened.headers, APP).unwrap();
    let mut headers = legacy.headers("", None).unwrap();
    headers.insert("accept", "text/event-stream".parse().unwrap());
    headers.insert("origin", APP.parse().unwrap());
    let mut request = Request::builder().method(Method::GET).uri(up.url("demo"));
    *request.headers_mut().context("headers").unwrap() = headers;
    let stream = TestHttpClient::default()
        .open(request.body(Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(stream.status(), 200);
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    check_readable("a stream", stream.headers(), APP).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_no_page_of_another_origin_reads_a_response() {
    let sandbox = Sandbox::new("no-pages").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    for origin in [APP, LOCAL] {
        let reply = preflight(&up.url("demo"), origin).await.unwrap();
        assert_eq!(reply.status, 403, "{origin}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
    }
    let agent = Agent::modern(&up.url("demo"), "");
    let list = agent.frame("tools/list", json!({}));
    for (origin, status) in [(APP, 403), (LOCAL, 401)] {
        let reply = agent.post(&list, &[("origin", origin)]).await.unwrap();
        assert_eq!(reply.status, status, "{origin}: {}", reply.text());
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert_eq!(reply.header("access-control-expose-headers"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_origin_but_an_opaque_one_is_shared_with_where_it_is_written() {
    let sandbox = Sandbox::new("every-page").unwrap();
    let up = ToolgateUp::start(&sandbox, &["--allowed-origin", "*"])
        .await
        .unwrap();
    let reply = preflight(&up.url("demo"), "https://any.example")
        .await
        .unwrap();
    assert_eq!(reply.status, 204);
    check_readable("any", &reply.headers, "*").unwrap();
    let reply = preflight(&up.url("demo"), "null").await.unwrap();
    assert_eq!(reply.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_is_no_origin_ends_the_start_with_its_name() {
    let sandbox = Sandbox::new("no-origin").unwrap();
    let flags = ["--allowed-origin", "https://app.example.com/path"];
    let error = ToolgateUp::start(&sandbox, &flags).await.unwrap_err();
    let error = format!("{error:#}");
    assert!(
        error.contains("`https://app.example.com/path` is not an origin"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_of_an_endpoint_is_the_same_endpoint_in_both_eras() {
    let sandbox = Sandbox::new("slash").unwrap();
    let up = ToolgateUp::start(&sandbox, &[]).await.unwrap();
    let token = up
        .cli()
        .unwrap()
        .token("slash", &["--gateway", "demo"])
        .await
        .unwrap();
    let modern = Agent::modern(&up.url("demo/"), &token);
    toolgate_tests::clock::eventually("served", toolgate_tests::clock::HANG_GUARD, || {
        modern.tools()
    })
    .await
    .unwrap();
    // A session goes on under the other spelling.
    let legacy = Agent::legacy(&up.url("demo/"), &token).await.unwrap();
    assert!(!legacy.tools().await.unwrap().is_empty());
    let other = legacy.at_url(&up.url("demo"));
    assert_eq!(other.tools().await.unwrap(), legacy.tools().await.unwrap());
    // Two slashes are another path, and without a token nothing is revealed.
    let doubled = modern.at_url(&up.url("demo//"));
    let reply = doubled.request("tools/list", json!({})).await.unwrap();
    assert_eq!(reply.status, 404, "{}", reply.text());
    for gateway in ["demo/", "absent/"] {
        let reply = Agent::modern(&up.url(gateway), "")
            .request("tools/list", json!({}))
            .await;
        assert_eq!(reply.unwrap().status, 401, "{gateway}");
    }
}
