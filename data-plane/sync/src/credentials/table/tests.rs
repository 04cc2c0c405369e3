//! Tests of the table: personal credentials are separate by principal and bounded in number.

use toolgate_data_core::port::HeaderCredential;
use toolgate_model::{CredentialHosts, PrincipalSubject};

use super::*;

const NOW: Timestamp = Timestamp(1_000);

fn server(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn user(id: &str) -> Principal {
    Principal {
        org: "acme".parse().unwrap(),
        subject: PrincipalSubject::User(id.parse().unwrap()),
    }
}

fn reference(scope: CredentialScope) -> CredentialRef {
    CredentialRef {
        id: "key".parse().unwrap(),
        revision: 3,
        scope,
    }
}

fn cached(value: &str, expires: Option<Timestamp>) -> CachedCredential {
    CachedCredential {
        credential: "key".parse().unwrap(),
        revision: 3,
        expires,
        value: Arc::new(UpstreamCredential::Header(HeaderCredential {
            name: "authorization".into(),
            value: value.as_bytes().to_vec().into(),
            hosts: CredentialHosts::default(),
        })),
    }
}

fn held(
    table: &CredentialTable,
    (at, who): (&str, &str),
    scope: CredentialScope,
    now: Timestamp,
) -> Option<String> {
    let request = CredentialRequest {
        server: &server(at),
        reference: &reference(scope),
        principal: &user(who),
    };
    let held = table.held(request, now)?;
    let UpstreamCredential::Header(header) = &*held else {
        panic!("one header");
    };
    Some(String::from_utf8(header.value.to_vec()).unwrap())
}

#[test]
fn a_shared_credential_serves_all_principals_of_its_server_alone() {
    let table = CredentialTable::default();
    table.insert(&server("a"), None, cached("one", None), NOW);
    for who in ["ada", "bob"] {
        let shared = CredentialScope::Shared;
        assert_eq!(held(&table, ("a", who), shared, NOW).unwrap(), "one");
        assert!(held(&table, ("b", who), shared, NOW).is_none());
        // A reference that became personal does not find the shared value.
        let personal = CredentialScope::PerPrincipal;
        assert!(held(&table, ("a", who), personal, NOW).is_none());
    }
}

#[test]
fn a_personal_credential_serves_its_principal_alone_until_it_expires() {
    let table = CredentialTable::default();
    let until = Timestamp(NOW.0 + 10);
    table.insert(
        &server("a"),
        Some(user("ada")),
        cached("of ada", Some(until)),
        NOW,
    );
    table.insert(&server("a"), Some(user("bob")), cached("of bob", None), NOW);
    let personal = CredentialScope::PerPrincipal;
    let read = |who, now| held(&table, ("a", who), personal, now);
    assert_eq!(read("ada", NOW).unwrap(), "of ada");
    assert_eq!(read("bob", NOW).unwrap(), "of bob");
    assert!(read("eve", NOW).is_none());
    assert!(read("ada", until).is_none());
    assert!(held(&table, ("a", "ada"), CredentialScope::Shared, NOW).is_none());
}

#[test]
fn an_earlier_value_is_found_for_the_same_credential_server_and_principal_alone() {
    let table = CredentialTable::default();
    let until = Timestamp(NOW.0 + 10);
    table.insert(&server("a"), None, cached("shared", Some(until)), NOW);
    table.insert(&server("a"), Some(user("ada")), cached("of ada", None), NOW);
    let found = |at: &str, credential: &str, principal: Option<&Principal>, now| {
        let id = credential.parse().unwrap();
        table.earlier(&server(at), &id, principal, now).is_some()
    };
    let (ada, bob) = (user("ada"), user("bob"));
    assert!(found("a", "key", None, NOW) && found("a", "key", Some(&ada), NOW));
    assert!(!found("a", "key", None, until), "it has expired");
    assert!(!found("a", "key", Some(&bob), NOW));
    assert!(!found("a", "other", None, NOW) && !found("b", "key", None, NOW));
}

#[test]
fn personal_credentials_are_bounded_and_those_in_use_stay() {
    let table = CredentialTable::default();
    let personal = CredentialScope::PerPrincipal;
    let name = |at: usize| format!("u{at}");
    for at in 0..MAX_PERSONAL {
        table.insert(&server("a"), Some(user(&name(at))), cached("x", None), NOW);
    }
    let later = Timestamp(NOW.0 + 1);
    assert!(held(&table, ("a", "u0"), personal, later).is_some());
    for at in MAX_PERSONAL..MAX_PERSONAL + 5 {
        table.insert(
            &server("a"),
            Some(user(&name(at))),
            cached("x", None),
            later,
        );
    }
    assert_eq!(table.personal().count, MAX_PERSONAL - EVICTION_BATCH + 5);
    assert_eq!(table.entries().len(), table.personal().count);
    assert!(held(&table, ("a", "u0"), personal, later).is_some());
    assert!(held(&table, ("a", &name(MAX_PERSONAL)), personal, later).is_some());
}

#[test]
fn credentials_without_a_reference_are_dropped() {
    let table = CredentialTable::default();
    table.insert(&server("a"), None, cached("x", None), NOW);
    table.insert(&server("b"), Some(user("ada")), cached("x", None), NOW);
    let before = table.changes();
    table.retain(|_, _| true);
    assert_eq!(table.changes(), before);
    table.retain(|server, credential| server.id.as_str() == "b" && credential.as_str() == "key");
    assert_eq!(table.entries().len(), 1);
    table.retain(|_, credential| credential.as_str() == "other");
    assert!(table.entries().is_empty());
    assert!(table.changes() > before);
}
