//! Tests of the forms of names.

use super::{parse, parse_with_kind};
use crate::cli::client::kind::{ApiResourceKind, GATEWAY, PROXY, SERVER};

#[test]
fn every_name_that_is_printed_is_accepted() {
    let full = "organizations/acme/servers/git";
    let name = parse(&SERVER, full).unwrap();
    assert_eq!(name.organization.as_deref(), Some("acme"));
    assert_eq!(name.id, "git");
    assert_eq!(parse(&SERVER, "srv/git").unwrap().id, "git");
    assert_eq!(
        parse(ApiResourceKind::parse("org").unwrap(), "organizations/acme")
            .unwrap()
            .id,
        "acme"
    );
    assert_eq!(parse(&PROXY, "proxies/p-1").unwrap().id, "p-1");
    assert!(parse(&GATEWAY, full).is_err());
    let (kind, name) = parse_with_kind(full).unwrap();
    assert_eq!((kind.plural, name.as_str()), ("servers", full));
    let (kind, name) = parse_with_kind("proxies/p-1").unwrap();
    assert_eq!((kind.plural, name.as_str()), ("proxies", "p-1"));
    assert!(parse_with_kind("nonsense/x").is_err());
    let fault = parse_with_kind("organizations/a/servers/b/c").unwrap_err();
    assert!(fault.message.contains("an organization"), "{fault}");
}
