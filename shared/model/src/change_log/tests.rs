//! Tests that a log returns all changes since a position, or says that it cannot.

use super::{ChangeLog, ChangeLogPosition, MAX_CHANGES};

fn keys(log: &ChangeLog<usize>, position: &ChangeLogPosition) -> Option<Vec<usize>> {
    log.since(position).map(|keys| keys.copied().collect())
}

#[test]
fn the_changes_after_a_position_are_returned_in_order() {
    let mut log = ChangeLog::default();
    assert_eq!(keys(&log, &ChangeLogPosition::default()), Some(vec![]));
    log.record(3);
    let position = log.position();
    assert_eq!(keys(&log, &position), Some(vec![]));
    log.record(1);
    log.record(3);
    assert_eq!(keys(&log, &position), Some(vec![1, 3]));
    assert_eq!(
        keys(&log, &ChangeLogPosition::default()),
        Some(vec![3, 1, 3])
    );
}

#[test]
fn a_position_in_another_branch_is_not_taken_for_one_of_this_log() {
    let mut log = ChangeLog::default();
    log.record(1);
    let mut other = log.clone();
    let shared = log.position();
    log.record(2);
    other.record(3);
    assert_eq!(keys(&log, &other.position()), None);
    assert_eq!(keys(&log, &shared), Some(vec![2]));
    assert_eq!(keys(&ChangeLog::default(), &shared), None);
}

#[test]
fn a_position_that_is_too_old_is_reported() {
    let mut log = ChangeLog::default();
    log.record(0);
    let position = log.position();
    for key in 1..MAX_CHANGES {
        log.record(key);
    }
    assert_eq!(keys(&log, &position).unwrap().len(), MAX_CHANGES - 1);
    log.record(MAX_CHANGES);
    assert_eq!(keys(&log, &position), None);
    assert_eq!(keys(&log, &ChangeLogPosition::default()), None);
}
