//! Tests of the complete matrix of identities and rights. Access is denied by default.

use super::*;

fn all_rights() -> Vec<AccessRight> {
    let kinds = ObjectKind::ALL.iter().copied();
    let mut rights: Vec<AccessRight> = kinds
        .flat_map(|kind| [AccessRight::Read(kind), AccessRight::Write(kind)])
        .collect();
    rights.extend([
        AccessRight::CreateOrganization,
        AccessRight::Probe,
        AccessRight::UseCredential,
        AccessRight::ReadCalls,
        AccessRight::ReadVersions,
        AccessRight::CreateJoinToken,
        AccessRight::Join,
        AccessRight::RenewCertificate,
        AccessRight::Push,
        AccessRight::ResolveCredential,
        AccessRight::ReadKeyring,
    ]);
    rights
}

fn token(role: AdminRole) -> CallerIdentity {
    CallerIdentity::Token {
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
                !is_allowed(&token(role), right, Some(&other)),
                "{role:?} {right:?}"
            );
            assert!(!is_allowed(&token(role), right, None), "{role:?} {right:?}");
        }
    }
}

#[test]
fn each_role_includes_the_lower_role_and_adds_its_own_rights() {
    let own: Slug = "acme".parse().unwrap();
    let has = |role| -> Vec<AccessRight> {
        let may = |right: &AccessRight| is_allowed(&token(role), *right, Some(&own));
        all_rights().into_iter().filter(may).collect()
    };
    assert_eq!(has(AdminRole::None), []);
    assert_eq!(has(AdminRole::Viewer).len(), 7);
    let editor = has(AdminRole::Editor);
    assert!(
        has(AdminRole::Viewer)
            .iter()
            .all(|right| editor.contains(right))
    );
    assert!(
        editor.contains(&AccessRight::Write(ObjectKind::Gateway))
            && editor.contains(&AccessRight::Probe)
            && editor.contains(&AccessRight::ReadCalls)
    );
    assert!(!editor.contains(&AccessRight::Write(ObjectKind::Credential)));
    assert!(!editor.contains(&AccessRight::Write(ObjectKind::IdentityProvider)));
    assert!(!editor.contains(&AccessRight::UseCredential));
    assert!(!editor.contains(&AccessRight::Write(ObjectKind::Token)));
    let admin = has(AdminRole::Admin);
    assert!(editor.iter().all(|right| admin.contains(right)));
    assert!(admin.contains(&AccessRight::Write(ObjectKind::Token)));
    assert!(admin.contains(&AccessRight::UseCredential));
    assert!(!admin.contains(&AccessRight::CreateOrganization));
}

#[test]
fn an_anonymous_identity_may_only_join() {
    let own: Slug = "acme".parse().unwrap();
    for right in all_rights() {
        let allowed = is_allowed(&CallerIdentity::Anonymous, right, Some(&own))
            || is_allowed(&CallerIdentity::Anonymous, right, None);
        assert_eq!(allowed, right == AccessRight::Join, "{right:?}");
    }
}

#[test]
fn proxies_and_operators_share_no_right() {
    let proxy = CallerIdentity::Proxy {
        id: "p1".parse().unwrap(),
    };
    for right in all_rights() {
        assert!(
            !(is_allowed(&proxy, right, None) && is_allowed(&CallerIdentity::System, right, None)),
            "{right:?}"
        );
    }
    assert!(is_allowed(&proxy, AccessRight::ResolveCredential, None));
    assert!(!is_allowed(
        &CallerIdentity::System,
        AccessRight::ResolveCredential,
        None
    ));
}

#[test]
fn rights_that_change_nothing_are_named_here() {
    let reads = |right: &AccessRight| {
        matches!(
            right,
            AccessRight::Read(_)
                | AccessRight::ReadCalls
                | AccessRight::ReadVersions
                | AccessRight::Push
                | AccessRight::ResolveCredential
                | AccessRight::ReadKeyring
        )
    };
    for right in all_rights() {
        assert_eq!(right.is_write(), !reads(&right), "{right:?}");
    }
}

#[test]
fn the_log_of_versions_names_each_author() {
    let proxy = CallerIdentity::Proxy {
        id: "p1".parse().unwrap(),
    };
    let authors = [
        (CallerIdentity::System, "system"),
        (token(AdminRole::Editor), "organizations/acme/tokens/ci"),
        (proxy, "proxies/p1"),
        (CallerIdentity::Anonymous, "anonymous"),
    ];
    for (identity, author) in authors {
        assert_eq!(identity.author(), author);
    }
}
