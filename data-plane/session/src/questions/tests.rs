//! An answer finds its question once, and only from where it was asked.

use toolgate_mcp::text::quote;

use super::*;
use crate::fixture::{facts, principal, slug};

#[test]
fn an_answer_matches_one_request_of_its_session_and_principal() {
    let questions: Questions<u32> = Questions::new(slug("here"), QUESTIONS);
    let (ada, bob) = (principal("ada"), principal("bob"));
    let asked = questions.ask(&facts(1), &ada, 7).unwrap();
    let literal = quote(&asked.id().name());
    let nobody = |heard| matches!(heard, Heard::Nobody);
    assert!(nobody(questions.hear(&facts(2), &ada, &literal)));
    assert!(nobody(questions.hear(&facts(1), &bob, &literal)));
    assert!(nobody(questions.hear(&facts(1), &ada, "1")));
    let elsewhere = literal.replace("here", "there");
    assert!(matches!(
        questions.hear(&facts(1), &ada, &elsewhere),
        Heard::Elsewhere(proxy) if proxy == slug("there")
    ));
    let Heard::By(id, 7) = questions.hear(&facts(1), &ada, &literal) else {
        panic!("nobody");
    };
    assert_eq!(id, *asked.id());
    assert!(nobody(questions.hear(&facts(1), &ada, &literal)), "twice");
}

#[test]
fn the_end_of_a_session_ends_only_its_server_requests() {
    let questions: Questions<u32> = Questions::new(slug("here"), QUESTIONS);
    let ada = principal("ada");
    let first = questions.ask(&facts(1), &ada, 7).unwrap();
    let second = questions.ask(&facts(1), &ada, 8).unwrap();
    let other = questions.ask(&facts(2), &ada, 9).unwrap();
    let mut over = questions.session_over(&facts(1).random);
    over.sort_unstable();
    assert_eq!(over, [7, 8]);
    assert_eq!(questions.session_over(&facts(1).random), [0; 0]);
    let literal = quote(&first.id().name());
    let heard = questions.hear(&facts(1), &ada, &literal);
    assert!(matches!(heard, Heard::Nobody));
    assert_eq!(questions.count(), 1);
    drop((first, second));
    assert_eq!(questions.count(), 1, "counted once");
    let literal = quote(&other.id().name());
    let heard = questions.hear(&facts(2), &ada, &literal);
    assert!(matches!(heard, Heard::By(_, 9)));
    drop(other);
    assert_eq!(questions.count(), 0);
}

#[test]
fn only_unanswerable_server_requests_are_removed() {
    let questions: Questions<u32> = Questions::new(slug("here"), QUESTIONS);
    let ada = principal("ada");
    let kept: Vec<_> = (0..6_u32)
        .map(|n| questions.ask(&facts(n % 2), &ada, n).unwrap())
        .collect();
    let mut taken = questions.take_if(|n| n % 3 == 0);
    taken.sort_unstable();
    assert_eq!(taken, [0, 3]);
    assert_eq!(questions.take_if(|n| n % 3 == 0), [0; 0]);
    assert_eq!(questions.count(), 4);
    let literal = quote(&kept[1].id().name());
    let heard = questions.hear(&facts(1), &ada, &literal);
    assert!(matches!(heard, Heard::By(_, 1)));
    drop(kept);
    assert_eq!(questions.count(), 0);
}

#[test]
fn a_dropped_server_request_is_removed() {
    let questions: Questions<u32> = Questions::new(slug("here"), QUESTIONS);
    let ada = principal("ada");
    let asked = questions.ask(&facts(1), &ada, 7).unwrap();
    assert_eq!(questions.count(), 1);
    let literal = quote(&asked.id().name());
    drop(asked);
    assert_eq!(questions.count(), 0);
    assert!(matches!(
        questions.hear(&facts(1), &ada, &literal),
        Heard::Nobody
    ));
}

#[test]
fn server_requests_are_limited_per_principal() {
    let questions: Questions<u32> = Questions::new(slug("here"), 2);
    let (ada, bob) = (principal("ada"), principal("bob"));
    // However many sessions she has.
    let mut held: Vec<_> = (0..2)
        .map(|n| questions.ask(&facts(n), &ada, n).unwrap())
        .collect();
    assert!(questions.ask(&facts(7), &ada, 7).is_none());
    assert_eq!(questions.count(), 2, "a refusal takes nothing");
    let theirs = questions.ask(&facts(8), &bob, 8).unwrap();
    // What ends with its session is given back when its call has heard of it.
    assert_eq!(questions.session_over(&facts(0).random), [0]);
    drop(held.remove(0));
    held.push(questions.ask(&facts(7), &ada, 7).unwrap());
    drop((held, theirs));
    assert_eq!((questions.count(), questions.principals.owners()), (0, 0));
}
