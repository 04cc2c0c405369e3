//! Tests of the shared log level: every state survives its encoding, and concurrent callers send each level once.

use std::{collections::BTreeSet, thread};

use super::*;

#[test]
fn every_state_survives_its_encoding() {
    let levels = LogLevel::ALL.into_iter().map(UpstreamLogLevel::Set);
    let others = [
        UpstreamLogLevel::Unsupported,
        UpstreamLogLevel::Unset,
        UpstreamLogLevel::ServerDefault,
    ];
    let states: Vec<_> = levels.chain(others).collect();
    let codes: BTreeSet<u8> = states.iter().map(|state| encode(*state)).collect();
    assert_eq!(codes.len(), states.len());
    for state in states {
        assert_eq!(decode(encode(state)), state);
    }
}

#[test]
fn of_concurrent_callers_one_sends_each_level_and_the_lowest_remains() {
    for _round in 0..50 {
        let shared = AtomicLogLevel::new(UpstreamLogLevel::Unset);
        let sent: Vec<LogLevel> = thread::scope(|scope| {
            let request = |level| shared.request(Some(level), true);
            let callers: Vec<_> = [LogLevel::ALL, LogLevel::ALL]
                .into_iter()
                .flatten()
                .map(|level| scope.spawn(move || request(level)))
                .collect();
            let changes = callers.into_iter().map(|caller| caller.join().unwrap());
            changes.flatten().map(|change| change.level).collect()
        });
        let distinct: BTreeSet<LogLevel> = sent.iter().copied().collect();
        assert_eq!(distinct.len(), sent.len(), "{sent:?}");
        assert!(distinct.contains(&LogLevel::Debug));
        assert_eq!(shared.request(Some(LogLevel::Debug), true), None);
    }
}

#[test]
fn a_reverted_level_is_sent_by_the_next_caller() {
    let shared = AtomicLogLevel::new(UpstreamLogLevel::Unset);
    let notice = Some(LogLevel::Notice);
    let failed = shared.request(notice, true).unwrap();
    shared.revert(failed);
    let change = shared.request(notice, true).unwrap();
    assert_eq!(change, failed);
    assert!(shared.request(Some(LogLevel::Debug), true).is_some());
    shared.revert(change);
    assert_eq!(shared.request(notice, true), None, "a lower level is set");
}
