//! The newest of everything is kept, and no more than there is room for.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn task(id: &str, notice: Bytes) -> Told {
    Told::Task(id.into(), notice)
}

#[test]
fn of_each_task_and_resource_the_newest_is_kept() {
    let mut backlog = Backlog::default();
    for told in [
        task("a", Bytes::from_static(b"1")),
        Told::Updated("a".into()),
        task("b", Bytes::from_static(b"1")),
        task("a", Bytes::from_static(b"2")),
        Told::Updated("a".into()),
    ] {
        backlog.push(told);
    }
    let kept: Vec<Told> = std::iter::from_fn(|| backlog.pop()).collect();
    let newest = [
        task("b", Bytes::from_static(b"1")),
        task("a", Bytes::from_static(b"2")),
        Told::Updated("a".into()),
    ];
    assert_eq!(kept, newest);
    assert_eq!(backlog.bytes, 0);
}

proptest! {
    #[test]
    fn it_has_room_for_so_much_and_keeps_the_last(
        all in proptest::collection::vec((0_u16..2_000, 0_usize..64 * 1024, any::<bool>()), 1..400),
    ) {
        let mut backlog = Backlog::default();
        for (id, bytes, is_task) in all {
            let id = id.to_string();
            let told = if is_task {
                task(&id, vec![b'x'; bytes].into())
            } else {
                Told::Updated(id.into())
            };
            backlog.push(told.clone());
            prop_assert_eq!(backlog.told.back(), Some(&told));
            prop_assert_eq!(backlog.bytes, backlog.told.iter().map(size).sum::<usize>());
            prop_assert!(backlog.told.len() <= BACKLOG && backlog.bytes <= BACKLOG_BYTES);
        }
    }
}
