//! Tests of debouncing: every change is sent once, within bounds, and never during a delay.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum DebouncerStep {
    Change(ListChanges),
    Update(u16),
    Task(u8, u8),
    /// The delay ends; true if the client has an open stream.
    Settle(bool),
    /// The client opens a stream.
    Tell,
}

fn steps() -> impl Strategy<Value = Vec<DebouncerStep>> {
    let kinds = any::<[bool; 3]>().prop_map(|[tools, prompts, resources]| ListChanges {
        tools,
        prompts,
        resources,
    });
    let step = prop_oneof![
        2 => kinds.prop_map(DebouncerStep::Change),
        8 => (0_u16..200).prop_map(DebouncerStep::Update),
        4 => (0_u8..120, any::<u8>()).prop_map(|(id, word)| DebouncerStep::Task(id, word)),
        2 => any::<bool>().prop_map(DebouncerStep::Settle),
        1 => Just(DebouncerStep::Tell),
    ];
    prop::collection::vec(step, 0..400)
}

/// Reference model: pending notifications by name, with their latest status.
#[derive(Default)]
struct PendingNotifications(BTreeMap<String, String>);

impl PendingNotifications {
    fn name(notice: &ChangeNotification) -> (String, String) {
        match notice {
            ChangeNotification::ListChanged(method) => ((*method).to_owned(), String::new()),
            ChangeNotification::ResourceUpdated(uri) => (uri.to_string(), String::new()),
            ChangeNotification::TaskStatus(params) => {
                let text = std::str::from_utf8(params).unwrap();
                let (id, word) = text.split_once(' ').unwrap();
                (id.to_owned(), word.to_owned())
            }
        }
    }
}

proptest! {
    #[test]
    fn every_notification_is_sent_once_with_its_latest_content_and_a_pause_between(steps in steps()) {
        let (mut pacer, mut due, mut pausing) = (Debouncer::default(), PendingNotifications::default(), false);
        for step in steps {
            let mut told = Vec::new();
            match step {
                DebouncerStep::Change(kinds) => {
                    pacer.add_list_changes(kinds);
                    due.0.extend(kinds.methods().map(|it| (it.to_owned(), String::new())));
                }
                DebouncerStep::Update(n) => {
                    let uri = format!("u:{n}");
                    let full = pacer.pending_updates() == MAX_PENDING_UPDATES && !due.0.contains_key(&uri);
                    prop_assert_eq!(pacer.add_resource_update(uri.clone().into()).is_err(), full);
                    if !full {
                        due.0.insert(uri, String::new());
                    }
                }
                DebouncerStep::Task(id, word) => {
                    let id = format!("t:{id}");
                    let tasks = due.0.keys().filter(|name| name.starts_with("t:")).count();
                    pacer.add_task_status(id.clone().into(), format!("{id} {word}").into());
                    if tasks < MAX_TASKS || due.0.contains_key(&id) {
                        due.0.insert(id, word.to_string());
                    }
                }
                DebouncerStep::Settle(heard) => {
                    pacer.delay_elapsed();
                    pausing = false;
                    if heard {
                        told = pacer.take_due();
                    }
                }
                DebouncerStep::Tell => {
                    told = pacer.take_due();
                    prop_assert!(!pausing || told.is_empty(), "in a pause");
                }
            }
            prop_assert_eq!(pacer.pending() + told.len(), due.0.len());
            if !told.is_empty() {
                pausing = true;
                let told: BTreeMap<_, _> = told.iter().map(PendingNotifications::name).collect();
                prop_assert_eq!(told, std::mem::take(&mut due.0));
            }
            prop_assert!(pacer.pending_updates() <= MAX_PENDING_UPDATES);
            let begins = pacer.start_delay();
            prop_assert_eq!(begins.is_some(), !pausing && !due.0.is_empty());
            pausing |= begins.is_some();
        }
    }
}

#[test]
fn task_notifications_are_sent_only_to_subscriptions() {
    let notice = ChangeNotification::TaskStatus(Bytes::from_static(b"{}"));
    assert_eq!(notice.to_message(None), None);
    assert!(notice.to_message(Some("1")).is_some());
}
