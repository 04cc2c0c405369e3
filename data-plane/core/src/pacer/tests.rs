//! Tests of debouncing: every change is sent once, within bounds, and never during a delay.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Change(Kinds),
    Update(u16),
    Task(u8, u8),
    /// The delay ends; true if the client has an open stream.
    Settle(bool),
    /// The client opens a stream.
    Tell,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kinds = any::<[bool; 3]>().prop_map(|[tools, prompts, resources]| Kinds {
        tools,
        prompts,
        resources,
    });
    let step = prop_oneof![
        2 => kinds.prop_map(Step::Change),
        8 => (0_u16..200).prop_map(Step::Update),
        4 => (0_u8..120, any::<u8>()).prop_map(|(id, word)| Step::Task(id, word)),
        2 => any::<bool>().prop_map(Step::Settle),
        1 => Just(Step::Tell),
    ];
    prop::collection::vec(step, 0..400)
}

/// Reference model: pending notifications by name, with their latest status.
#[derive(Default)]
struct Due(BTreeMap<String, String>);

impl Due {
    fn name(notice: &Notice) -> (String, String) {
        match notice {
            Notice::Changed(method) => ((*method).to_owned(), String::new()),
            Notice::Updated(uri) => (uri.to_string(), String::new()),
            Notice::Task(params) => {
                let text = std::str::from_utf8(params).unwrap();
                let (id, word) = text.split_once(' ').unwrap();
                (id.to_owned(), word.to_owned())
            }
        }
    }
}

proptest! {
    #[test]
    fn everything_is_told_once_with_its_last_word_and_a_pause_in_between(steps in steps()) {
        let (mut pacer, mut due, mut pausing) = (Pacer::default(), Due::default(), false);
        for step in steps {
            let mut told = Vec::new();
            match step {
                Step::Change(kinds) => {
                    pacer.change(kinds);
                    due.0.extend(kinds.methods().map(|it| (it.to_owned(), String::new())));
                }
                Step::Update(n) => {
                    let uri = format!("u:{n}");
                    let full = pacer.updates() == UPDATES && !due.0.contains_key(&uri);
                    prop_assert_eq!(pacer.update(uri.clone().into()).is_err(), full);
                    if !full {
                        due.0.insert(uri, String::new());
                    }
                }
                Step::Task(id, word) => {
                    let id = format!("t:{id}");
                    let tasks = due.0.keys().filter(|name| name.starts_with("t:")).count();
                    pacer.task(id.clone().into(), format!("{id} {word}").into());
                    if tasks < TASKS || due.0.contains_key(&id) {
                        due.0.insert(id, word.to_string());
                    }
                }
                Step::Settle(heard) => {
                    pacer.settled();
                    pausing = false;
                    if heard {
                        told = pacer.tell();
                    }
                }
                Step::Tell => {
                    told = pacer.tell();
                    prop_assert!(!pausing || told.is_empty(), "in a pause");
                }
            }
            prop_assert_eq!(pacer.waiting() + told.len(), due.0.len());
            if !told.is_empty() {
                pausing = true;
                let told: BTreeMap<_, _> = told.iter().map(Due::name).collect();
                prop_assert_eq!(told, std::mem::take(&mut due.0));
            }
            prop_assert!(pacer.updates() <= UPDATES);
            let begins = pacer.gather();
            prop_assert_eq!(begins.is_some(), !pausing && !due.0.is_empty());
            pausing |= begins.is_some();
        }
    }
}

#[test]
fn of_tasks_only_subscriptions_are_told() {
    let notice = Notice::Task(Bytes::from_static(b"{}"));
    assert_eq!(notice.to_message(None), None);
    assert!(notice.to_message(Some("1")).is_some());
}
