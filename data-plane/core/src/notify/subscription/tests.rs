//! Tests of subscriptions: the acknowledgement comes first, only requested changes are reported, and every message
//! carries the id of the request.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::notify::debouncer::MAX_PENDING_UPDATES;

fn us() -> Implementation {
    Implementation {
        name: "main".to_owned(),
        title: String::new(),
        version: "1".to_owned(),
    }
}

fn filter(json: &Value) -> SubscriptionFilter {
    SubscriptionFilter::read(json.to_string().as_bytes()).unwrap()
}

fn written(outputs: Vec<Output>) -> Vec<Value> {
    let read = |output| match output {
        Output::Write(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Output::StartDelay(_) | Output::Stop => None,
    };
    outputs.into_iter().filter_map(read).collect()
}

#[test]
fn the_acknowledgement_lists_the_accepted_filter_and_all_messages_carry_the_id() {
    for id in [r#""a\u0031""#, "7", "\"7\""] {
        let mut subscription = SubscriptionMachine::new(id.into(), &us());
        let asked = filter(&json!({"toolsListChanged": true, "resourceSubscriptions": ["a:1"]}));
        let [Output::Write(first)] = &subscription.on(Event::Acknowledged(asked))[..] else {
            panic!("not one message");
        };
        let text = std::str::from_utf8(first).unwrap();
        let tag = format!(r#""io.modelcontextprotocol/subscriptionId":{id}"#);
        assert!(text.contains(&tag), "{text}");
        assert!(
            text.contains(
                r#""notifications":{"toolsListChanged":true,"resourceSubscriptions":["a:1"]}"#
            ),
            "{text}"
        );
        assert_eq!(
            subscription.on(Event::Changed(ListChanges::ALL)),
            [Output::StartDelay(DebounceDelay::Initial)]
        );
        assert_eq!(subscription.on(Event::Updated("a:1/x".into())), []);
        assert_eq!(subscription.on(Event::Updated("b:1".into())), []);
        let mut told = subscription.on(Event::DelayElapsed);
        assert_eq!(
            told.pop(),
            Some(Output::StartDelay(DebounceDelay::Cooldown))
        );
        for output in &told {
            let Output::Write(bytes) = output else {
                panic!("{output:?}");
            };
            assert!(std::str::from_utf8(bytes).unwrap().contains(&tag));
        }
        let methods: Vec<Value> = written(told).iter().map(|m| m["method"].clone()).collect();
        assert_eq!(
            methods,
            [
                "notifications/tools/list_changed",
                "notifications/resources/updated"
            ]
        );
        let end = subscription.on(Event::End);
        let [Output::Write(last), Output::Stop] = &end[..] else {
            panic!("{end:?}");
        };
        let text = std::str::from_utf8(last).unwrap();
        assert!(text.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"#)));
        assert!(
            text.contains(&tag) && text.contains(r#""resultType":"complete""#),
            "{text}"
        );
        assert_eq!(subscription.on(Event::End), []);
    }
}

#[test]
fn changes_during_setup_are_sent_after_the_acknowledgement() {
    let mut subscription = SubscriptionMachine::new("1".into(), &us());
    assert_eq!(subscription.on(Event::Changed(ListChanges::ALL)), []);
    let asked = filter(&json!({"promptsListChanged": true}));
    let out = subscription.on(Event::Acknowledged(asked));
    assert!(
        matches!(
            out[..],
            [Output::Write(_), Output::StartDelay(DebounceDelay::Initial)]
        ),
        "{out:?}"
    );
    let told = written(subscription.on(Event::DelayElapsed));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0]["method"], "notifications/prompts/list_changed");
}

#[test]
fn updates_beyond_the_bound_collapse_into_the_subscribed_resource() {
    let mut subscription = SubscriptionMachine::new("1".into(), &us());
    let asked = filter(&json!({"resourceSubscriptions": ["a:"]}));
    subscription.on(Event::Acknowledged(asked));
    for n in 0..10 * MAX_PENDING_UPDATES {
        subscription.on(Event::Updated(format!("a:/{n}").into()));
    }
    let told = written(subscription.on(Event::DelayElapsed));
    assert_eq!(told.len(), MAX_PENDING_UPDATES + 1);
    assert_eq!(told[0]["params"]["uri"], "a:");
}

fn kinds() -> impl Strategy<Value = ListChanges> {
    any::<[bool; 3]>().prop_map(|[tools, prompts, resources]| ListChanges {
        tools,
        prompts,
        resources,
    })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let uri = prop::sample::select(vec!["a:1", "a:1/x", "a:2", "b:1"]).prop_map(Box::<str>::from);
    let event = prop_oneof![
        4 => kinds().prop_map(Event::Changed),
        4 => uri.prop_map(Event::Updated),
        3 => Just(Event::DelayElapsed),
        1 => Just(Event::End),
        1 => Just(Event::Acknowledged(SubscriptionFilter {
            list_changes: ListChanges { tools: true, prompts: false, resources: true },
            uris: BTreeSet::from(["a:1".into()]),
            tasks: BTreeSet::from(["t1".into()]),
        })),
        2 => prop::sample::select(vec!["t1", "t2"]).prop_map(|id| {
            let params = format!("{{\"taskId\":\"{id}\"}}");
            Event::Task(id.into(), params.into())
        }),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    /// Reference model: the set of changes since the last notification.
    #[test]
    fn each_subscribed_event_is_sent_once(events in events()) {
        let mut subscription = SubscriptionMachine::new("1".into(), &us());
        let (mut due, mut asked, mut over, mut pause) = (BTreeSet::new(), false, false, false);
        for event in events {
            if !over {
                match &event {
                    Event::Acknowledged(_) => asked = true,
                    Event::Changed(kinds) => due.extend(kinds.methods().map(str::to_owned)),
                    Event::Updated(uri) => { due.insert(uri.to_string()); }
                    Event::Task(id, _) => { due.insert(id.to_string()); }
                    Event::DelayElapsed | Event::End => {}
                }
            }
            if asked {
                due.retain(|what| what.contains("tools/") || what.contains("resources/") || what.starts_with("a:1") || what == "t1");
            }
            let ending = event == Event::End;
            let settled = event == Event::DelayElapsed;
            let first = matches!(event, Event::Acknowledged(_));
            let acknowledged = subscription.acknowledged().is_some();
            let out = subscription.on(event);
            if over {
                prop_assert_eq!(out, []);
                continue;
            }
            over |= ending;
            if settled { pause = false; }
            let starts = out.iter().any(|output| matches!(output, Output::StartDelay(_)));
            prop_assert!(!(starts && pause));
            pause |= starts;
            let told = written(out);
            if ending {
                prop_assert_eq!(told.len(), usize::from(asked));
            } else if settled && asked {
                let told: BTreeSet<String> = told.iter().map(|message| {
                    let params = &message["params"];
                    let named = params["uri"].as_str().or(params["taskId"].as_str());
                    named.or(message["method"].as_str()).unwrap().to_owned()
                }).collect();
                prop_assert_eq!(&told, &due);
                due.clear();
            } else if first && !acknowledged {
                prop_assert_eq!(told.len(), 1);
            } else {
                prop_assert_eq!(told.len(), 0);
            }
            // Pending changes are reported later: a delay is running.
            prop_assert!(over || !asked || due.is_empty() || pause);
        }
    }
}
