//! Tests of topic subscriptions: they share one feed with exactly the requested topics, and every subscription is
//! answered.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

type TestSubscriptions = TopicSubscriptions<u64>;

fn want(n: u64, original: &str) -> Event<u64> {
    Event::Subscribe {
        interest: InterestId(n),
        topic: ChangeTopic::Resource(original.into()),
        exposed: format!("one+{original}").into(),
        waiter: n,
    }
}

fn uris(all: &[&str]) -> ChangeTopics {
    let topic = |uri: &&str| ChangeTopic::Resource(Box::from(*uri));
    all.iter().map(topic).collect()
}

fn updated(uri: &str) -> Event<u64> {
    Event::Received(TopicChange::Updated(uri.into()))
}

fn told(n: u64, uri: &str) -> Output<u64> {
    Output::Notify(InterestId(n), SubscriberUpdate::Updated(uri.into()))
}

/// Machine with an open feed for `a:1`, requested by interest 1.
fn standing() -> TestSubscriptions {
    let mut watch = TestSubscriptions::new();
    assert_eq!(watch.on(want(1, "a:1")), [Output::Open(uris(&["a:1"]))]);
    let opened = watch.on(Event::Opened(Ok(uris(&["a:1"]))));
    assert_eq!(opened, [Output::Answer(1, Ok(()))]);
    watch
}

#[test]
fn the_first_subscriber_opens_a_feed_and_the_last_closes_it() {
    let mut watch = standing();
    assert_eq!(watch.on(want(2, "a:1")), [Output::Answer(2, Ok(()))]);
    assert_eq!(
        watch.on(updated("a:1")),
        [told(1, "one+a:1"), told(2, "one+a:1")]
    );
    assert_eq!(watch.on(Event::Unsubscribe(InterestId(1))), []);
    assert_eq!(watch.on(Event::Unsubscribe(InterestId(1))), []);
    let end = watch.on(Event::Unsubscribe(InterestId(2)));
    assert_eq!(end, [Output::Close, Output::Stop]);
    let late = watch.on(want(3, "a:1"));
    assert_eq!(late, [Output::Answer(3, Err(UpstreamFailure::Unreachable))]);
}

