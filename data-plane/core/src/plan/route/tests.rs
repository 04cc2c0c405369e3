//! Tests of routing: only the canonical spelling, with or without a slash at its end, reaches a gateway.

use crate::{fixture::GatewayFixture, plan::route::route};

#[test]
fn only_the_canonical_path_is_routed() {
    let world = GatewayFixture::new();
    assert_eq!(
        route(&world.view, "/v1/mcp/main")
            .map(|found| found.map(|gateway| gateway.name.id.to_string())),
        Ok(Some("main".to_owned()))
    );
}

#[test]
fn a_slash_at_the_end_names_the_same_gateway() {
    let world = GatewayFixture::new();
    let named = |path| {
        let found = route(&world.view, path).ok().flatten();
        found.map(|gateway| gateway.name.id.to_string())
    };
    assert_eq!(named("/v1/mcp/main/").as_deref(), Some("main"));
    assert_eq!(named("/v1/mcp/main/"), named("/v1/mcp/main"));
}

#[test]
fn every_other_spelling_is_not_found() {
    let world = GatewayFixture::new();
    for path in [
        "",
        "/",
        "/v1/mcp",
        "/v1/mcp/",
        "/v1/mcp/main//",
        "/v1/mcp/main/x/",
        "/v1/mcp/main/.",
        "/v1/mcp/main/?x",
        "//v1/mcp/main",
        "/v1//mcp/main",
        "/v1/mcp//main",
        "/v1/mcp/./main",
        "/v1/mcp/x/../main",
        "/v1/mcp/%6dain",
        "/v1/mcp/main%2f",
        "/v1%2fmcp/main",
        "/v1/mcp/MAIN",
        "/V1/mcp/main",
        "/v1/mcp/main?x",
        "/v1/mcp/main;x",
        "/v1/mcp/main.",
        "/v1/mcp/other",
        "/v1/mcp/main\0",
        " /v1/mcp/main",
        "/v1/mcp/main ",
        "v1/mcp/main",
        "/mcp/main",
        "/v1/mcp/m\u{430}in",
        "/v1/mcp/acme/main",
        "\\v1\\mcp\\main",
    ] {
        assert!(!matches!(route(&world.view, path), Ok(Some(_))), "{path:?}");
    }
}
