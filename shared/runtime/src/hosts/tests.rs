//! Tests that only the listener's own names are served, by default (OV-15).

use super::*;

fn hosts() -> HostAllowlist {
    let listen = "10.1.2.3:7300".parse().unwrap();
    HostAllowlist::new(listen, ["mcp.example.com", "gw.example.com:8443"]).unwrap()
}

fn judge(target: &str, headers: &[(&'static str, &str)]) -> Result<(), ForbiddenHost> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    hosts().check(&target.parse().unwrap(), &map)
}

#[test]
fn own_host_names_pass_on_any_port_unless_a_port_is_configured() {
    for host in [
        "localhost",
        "localhost:7300",
        "LOCALHOST:1",
        "127.0.0.1:7300",
        "[::1]:7300",
        "10.1.2.3:7300",
        "mcp.example.com",
        "MCP.example.com:443",
        "gw.example.com:8443",
    ] {
        assert_eq!(judge("/", &[("host", host)]), Ok(()), "{host}");
    }
}

#[test]
fn foreign_and_malformed_hosts_are_rejected() {
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.example:7300",
        "gw.example.com",
        "gw.example.com:8444",
        "localhost:7300:1",
        "localhost:",
        "user@localhost",
        "localhost/",
        "localhost ",
        "127.0.0.1.",
        "[::1",
        "[::1]x",
        "",
        "0.0.0.0:7300",
    ] {
        assert_eq!(judge("/", &[("host", host)]), Err(ForbiddenHost), "{host}");
    }
    assert_eq!(judge("/", &[]), Err(ForbiddenHost));
    let twice = [("host", "localhost"), ("host", "localhost")];
    assert_eq!(judge("/", &twice), Err(ForbiddenHost));
}

#[test]
fn an_absolute_request_target_must_match_the_host_header() {
    assert_eq!(judge("http://localhost:7300/", &[]), Ok(()));
    assert_eq!(judge("http://evil.example/", &[]), Err(ForbiddenHost));
    let agree = [("host", "localhost:7300")];
    assert_eq!(judge("http://localhost:7300/", &agree), Ok(()));
    assert_eq!(judge("http://127.0.0.1:7300/", &agree), Err(ForbiddenHost));
}

#[test]
fn an_invalid_public_host_is_named_in_the_error() {
    let listen = "127.0.0.1:1".parse().unwrap();
    let error = HostAllowlist::new(listen, ["https://x.example"]).unwrap_err();
    assert!(error.to_string().contains("https://x.example"));
}

#[test]
fn a_router_refuses_foreign_hosts_with_the_setting_in_both_protocols() {
    let listen = "0.0.0.0:7400".parse().unwrap();
    let policy = HostPolicy::new(listen, ["admin.example.com"], "--admin-host").unwrap();
    let policy = policy.at("10.1.2.3".parse().unwrap());
    let refuse = |target: &str, headers: &[(&'static str, &str)]| {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        policy.refusal::<String>(&target.parse().unwrap(), &map)
    };
    for host in ["localhost:7400", "10.1.2.3:7400", "admin.example.com"] {
        assert!(refuse("/", &[("host", host)]).is_none(), "{host}");
        assert!(refuse(&format!("http://{host}/"), &[]).is_none(), "{host}");
    }
    // A health check of a balancer has no host.
    assert!(refuse("/readyz", &[]).is_none());
    for host in [
        "evil.example",
        "10.1.2.4:7400",
        "admin.example.com.evil.example",
        "",
    ] {
        let response = refuse("/", &[("host", host)]).unwrap();
        assert_eq!(response.status(), StatusCode::MISDIRECTED_REQUEST);
        assert!(
            response.body().contains("`--admin-host`"),
            "{}",
            response.body()
        );
        assert!(!response.headers().contains_key("grpc-status"));
    }
    let grpc = refuse(
        "http://evil.example/x",
        &[("content-type", "application/grpc")],
    )
    .unwrap();
    assert_eq!(grpc.headers()["grpc-status"], "7");
    let reason = grpc.headers()["grpc-message"].to_str().unwrap();
    assert!(reason.contains("`--admin-host`"), "{reason}");
}
