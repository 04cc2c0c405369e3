//! What is asked at once is one round, which goes out in time whatever else happens.

use proptest::prelude::*;

use super::*;

fn question() -> Question {
    Question::read("roots/list", None).unwrap()
}

fn ids(round: Round) -> Vec<String> {
    round.into_iter().map(|(id, _)| id.into()).collect()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn concurrent_requests_form_one_round() {
    let mut gathering = Gathering::default();
    assert_eq!(gathering.due(), None);
    assert_eq!(gathering.over(ms(1_000)), None);
    for (id, at) in [("1", 5), ("2", 6), ("1", 20), ("3", 34)] {
        assert_eq!(gathering.asked(id.into(), question(), ms(at)), None);
        assert_eq!(gathering.due(), Some(ms(35)), "the first one's time counts");
    }
    assert_eq!(gathering.over(ms(34)), None);
    assert_eq!(ids(gathering.over(ms(35)).unwrap()), ["1", "2", "3"]);
    assert_eq!(gathering.due(), None);
    // What comes later is a round of its own, with its own time.
    assert_eq!(gathering.asked("1".into(), question(), ms(50)), None);
    assert_eq!(gathering.due(), Some(ms(80)));
}

#[test]
fn a_withdrawn_request_is_not_sent() {
    let mut gathering = Gathering::default();
    gathering.asked("1".into(), question(), ms(0));
    gathering.withdrawn("2");
    gathering.asked("2".into(), question(), ms(1));
    gathering.withdrawn("1");
    assert_eq!(gathering.due(), Some(ms(30)));
    gathering.withdrawn("2");
    assert_eq!(gathering.due(), None, "nobody is asked nothing");
    assert_eq!(gathering.over(ms(60)), None);
}

#[test]
fn a_full_round_is_sent_immediately() {
    let mut gathering = Gathering::default();
    let mut full = (0..=OPEN).filter_map(|at| {
        let round = gathering.asked(at.to_string().into(), question(), ms(0));
        round.map(|round| (at + 1, round.len()))
    });
    assert_eq!(full.next(), Some((OPEN, OPEN)));
    assert_eq!(full.next(), None);
    assert_eq!(gathering.due(), Some(GATHER));
}

/// A round is kept until its client comes back.
#[test]
fn a_round_is_no_larger_than_one_request_may_be() {
    let large = |length: usize| {
        let params = format!(r#"{{"message":"{}"}}"#, "m".repeat(length));
        Question::read("elicitation/create", Some(params.as_bytes()))
    };
    assert_eq!(large(LARGEST), None);
    let question = large(LARGEST / 3).unwrap();
    let mut gathering = Gathering::default();
    let mut rounds = Vec::new();
    for id in 0..5 {
        rounds.extend(gathering.asked(id.to_string().into(), question.clone(), ms(id)));
    }
    assert_eq!(gathering.due(), Some(ms(4) + GATHER));
    rounds.extend(gathering.over(ms(4) + GATHER));
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
    /// Each question that was not withdrawn goes out once and in order, within its time, in a round that is not too large.
    #[test]
    fn every_request_is_sent_once_and_in_time(steps in prop::collection::vec(step(), 0..120)) {
        let mut gathering = Gathering::default();
        let mut open: Vec<(String, Duration)> = Vec::new();
        let mut now = Duration::ZERO;
        for step in steps {
            let round = match step {
                Step::Asked(id) => {
                    let id = id.to_string();
                    if open.iter().all(|(known, _)| *known != id) {
                        open.push((id.clone(), now));
                    }
                    gathering.asked(id.into(), question(), now)
                }
                Step::Withdrawn(id) => {
                    let id = id.to_string();
                    open.retain(|(known, _)| *known != id);
                    gathering.withdrawn(&id);
                    None
                }
                Step::Passes(time) => {
                    now += ms(time.into());
                    gathering.over(now)
                }
            };
            if let Some(round) = round {
                prop_assert!((1..=OPEN).contains(&round.len()));
                let asked: Vec<String> = open.drain(..).map(|(id, _)| id).collect();
                prop_assert_eq!(ids(round), asked);
            }
            prop_assert_eq!(gathering.due().is_some(), !open.is_empty());
            if let Some(due) = gathering.due() {
                // Nobody waits longer than the first one's time, and that has not passed unnoticed.
                prop_assert!(open.iter().all(|(_, at)| due <= *at + GATHER));
            }
        }
        now += GATHER;
        let left: Vec<String> = open.into_iter().map(|(id, _)| id).collect();
        prop_assert_eq!(gathering.over(now).map(ids).unwrap_or_default(), left);
    }
}
