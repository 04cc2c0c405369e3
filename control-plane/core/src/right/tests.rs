//! Tests of the complete matrix of identities and rights. Access is denied by default.

use super::*;

fn all_rights() -> Vec<Right> {
    let kinds = Kind::ALL.into_iter();
    let mut rights: Vec<Right> = kinds
        .flat_map(|kind| [Right::Read(kind), Right::Write(kind)])
        .collect();
    rights.extend([
        Right::FoundOrganization,
        Right::Probe,
        Right::ReadVersions,
        Right::CreateJoinToken,
        Right::Join,
        Right::RenewCertificate,
        Right::Push,
        Right::ResolveCredential,
        Right::ReadKeyring,
    ]);
    rights
}

fn token(role: AdminRole) -> Identity {
    Identity::Token {
        org: "acme".parse().unwrap(),
        role,
        name: "ci".parse().unwrap(),
    }
}

#[test]
fn a_token_has_no_right_outside_its_organization() {
    let other: Slug = "other".parse().unwrap();
    for role in [
        AdminRole::None,
        AdminRole::Viewer,
        AdminRole::Editor,
        AdminRole::Admin,
    ] {
        for right in all_rights() {
            assert!(
                !may(&token(role), right, Some(&other)),
                "{role:?} {right:?}"
            );
            assert!(!may(&token(role), right, None), "{role:?} {right:?}");
        }
    }
}

#[test]
fn roles_grow_and_each_adds_what_it_says() {
    let own: Slug = "acme".parse().unwrap();
    let has = |role| -> Vec<Right> {
        let may = |right: &Right| may(&token(role), *right, Some(&own));
        all_rights().into_iter().filter(may).collect()
    };
    assert_eq!(has(AdminRole::None), []);
    assert_eq!(has(AdminRole::Viewer).len(), 6);
    let editor = has(AdminRole::Editor);
    assert!(
        has(AdminRole::Viewer)
            .iter()
            .all(|right| editor.contains(right))
    );
    assert!(editor.contains(&Right::Write(Kind::Gateway)) && editor.contains(&Right::Probe));
    assert!(!editor.contains(&Right::Write(Kind::Credential)));
    assert!(!editor.contains(&Right::Write(Kind::Token)));
    let admin = has(AdminRole::Admin);
    assert!(editor.iter().all(|right| admin.contains(right)));
    assert!(admin.contains(&Right::Write(Kind::Token)));
    assert!(!admin.contains(&Right::FoundOrganization));
}

#[test]
fn nobody_in_particular_may_only_join() {
    let own: Slug = "acme".parse().unwrap();
    for right in all_rights() {
        let allowed =
            may(&Identity::Anonymous, right, Some(&own)) || may(&Identity::Anonymous, right, None);
        assert_eq!(allowed, right == Right::Join, "{right:?}");
    }
}

#[test]
fn proxies_and_operators_share_no_right() {
    let proxy = Identity::Proxy {
        id: "p1".parse().unwrap(),
    };
    for right in all_rights() {
        assert!(
            !(may(&proxy, right, None) && may(&Identity::System, right, None)),
            "{right:?}"
        );
    }
    assert!(may(&proxy, Right::ResolveCredential, None));
    assert!(!may(&Identity::System, Right::ResolveCredential, None));
}
