//! Tests of topic subscriptions: they share one feed with exactly the requested topics, and every subscription is
//! answered.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type Machine = Watch<u64>;

fn want(n: u64, original: &str) -> Event<u64> {
    Event::Want {
        interest: Interest(n),
        topic: Topic::Resource(original.into()),
        exposed: format!("one+{original}").into(),
        waiter: n,
    }
}

fn uris(all: &[&str]) -> Topics {
    let topic = |uri: &&str| Topic::Resource(Box::from(*uri));
    all.iter().map(topic).collect()
}

fn updated(uri: &str) -> Event<u64> {
    Event::Told(Told::Updated(uri.into()))
}

fn told(n: u64, uri: &str) -> Output<u64> {
    Output::Tell(Interest(n), News::Updated(uri.into()))
}

/// Machine with an open feed for `a:1`, requested by interest 1.
fn standing() -> Machine {
    let mut watch = Machine::new();
    assert_eq!(watch.on(want(1, "a:1")), [Output::Open(uris(&["a:1"]))]);
    let opened = watch.on(Event::Opened(Ok(uris(&["a:1"]))));
    assert_eq!(opened, [Output::Answer(1, Ok(()))]);
    watch
}

#[test]
fn the_first_opens_it_the_next_shares_it_and_the_last_ends_it() {
    let mut watch = standing();
    assert_eq!(watch.on(want(2, "a:1")), [Output::Answer(2, Ok(()))]);
    assert_eq!(
        watch.on(updated("a:1")),
        [told(1, "one+a:1"), told(2, "one+a:1")]
    );
    assert_eq!(watch.on(Event::Leave(Interest(1))), []);
    assert_eq!(watch.on(Event::Leave(Interest(1))), []);
    let end = watch.on(Event::Leave(Interest(2)));
    assert_eq!(end, [Output::Close, Output::Stop]);
    let late = watch.on(want(3, "a:1"));
    assert_eq!(late, [Output::Answer(3, Err(UpstreamFailure::Unreachable))]);
}

#[test]
fn another_resource_is_asked_for_in_place_of_the_feed_that_stands() {
    let mut watch = standing();
    assert_eq!(
        watch.on(want(2, "b:1")),
        [Output::Open(uris(&["a:1", "b:1"]))]
    );
    // Requests that arrive while the feed is opened wait.
    assert_eq!(watch.on(want(3, "c:1")), []);
    assert_eq!(
        watch.on(Event::Opened(Ok(uris(&["a:1"])))),
        [
            Output::Answer(2, Err(UpstreamFailure::Status)),
            Output::Open(uris(&["a:1", "c:1"])),
        ]
    );
    assert_eq!(
        watch.on(Event::Opened(Ok(uris(&["a:1", "c:1"])))),
        [Output::Answer(3, Ok(()))]
    );
}

#[test]
fn parts_are_told_under_the_clients_own_name_to_all_whom_they_concern() {
    let mut watch = standing();
    watch.on(want(2, "a:1/b"));
    watch.on(Event::Opened(Ok(uris(&["a:1", "a:1/b"]))));
    assert_eq!(
        watch.on(updated("a:1/b/c")),
        [told(1, "one+a:1/b/c"), told(2, "one+a:1/b/c")]
    );
    assert_eq!(watch.on(updated("a:12")), []);
}

#[test]
fn after_a_break_each_resource_is_told_once() {
    let mut watch = standing();
    assert_eq!(watch.on(Event::Lost), [Output::Pause]);
    assert_eq!(watch.on(Event::Retry), [Output::Open(uris(&["a:1"]))]);
    let failed = watch.on(Event::Opened(Err(UpstreamFailure::Unreachable)));
    assert_eq!(failed, [Output::Close, Output::Pause]);
    watch.on(Event::Retry);
    let again = watch.on(Event::Opened(Ok(uris(&["a:1"]))));
    assert_eq!(again, [told(1, "one+a:1")]);
}

#[test]
fn the_end_waits_for_what_is_being_opened() {
    let mut watch = Machine::new();
    watch.on(want(1, "a:1"));
    let unreachable = Err(UpstreamFailure::Unreachable);
    assert_eq!(watch.on(Event::End), [Output::Answer(1, unreachable)]);
    assert_eq!(
        watch.on(Event::Opened(Ok(uris(&["a:1"])))),
        [Output::Close, Output::Stop]
    );
    assert_eq!(standing().on(Event::End), [Output::Close, Output::Stop]);
}

