//! Tests of the selection of objects.

use super::Pick;

fn resolve(kind: &str, names: &[&str]) -> Result<Vec<String>, u8> {
    let pick = Pick {
        kind: kind.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let resolved = pick.resolve().map_err(|fault| fault.kind as u8)?;
    Ok(resolved.1)
}

#[test]
fn names_are_of_one_kind_or_refused_before_anything_is_done() {
    let two = Ok(vec!["a".to_owned(), "b".to_owned()]);
    assert_eq!(resolve("gateway", &["a", "b"]), two);
    assert_eq!(resolve("gateway/a", &["b"]), two);
    assert_eq!(resolve("gateway/a", &["gw/b"]), two);
    assert_eq!(resolve("gateway/a", &["server/b"]), Err(2));
    let full = "organizations/x/gateways/a";
    assert_eq!(resolve("gateway", &[full]), Ok(vec![full.to_owned()]));
    assert_eq!(resolve("server", &[full]), Err(2));
    assert_eq!(resolve("proxy", &["proxies/p"]), Ok(vec!["p".to_owned()]));
    assert_eq!(resolve("gateway", &["a/b/c"]), Err(2));
}
