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

#[test]
fn several_kinds_are_selected_as_with_kubectl() {
    let kinds = |kind: &str, names: &[&str]| -> Result<Vec<(&str, Vec<String>)>, u8> {
        let pick = ObjectSelector {
            kind: kind.to_owned(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        let selections = pick.resolve_all().map_err(|fault| fault.kind as u8)?;
        let selections = selections.into_iter();
        Ok(selections.map(|it| (it.kind.plural, it.names)).collect())
    };
    let ids = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        kinds("srv,gateways", &[]),
        Ok(vec![("servers", ids(&[])), ("gateways", ids(&[]))])
    );
    assert_eq!(
        kinds("server/a", &["gateway/b", "c"]),
        Ok(vec![
            ("servers", ids(&["a"])),
            ("gateways", ids(&["b", "c"]))
        ])
    );
    assert_eq!(
        kinds("server", &["a,b"]),
        Ok(vec![("servers", ids(&["a", "b"]))])
    );
    let all: Vec<_> = kinds("all", &[]).unwrap();
    let all: Vec<_> = all.into_iter().map(|(plural, _)| plural).collect();
    assert_eq!(
        all,
        [
            "credentials",
            "servers",
            "identityproviders",
            "gateways",
            "tokens"
        ]
    );
    assert_eq!(kinds("servers,nonsense", &[]), Err(2));
    assert_eq!(kinds("servers,gateways", &["server/a"]), Err(2));
}