#[test]
fn a_task_is_told_to_who_follows_it_and_not_made_up_after_a_break() {
    let mut watch = standing();
    let topic = || Topic::Task("t".into());
    watch.on(Event::Want {
        interest: Interest(2),
        topic: topic(),
        exposed: "sealed".into(),
        waiter: 2,
    });
    let mut both = uris(&["a:1"]);
    both.insert(topic());
    watch.on(Event::Opened(Ok(both.clone())));
    let params = Bytes::from_static(b"{}");
    let so_far = |id: &str| Event::Told(Told::Task(id.into(), params.clone()));
    let news = Output::Tell(Interest(2), News::Task(params.clone()));
    assert_eq!(watch.on(so_far("t")), [news]);
    assert_eq!(watch.on(so_far("u")), []);
    // The name of a resource does not match the id of a task.
    assert_eq!(watch.on(updated("t")), []);
    watch.on(Event::Lost);
    watch.on(Event::Retry);
    assert_eq!(watch.on(Event::Opened(Ok(both))), [told(1, "one+a:1")]);
}

#[test]
fn there_is_a_bound_on_resources() {
    let mut watch = Machine::new();
    for n in 0..RESOURCES as u64 {
        watch.on(want(n, &format!("a:{n}")));
    }
    let more = watch.on(want(100_000, "b:1"));
    assert_eq!(more, [Output::Answer(100_000, Err(UpstreamFailure::Busy))]);
    // A topic that is already on the feed can be subscribed to again.
    assert_eq!(watch.on(want(100_001, "a:1")), []);
}

#[derive(Debug, Clone)]
enum Move {
    Want(&'static str),
    Leave(u64),
    Opened(Option<BTreeSet<&'static str>>),
    Updated(&'static str),
    Lost,
    Retry,
}

const ALL: [&str; 3] = ["a:1", "a:2", "b:1"];

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let uri = || prop::sample::select(ALL.to_vec());
    let one = prop_oneof![
        5 => uri().prop_map(Move::Want),
        4 => (0_u64..20).prop_map(Move::Leave),
        4 => prop::option::weighted(0.8, prop::collection::btree_set(uri(), 0..4)).prop_map(Move::Opened),
        3 => uri().prop_map(Move::Updated),
        1 => Just(Move::Lost),
        2 => Just(Move::Retry),
    ];
    prop::collection::vec(one, 0..80)
}

proptest! {
    /// Reference model: the requested topics, and the answered subscriptions.
    #[test]
    fn who_is_told_wants_to_hear_it_and_everybody_is_answered_once(moves in moves()) {
        let mut watch = Machine::new();
        let mut wants: BTreeMap<u64, &str> = BTreeMap::new();
        let mut answers: BTreeMap<u64, bool> = BTreeMap::new();
        let (mut next, mut opening, mut pausing, mut over) = (0, false, false, false);
        for one in moves {
            let mut left = None;
            let event = match one {
                Move::Want(uri) => {
                    wants.insert(next, uri);
                    next += 1;
                    want(next - 1, uri)
                }
                Move::Leave(n) if n >= next => continue,
                Move::Leave(n) => {
                    wants.remove(&n);
                    left = Some(n);
                    Event::Leave(Interest(n))
                }
                Move::Opened(_) if !opening => continue,
                Move::Opened(agreed) => {
                    opening = false;
                    let agreed = agreed.map(|all| uris(&all.into_iter().collect::<Vec<_>>()));
                    Event::Opened(agreed.ok_or(UpstreamFailure::Unreachable))
                }
                Move::Updated(uri) => updated(uri),
                Move::Lost if opening => continue,
                Move::Lost => Event::Lost,
                Move::Retry if !pausing => continue,
                Move::Retry => { pausing = false; Event::Retry }
            };
            if let Some(n) = left { answers.entry(n).or_insert(true); }
            let outputs = watch.on(event);
            // Subscriptions that the server rejects later are removed without an answer.
            wants.retain(|n, _| !answers.contains_key(n) || watch.interests.contains_key(&Interest(*n)));
            for output in outputs {
                prop_assert!(!over || matches!(output, Output::Answer(_, Err(_))));
                match output {
                    Output::Open(asked) => {
                        prop_assert!(!opening && !asked.is_empty());
                        let wanted: Vec<&str> = wants.values().copied().collect();
                        prop_assert_eq!(asked, uris(&wanted));
                        opening = true;
                    }
                    Output::Tell(Interest(n), exposed) => {
                        let own = format!("one+{}", wants[&n]);
                        prop_assert_eq!(News::Updated(own.into()), exposed);
                    }
                    Output::Answer(n, answer) => {
                        prop_assert!(answers.insert(n, answer.is_ok()).is_none());
                        if answer.is_err() { wants.remove(&n); }
                    }
                    Output::Pause => pausing = true,
                    Output::Stop => over = true,
                    Output::Close => {}
                }
            }
            let [interests, resources] = watch.counts();
            prop_assert_eq!(interests, wants.len());
            prop_assert!(resources <= interests);
            // Unanswered subscriptions are answered later.
            let unanswered = wants.keys().any(|n| !answers.contains_key(n));
            prop_assert!(!unanswered || opening || pausing);
        }
    }
}
