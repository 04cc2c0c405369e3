//! Requests that are sent at once are one round, which goes out in time.

use proptest::prelude::*;

use super::*;

fn question() -> Elicitation {
    Elicitation::read("roots/list", None).unwrap()
}

fn ids(round: ElicitationRound) -> Vec<String> {
    round.into_iter().map(|(id, _)| id.into()).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn what_is_asked_at_once_is_one_round() {
    let mut batcher = ElicitationBatcher::default();
    assert_eq!(batcher.due(), None);
    assert_eq!(batcher.take_due(ms(1_000)), None);
    for (id, at) in [("1", 5), ("2", 6), ("1", 20), ("3", 34)] {
        assert_eq!(batcher.add(id.into(), question(), ms(at)), None);
        assert_eq!(batcher.due(), Some(ms(35)), "the first one's time counts");
    }
    assert_eq!(batcher.take_due(ms(34)), None);
    assert_eq!(ids(batcher.take_due(ms(35)).unwrap()), ["1", "2", "3"]);
    assert_eq!(batcher.due(), None);
    // A later request opens a round of its own with its own window.
    assert_eq!(batcher.add("1".into(), question(), ms(50)), None);
    assert_eq!(batcher.due(), Some(ms(80)));
}

#[test]
fn what_is_withdrawn_is_not_asked() {
    let mut batcher = ElicitationBatcher::default();
    batcher.add("1".into(), question(), ms(0));
    batcher.remove("2");
    batcher.add("2".into(), question(), ms(1));
    batcher.remove("1");
    assert_eq!(batcher.due(), Some(ms(30)));
    batcher.remove("2");
    assert_eq!(batcher.due(), None, "nobody is asked nothing");
    assert_eq!(batcher.take_due(ms(60)), None);
}

#[test]
fn a_round_that_is_full_does_not_wait() {
    let mut batcher = ElicitationBatcher::default();
    let mut full = (0..=MAX_PENDING).filter_map(|at| {
        let round = batcher.add(at.to_string().into(), question(), ms(0));
        round.map(|round| (at + 1, round.len()))
    });
    assert_eq!(full.next(), Some((MAX_PENDING, MAX_PENDING)));
    assert_eq!(full.next(), None);
    assert_eq!(batcher.due(), Some(BATCH_WINDOW));
}

/// A round is held until the client comes back.
#[test]
fn a_round_is_no_larger_than_one_request_may_be() {
    let large = |length: usize| {
        let params = format!(r#"{{"message":"{}"}}"#, "m".repeat(length));
        Elicitation::read("elicitation/create", Some(params.as_bytes()))
    };
    assert_eq!(large(MAX_SIZE), None);
    let question = large(MAX_SIZE / 3).unwrap();
    let mut batcher = ElicitationBatcher::default();
    let mut rounds = Vec::new();
    for id in 0..5 {
        rounds.extend(batcher.add(id.to_string().into(), question.clone(), ms(id)));
    }
    assert_eq!(batcher.due(), Some(ms(4) + BATCH_WINDOW));
    rounds.extend(batcher.take_due(ms(4) + BATCH_WINDOW));
    let rounds: Vec<_> = rounds.into_iter().map(ids).collect();
    assert_eq!(rounds, [vec!["0", "1"], vec!["2", "3"], vec!["4"]]);
}

#[derive(Debug, Clone)]
enum Step {
    Asked(u8),
    Withdrawn(u8),
    Passes(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..24).prop_map(Step::Asked),
        1 => (0_u8..24).prop_map(Step::Withdrawn),
        2 => (0_u8..40).prop_map(Step::Passes),
    ]
}

proptest! {
    /// Each request that is not withdrawn goes out once, in order, within its window, in a round that is not too large.
    #[test]
    fn every_question_goes_out_once_and_in_time(steps in prop::collection::vec(step(), 0..120)) {
        let mut batcher = ElicitationBatcher::default();
        let mut open: Vec<(String, Duration)> = Vec::new();
        let mut now = Duration::ZERO;
        for step in steps {
            let round = match step {
                Step::Asked(id) => {
                    let id = id.to_string();
                    if open.iter().all(|(known, _)| *known != id) {
                        open.push((id.clone(), now));
                    }
                    batcher.add(id.into(), question(), now)
                }
                Step::Withdrawn(id) => {
                    let id = id.to_string();
                    open.retain(|(known, _)| *known != id);
                    batcher.remove(&id);
                    None
                }
                Step::Passes(time) => {
                    now += ms(time.into());
                    batcher.take_due(now)
                }
            };
            if let Some(round) = round {
                prop_assert!((1..=MAX_PENDING).contains(&round.len()));
                let asked: Vec<String> = open.drain(..).map(|(id, _)| id).collect();
                prop_assert_eq!(ids(round), asked);
            }
            prop_assert_eq!(batcher.due().is_some(), !open.is_empty());
            if let Some(due) = batcher.due() {
                // No request waits longer than the window of the first one, and that is not overdue.
                prop_assert!(open.iter().all(|(_, at)| due <= *at + BATCH_WINDOW));
            }
        }
        now += BATCH_WINDOW;
        let left: Vec<String> = open.into_iter().map(|(id, _)| id).collect();
        prop_assert_eq!(batcher.take_due(now).map(ids).unwrap_or_default(), left);
    }
}
