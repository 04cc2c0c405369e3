//! Tests of the selection of objects.

use super::ObjectSelector;

fn resolve(kind: &str, names: &[&str]) -> Result<Vec<String>, u8> {
    let pick = ObjectSelector {
        kind: kind.to_owned(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
    };
    let resolved = pick.resolve().map_err(|fault| fault.kind as u8)?;
    Ok(resolved.1)
}

#[test]
fn names_of_the_wrong_kind_are_rejected_before_any_change() {
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
