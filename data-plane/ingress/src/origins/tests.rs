//! Tests of origins: which pass, and what a browser is told.

use http::Request;

use super::*;

fn hosts() -> HostAllowlist {
    let listen = "10.1.2.3:7300".parse().unwrap();
    HostAllowlist::new(listen, ["mcp.example.com"]).unwrap()
}

fn list(origins: &[&'static str]) -> OriginAllowlist {
    OriginAllowlist::new(origins.iter().copied()).unwrap()
}

fn with_origins(origins: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for origin in origins {
        headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
    }
    headers
}

fn shared(list: &OriginAllowlist, origin: &str) -> Option<String> {
    match list.grant(&with_origins(&[origin])) {
        CorsGrant::Shared(value) => Some(value.to_str().unwrap().to_owned()),
        CorsGrant::Off | CorsGrant::Withheld => None,
    }
}

#[test]
fn only_own_or_absent_origins_pass() {
    let hosts = hosts();
    let check = |origins: &[&str]| list(&[]).check(&with_origins(origins), &hosts);
    assert_eq!(check(&[]), Ok(()));
    for origin in [
        "http://localhost:3000",
        "https://mcp.example.com",
        "http://[::1]:5173",
    ] {
        assert_eq!(check(&[origin]), Ok(()), "{origin}");
        assert_eq!(shared(&list(&[]), origin), None, "{origin}");
    }
    for origin in [
        "null",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://evil.example#localhost",
        "file://localhost",
        "localhost",
        "http://localhost/",
        "http://user@localhost",
        "",
    ] {
        assert_eq!(check(&[origin]), Err(Refusal::Origin), "{origin}");
    }
    let twice = ["http://localhost", "http://localhost"];
    assert_eq!(check(&twice), Err(Refusal::Origin));
}

#[test]
fn an_allowed_origin_is_compared_by_scheme_host_and_port() {
    let hosts = hosts();
    let list = list(&[
        "https://app.example.com",
        "http://localhost:*",
        "https://console.example.com:8443",
        "chrome-extension://abcdef",
        "https://Upper.example.com:443",
    ]);
    for origin in [
        "https://app.example.com",
        "http://localhost",
        "http://localhost:5173",
        "https://console.example.com:8443",
        "chrome-extension://abcdef",
        "https://upper.example.com",
    ] {
        assert_eq!(shared(&list, origin).as_deref(), Some(origin), "{origin}");
        assert_eq!(list.check(&with_origins(&[origin]), &hosts), Ok(()));
    }
    for origin in [
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.example",
        "https://evil.example/https://app.example.com",
        "https://app.example.com/",
        "https://sub.app.example.com",
        "https://user@app.example.com",
        "https://console.example.com",
        "chrome-extension://abcdefg",
        "null",
        "",
    ] {
        assert_eq!(shared(&list, origin), None, "{origin}");
        let checked = list.check(&with_origins(&[origin]), &hosts);
        assert_eq!(checked, Err(Refusal::Origin), "{origin}");
    }
    assert_eq!(shared(&list, "https://localhost:5173"), None);
    let twice = with_origins(&["https://app.example.com", "https://app.example.com"]);
    assert_eq!(list.grant(&twice), CorsGrant::Withheld);
    assert_eq!(list.check(&twice, &hosts), Err(Refusal::Origin));
}

#[test]
fn every_origin_is_allowed_only_where_it_is_written_and_opaque_ones_never_are() {
    let all = list(&["*"]);
    for origin in ["https://any.example", "http://127.0.0.1:1"] {
        assert_eq!(shared(&all, origin).as_deref(), Some("*"), "{origin}");
    }
    for origin in ["null", "any.example", "https://", "https://a b"] {
        assert_eq!(shared(&all, origin), None, "{origin}");
        let checked = all.check(&with_origins(&[origin]), &hosts());
        assert_eq!(checked, Err(Refusal::Origin), "{origin}");
    }
}

#[test]
fn an_entry_that_is_no_origin_is_named_in_the_error() {
    for entry in [
        "",
        "app.example.com",
        "https://",
        "https://*",
        "https://*.example.com",
        "https://app.example.com/",
        "https://app.example.com/path",
        "https://app.example.com:70000",
        "https://app.example.com:80:*",
        "https://user@app.example.com",
        "null",
        "https://**",
    ] {
        let error = OriginAllowlist::new([entry]).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{entry}` is not an origin")),
            "{error}"
        );
    }
}

#[test]
fn a_preflight_repeats_field_names_and_nothing_else() {
    let list = list(&["https://app.example.com"]);
    let allowed = |requested: &str| {
        let request = Request::options("/anything")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", requested);
        let (head, ()) = request.body(()).unwrap().into_parts();
        let response = list.grant(&head.headers).preflight::<()>(&head);
        let response = response.unwrap().unwrap();
        let allowed = response.headers().get("access-control-allow-headers");
        allowed.map(|value| value.to_str().unwrap().to_owned())
    };
    let usual = "authorization,content-type, mcp-param-region";
    assert_eq!(allowed(usual).as_deref(), Some(usual));
    for requested in ["a b", "x,,y", "x;y", "<x>"] {
        assert_eq!(allowed(requested), None, "{requested}");
    }
    assert_eq!(allowed(&"x".repeat(REQUEST_HEADERS_LIMIT + 1)), None);
}
