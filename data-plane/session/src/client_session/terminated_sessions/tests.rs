//! Tests that terminated sessions stay terminated.

use std::time::Duration;

use toolgate_model::PrincipalSubject;

use super::*;
use crate::fixture::{NOW, claims, slug};

fn principal(number: usize) -> Arc<Principal> {
    Arc::new(Principal {
        org: slug("acme"),
        subject: PrincipalSubject::User(slug(&format!("user-{number}"))),
    })
}

fn session(number: usize) -> SessionClaims {
    let mut claims = claims(u32::try_from(number).unwrap());
    claims.issued = NOW.after(Duration::from_millis(number as u64));
    claims
}

#[test]
fn one_principal_cannot_evict_the_terminated_sessions_of_another() {
    let graves = TerminatedSessions::new();
    let (ada, bob) = (principal(0), principal(1));
    graves.insert(&ada, &session(0), NOW);
    for number in 1..=3 * TERMINATED_SESSIONS_PER_PRINCIPAL {
        graves.insert(&bob, &session(number), NOW);
    }
    assert!(graves.contains(&session(0).random));
    assert_eq!(graves.len(), 1 + TERMINATED_SESSIONS_PER_PRINCIPAL);
    assert!(graves.contains(&session(3 * TERMINATED_SESSIONS_PER_PRINCIPAL).random));
    assert!(!graves.contains(&session(1).random), "its own oldest went");
}

#[test]
fn the_total_is_bounded_and_the_busiest_principal_is_evicted_first() {
    let graves = TerminatedSessions::new();
    let quiet = principal(0);
    graves.insert(&quiet, &session(0), NOW);
    for number in 1..TERMINATED_SESSIONS + 2_000 {
        graves.insert(&principal(1 + number % 60), &session(number), NOW);
    }
    assert_eq!(graves.len(), TERMINATED_SESSIONS);
    assert!(graves.contains(&session(0).random));
}

#[test]
fn expired_sessions_take_no_room() {
    let graves = TerminatedSessions::new();
    let ada = principal(0);
    graves.insert(&ada, &session(0), NOW);
    let later = NOW.after(LIFETIME + Duration::from_secs(1));
    let mut fresh = session(1);
    fresh.issued = later;
    graves.insert(&ada, &fresh, later);
    assert_eq!(graves.len(), 1);
    assert!(graves.contains(&fresh.random));
}
