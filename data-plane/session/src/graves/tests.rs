//! Tests that terminated sessions stay terminated.

use std::time::Duration;

use toolgate_model::Subject;

use super::*;
use crate::fixture::{NOW, facts, slug};

fn principal(number: usize) -> Arc<Principal> {
    Arc::new(Principal {
        org: slug("acme"),
        subject: Subject::User(slug(&format!("user-{number}"))),
    })
}

fn session(number: usize) -> SessionFacts {
    let mut facts = facts(u32::try_from(number).unwrap());
    facts.issued = NOW.after(Duration::from_millis(number as u64));
    facts
}

#[test]
fn nobody_makes_a_proxy_forget_what_others_have_ended() {
    let graves = Graves::new();
    let (ada, bob) = (principal(0), principal(1));
    graves.bury(&ada, &session(0), NOW);
    for number in 1..=3 * TOMBSTONES_PER_PRINCIPAL {
        graves.bury(&bob, &session(number), NOW);
    }
    assert!(graves.has(&session(0).random));
    assert_eq!(graves.len(), 1 + TOMBSTONES_PER_PRINCIPAL);
    assert!(graves.has(&session(3 * TOMBSTONES_PER_PRINCIPAL).random));
    assert!(!graves.has(&session(1).random), "its own oldest went");
}

#[test]
fn many_principals_together_stay_within_the_bound_and_the_busiest_pay() {
    let graves = Graves::new();
    let quiet = principal(0);
    graves.bury(&quiet, &session(0), NOW);
    for number in 1..TOMBSTONES + 2_000 {
        graves.bury(&principal(1 + number % 60), &session(number), NOW);
    }
    assert_eq!(graves.len(), TOMBSTONES);
    assert!(graves.has(&session(0).random));
}

#[test]
fn what_no_longer_opens_takes_no_room() {
    let graves = Graves::new();
    let ada = principal(0);
    graves.bury(&ada, &session(0), NOW);
    let later = NOW.after(LIFE + Duration::from_secs(1));
    let mut fresh = session(1);
    fresh.issued = later;
    graves.bury(&ada, &fresh, later);
    assert_eq!(graves.len(), 1);
    assert!(graves.has(&fresh.random));
}