#[test]
fn an_additional_resource_reopens_the_feed() {
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
fn updates_of_sub_resources_reach_all_subscribers_under_their_own_uri() {
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
fn after_a_reconnect_each_resource_is_notified_once() {
    let mut watch = standing();
    assert_eq!(watch.on(Event::Lost), [Output::StartBackoff]);
    assert_eq!(
        watch.on(Event::BackoffElapsed),
        [Output::Open(uris(&["a:1"]))]
    );
    let failed = watch.on(Event::Opened(Err(UpstreamFailure::Unreachable)));
    assert_eq!(failed, [Output::Close, Output::StartBackoff]);
    watch.on(Event::BackoffElapsed);
    let again = watch.on(Event::Opened(Ok(uris(&["a:1"]))));
    assert_eq!(again, [told(1, "one+a:1")]);
}

#[test]
fn the_end_waits_for_a_feed_that_is_opening() {
    let mut watch = TestSubscriptions::new();
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
fn task_updates_reach_subscribers_and_are_not_invented_after_a_reconnect() {
    let mut watch = standing();
    let topic = || ChangeTopic::Task("t".into());
    watch.on(Event::Subscribe {
        interest: InterestId(2),
        topic: topic(),
        exposed: "encrypted".into(),
        waiter: 2,
    });
    let mut both = uris(&["a:1"]);
    both.insert(topic());
    watch.on(Event::Opened(Ok(both.clone())));
    let params = Bytes::from_static(b"{}");
    let so_far = |id: &str| Event::Received(TopicChange::Task(id.into(), params.clone()));
    let news = Output::Notify(InterestId(2), SubscriberUpdate::Task(params.clone()));
    assert_eq!(watch.on(so_far("t")), [news]);
    assert_eq!(watch.on(so_far("u")), []);
    // The name of a resource does not match the id of a task.
    assert_eq!(watch.on(updated("t")), []);
    watch.on(Event::Lost);
    watch.on(Event::BackoffElapsed);
    assert_eq!(watch.on(Event::Opened(Ok(both))), [told(1, "one+a:1")]);
}

#[test]
fn the_number_of_subscribed_resources_is_bounded() {
    let mut watch = TestSubscriptions::new();
    for n in 0..MAX_TOPICS as u64 {
        watch.on(want(n, &format!("a:{n}")));
    }
    let more = watch.on(want(100_000, "b:1"));
    assert_eq!(more, [Output::Answer(100_000, Err(UpstreamFailure::Busy))]);
    // A topic that is already on the feed can be subscribed to again.
    assert_eq!(watch.on(want(100_001, "a:1")), []);
}

#[derive(Debug, Clone)]
enum RandomMove {
    Want(&'static str),
    Leave(u64),
    Opened(Option<BTreeSet<&'static str>>),
    Updated(&'static str),
    Lost,
    Retry,
}

const ALL: [&str; 3] = ["a:1", "a:2", "b:1"];

fn moves() -> impl Strategy<Value = Vec<RandomMove>> {
    let uri = || prop::sample::select(ALL.to_vec());
    let one = prop_oneof![
        5 => uri().prop_map(RandomMove::Want),
        4 => (0_u64..20).prop_map(RandomMove::Leave),
        4 => prop::option::weighted(0.8, prop::collection::btree_set(uri(), 0..4)).prop_map(RandomMove::Opened),
        3 => uri().prop_map(RandomMove::Updated),
        1 => Just(RandomMove::Lost),
        2 => Just(RandomMove::Retry),
    ];
    prop::collection::vec(one, 0..80)
}

proptest! {
    /// Reference model: the requested topics, and the answered subscriptions.
    #[test]
    fn only_subscribers_are_notified_and_each_request_is_answered_once(moves in moves()) {
        let mut watch = TestSubscriptions::new();
        let mut wants: BTreeMap<u64, &str> = BTreeMap::new();
        let mut answers: BTreeMap<u64, bool> = BTreeMap::new();
        let (mut next, mut opening, mut pausing, mut over) = (0, false, false, false);
        for one in moves {
            let mut left = None;
            let event = match one {
                RandomMove::Want(uri) => {
                    wants.insert(next, uri);
                    next += 1;
                    want(next - 1, uri)
                }
                RandomMove::Leave(n) if n >= next => continue,
                RandomMove::Leave(n) => {
                    wants.remove(&n);
                    left = Some(n);
                    Event::Unsubscribe(InterestId(n))
                }
                RandomMove::Opened(_) if !opening => continue,
                RandomMove::Opened(agreed) => {
                    opening = false;
                    let agreed = agreed.map(|all| uris(&all.into_iter().collect::<Vec<_>>()));
                    Event::Opened(agreed.ok_or(UpstreamFailure::Unreachable))
                }
                RandomMove::Updated(uri) => updated(uri),
                RandomMove::Lost if opening => continue,
                RandomMove::Lost => Event::Lost,
                RandomMove::Retry if !pausing => continue,
                RandomMove::Retry => { pausing = false; Event::BackoffElapsed }
            };
            if let Some(n) = left { answers.entry(n).or_insert(true); }
            let outputs = watch.on(event);
            // Subscriptions that the server rejects later are removed without an answer.
            wants.retain(|n, _| !answers.contains_key(n) || watch.interests.contains_key(&InterestId(*n)));
            for output in outputs {
                prop_assert!(!over || matches!(output, Output::Answer(_, Err(_))));
                match output {
                    Output::Open(asked) => {
                        prop_assert!(!opening && !asked.is_empty());
                        let wanted: Vec<&str> = wants.values().copied().collect();
                        prop_assert_eq!(asked, uris(&wanted));
                        opening = true;
                    }
                    Output::Notify(InterestId(n), exposed) => {
                        let own = format!("one+{}", wants[&n]);
                        prop_assert_eq!(SubscriberUpdate::Updated(own.into()), exposed);
                    }
                    Output::Answer(n, answer) => {
                        prop_assert!(answers.insert(n, answer.is_ok()).is_none());
                        if answer.is_err() { wants.remove(&n); }
                    }
                    Output::StartBackoff => pausing = true,
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
