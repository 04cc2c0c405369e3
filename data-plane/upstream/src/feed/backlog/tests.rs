//! The newest of everything is kept, and no more than there is room for.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn task(id: &str, notice: Bytes) -> TopicChange {
    TopicChange::Task(id.into(), notice)
}

#[test]
fn the_backlog_keeps_the_newest_entry_per_task_and_resource() {
    let mut backlog = FeedBacklog::default();
    for told in [
        task("a", Bytes::from_static(b"1")),
        TopicChange::Updated("a".into()),
        task("b", Bytes::from_static(b"1")),
        task("a", Bytes::from_static(b"2")),
        TopicChange::Updated("a".into()),
    ] {
        backlog.push(told);
    }
    let kept: Vec<TopicChange> = std::iter::from_fn(|| backlog.pop()).collect();
    let newest = [
        task("b", Bytes::from_static(b"1")),
        task("a", Bytes::from_static(b"2")),
        TopicChange::Updated("a".into()),
    ];
    assert_eq!(kept, newest);
    assert_eq!(backlog.bytes, 0);
}

proptest! {
    #[test]
    fn the_backlog_is_bounded_and_keeps_the_latest(
        all in proptest::collection::vec((0_u16..2_000, 0_usize..64 * 1024, any::<bool>()), 1..400),
    ) {
        let mut backlog = FeedBacklog::default();
        for (id, bytes, is_task) in all {
            let id = id.to_string();
            let told = if is_task {
                task(&id, vec![b'x'; bytes].into())
            } else {
                TopicChange::Updated(id.into())
            };
            backlog.push(told.clone());
            prop_assert_eq!(backlog.changes.back(), Some(&told));
            prop_assert_eq!(backlog.bytes, backlog.changes.iter().map(size).sum::<usize>());
            prop_assert!(backlog.changes.len() <= BACKLOG && backlog.bytes <= BACKLOG_BYTES);
        }
    }
}
