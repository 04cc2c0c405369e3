//! An answer finds its elicitation once, and only from the session and principal that was asked.

use toolgate_mcp::text::quote;

use super::*;
use crate::fixture::{claims, principal, slug};

fn any(_recipient: &u32) -> bool {
    true
}

#[test]
fn an_answer_without_the_right_to_it_leaves_the_elicitation_waiting() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), ELICITATIONS);
    let ada = principal("ada");
    let asked = registry.register(&claims(1), &ada, 7).unwrap();
    let literal = quote(&asked.id().name());
    let refused = registry.take_recipient(&claims(1), &ada, &literal, |call| *call != 7);
    assert!(matches!(refused, AnswerRecipient::Unknown));
    let taken = registry.take_recipient(&claims(1), &ada, &literal, any);
    assert!(matches!(taken, AnswerRecipient::Call(_, 7)));
}

#[test]
fn an_answer_matches_one_request_of_its_session_and_principal() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), ELICITATIONS);
    let (ada, bob) = (principal("ada"), principal("bob"));
    let asked = registry.register(&claims(1), &ada, 7).unwrap();
    let literal = quote(&asked.id().name());
    let nobody = |recipient| matches!(recipient, AnswerRecipient::Unknown);
    assert!(nobody(registry.take_recipient(
        &claims(2),
        &ada,
        &literal,
        any
    )));
    assert!(nobody(registry.take_recipient(
        &claims(1),
        &bob,
        &literal,
        any
    )));
    assert!(nobody(registry.take_recipient(&claims(1), &ada, "1", any)));
    let elsewhere = literal.replace("here", "there");
    assert!(matches!(
        registry.take_recipient(&claims(1), &ada, &elsewhere, any),
        AnswerRecipient::OtherProxy(proxy) if proxy == slug("there")
    ));
    let AnswerRecipient::Call(id, 7) = registry.take_recipient(&claims(1), &ada, &literal, any)
    else {
        panic!("nobody");
    };
    assert_eq!(id, *asked.id());
    assert!(
        nobody(registry.take_recipient(&claims(1), &ada, &literal, any)),
        "twice"
    );
}

#[test]
fn the_end_of_a_session_ends_only_its_server_requests() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), ELICITATIONS);
    let ada = principal("ada");
    let first = registry.register(&claims(1), &ada, 7).unwrap();
    let second = registry.register(&claims(1), &ada, 8).unwrap();
    let other = registry.register(&claims(2), &ada, 9).unwrap();
    let mut over = registry.session_over(&claims(1).random);
    over.sort_unstable();
    assert_eq!(over, [7, 8]);
    assert_eq!(registry.session_over(&claims(1).random), [0; 0]);
    let literal = quote(&first.id().name());
    let recipient = registry.take_recipient(&claims(1), &ada, &literal, any);
    assert!(matches!(recipient, AnswerRecipient::Unknown));
    assert_eq!(registry.count(), 1);
    drop((first, second));
    assert_eq!(registry.count(), 1, "counted once");
    let literal = quote(&other.id().name());
    let recipient = registry.take_recipient(&claims(2), &ada, &literal, any);
    assert!(matches!(recipient, AnswerRecipient::Call(_, 9)));
    drop(other);
    assert_eq!(registry.count(), 0);
}

#[test]
fn only_unanswerable_server_requests_are_removed() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), ELICITATIONS);
    let ada = principal("ada");
    let kept: Vec<_> = (0..6_u32)
        .map(|n| registry.register(&claims(n % 2), &ada, n).unwrap())
        .collect();
    let mut taken = registry.take_if(|n| n % 3 == 0);
    taken.sort_unstable();
    assert_eq!(taken, [0, 3]);
    assert_eq!(registry.take_if(|n| n % 3 == 0), [0; 0]);
    assert_eq!(registry.count(), 4);
    let literal = quote(&kept[1].id().name());
    let recipient = registry.take_recipient(&claims(1), &ada, &literal, any);
    assert!(matches!(recipient, AnswerRecipient::Call(_, 1)));
    drop(kept);
    assert_eq!(registry.count(), 0);
}

#[test]
fn a_dropped_server_request_is_removed() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), ELICITATIONS);
    let ada = principal("ada");
    let asked = registry.register(&claims(1), &ada, 7).unwrap();
    assert_eq!(registry.count(), 1);
    let literal = quote(&asked.id().name());
    drop(asked);
    assert_eq!(registry.count(), 0);
    assert!(matches!(
        registry.take_recipient(&claims(1), &ada, &literal, any),
        AnswerRecipient::Unknown
    ));
}

#[test]
fn server_requests_are_limited_per_principal() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), 2);
    let (ada, bob) = (principal("ada"), principal("bob"));
    // The number of sessions does not matter.
    let mut held: Vec<_> = (0..2)
        .map(|n| registry.register(&claims(n), &ada, n).unwrap())
        .collect();
    assert!(registry.register(&claims(7), &ada, 7).is_none());
    assert_eq!(registry.count(), 2, "a refusal takes nothing");
    let theirs = registry.register(&claims(8), &bob, 8).unwrap();
    // The quota is returned when the registration is dropped.
    assert_eq!(registry.session_over(&claims(0).random), [0]);
    drop(held.remove(0));
    held.push(registry.register(&claims(7), &ada, 7).unwrap());
    drop((held, theirs));
    assert_eq!((registry.count(), registry.principals.owners()), (0, 0));
}

#[test]
fn a_registration_debugs_as_its_id_and_a_proxy_has_room_for_so_many() {
    let registry: ElicitationRegistry<u32> = ElicitationRegistry::new(slug("here"), usize::MAX);
    let ada = principal("ada");
    let all: Vec<_> = (0..)
        .map_while(|n| registry.register(&claims(n % 7), &ada, n))
        .collect();
    assert_eq!((all.len(), registry.count()), (ELICITATIONS, ELICITATIONS));
    assert_eq!(format!("{registry:?}"), "ElicitationRegistry(50000)");
    let name = all[0].id().name();
    assert_eq!(
        format!("{:?}", all[0]),
        format!("ElicitationRegistration({name})")
    );
    drop(all);
    assert_eq!((registry.count(), registry.principals.owners()), (0, 0));
}
