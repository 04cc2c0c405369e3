//! Honest servers are told whole; of floods the client gets what it can follow, in order, and the end.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn text(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

fn number(notice: &Bytes) -> u64 {
    std::str::from_utf8(notice).unwrap().parse().unwrap()
}

#[test]
fn no_honest_server_is_thinned() {
    let mut thinning = Thinning::default();
    let mut now = Duration::from_secs(7);
    for n in 0..10_000 {
        now += Duration::from_millis(20);
        assert!(thinning.progress(text(n), now).is_some(), "{n}");
        for _ in 0..2 {
            assert!(thinning.log(LogLevel::Debug, text(n), now).is_some());
        }
    }
    // All at once, after some quiet.
    now += Duration::from_secs(60);
    for n in 0..u64::from(PROGRESS_BURST) {
        assert!(thinning.progress(text(n), now).is_some(), "{n}");
    }
    for n in 0..u64::from(LOG_BURST) {
        assert!(thinning.log(LogLevel::Debug, text(n), now).is_some(), "{n}");
    }
    assert_eq!(thinning.due(), None);
    assert!(thinning.rest().is_empty());
}

/// A hundred thousand of each in ten seconds.
#[test]
fn mc_10_a_flood_is_thinned_to_its_rate_and_the_last_progress_arrives() {
    let mut thinning = Thinning::default();
    let (mut told, mut logs, mut notes) = (Vec::new(), 0_u64, Vec::new());
    let mut keep = |told: &mut Vec<u64>, out: Vec<Bytes>| {
        for message in out {
            match message.first() {
                Some(b'{') => notes.push(serde_json::from_slice::<Value>(&message).unwrap()),
                _ => told.push(number(&message)),
            }
        }
    };
    let mut now = Duration::ZERO;
    for n in 1..=100_000 {
        now += Duration::from_micros(100);
        if thinning.due().is_some_and(|due| due <= now) {
            let out = thinning.overdue(now);
            assert!(!out.is_empty(), "nothing is due that has nothing to say");
            keep(&mut told, out);
        }
        told.extend(thinning.progress(text(n), now).as_ref().map(number));
        let level = if n == 60_000 {
            LogLevel::Critical
        } else {
            LogLevel::Info
        };
        logs += u64::from(thinning.log(level, text(n), now).is_some());
    }
    keep(&mut told, thinning.rest());
    assert_eq!(told.last(), Some(&100_000), "the last one");
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    let most = usize::try_from(10 * PROGRESS_RATE + PROGRESS_BURST + 1).unwrap();
    assert!((most - 60..=most).contains(&told.len()), "{}", told.len());
    assert!(logs <= u64::from(10 * LOG_RATE + LOG_BURST), "{logs}");
    assert!(notes.len() <= 11, "{}", notes.len());
    let words = notes
        .iter()
        .map(|note| note["params"]["data"].as_str().unwrap());
    let left_out = words.map(|words| words.split(' ').next().unwrap().parse::<u64>().unwrap());
    assert_eq!(
        left_out.sum::<u64>() + logs,
        100_000,
        "all are accounted for"
    );
    let levels = notes
        .iter()
        .filter(|note| note["params"]["level"] == "critical");
    assert_eq!(levels.count(), 1);
    assert_eq!(thinning.due(), None);
}

proptest! {
    #[test]
    fn progress_is_told_in_order_at_no_more_than_the_rate_and_to_the_end(
        gaps in prop::collection::vec(0_u64..60_000, 1..600),
        polls in any::<bool>(),
    ) {
        let mut thinning = Thinning::default();
        let (mut now, mut told) = (Duration::ZERO, Vec::new());
        let last = u64::try_from(gaps.len()).unwrap();
        for (n, gap) in (1..).zip(gaps) {
            let then = now + Duration::from_micros(gap);
            if let Some(due) = thinning.due().filter(|due| polls && *due <= then) {
                let out = thinning.overdue(due);
                prop_assert_eq!(out.len(), 1, "due means due");
                told.extend(out.iter().map(number));
            }
            now = then;
            told.extend(thinning.progress(text(n), now).as_ref().map(number));
        }
        told.extend(thinning.rest().iter().map(number));
        prop_assert_eq!(told.last(), Some(&last));
        prop_assert!(told.is_sorted_by(|one, next| one < next));
        let seconds = u32::try_from(now.as_secs()).unwrap() + 1;
        let most = usize::try_from(seconds * PROGRESS_RATE + PROGRESS_BURST + 1).unwrap();
        prop_assert!(told.len() <= most);
    }
}
