//! Tests of the read limiter: ordinary streams are never delayed and rarely read the clock; floods are read in quanta
//! at the limited rate.

use super::*;

/// Reads `count` units at each of these moments; returns the number of clock reads and the total pause.
fn read(
    pace: &mut Pace,
    start: Instant,
    moments: impl Iterator<Item = (Duration, u32)>,
) -> (u32, Duration) {
    let (mut asked, mut paused) = (0, Duration::ZERO);
    for (at, count) in moments {
        let now = start + at + paused;
        pace.take(count);
        while pace.is_over() {
            asked += 1;
            let Some(until) = pace.pause(now) else { break };
            paused += until - now;
        }
    }
    (asked, paused)
}

#[test]
fn an_ordinary_stream_is_not_slowed_down_and_hardly_asks_for_the_time() {
    for helpings in [Helpings::AWAITED, Helpings::NEWS] {
        let start = Instant::now();
        let mut pace = Pace::new(helpings);
        // A burst at once.
        pace.take(BURST - 1);
        assert!(!pace.is_over());
        // Nine hundred per second for an hour.
        let moments = (1..=360_000).map(|n| (Duration::from_millis(10) * n, 9));
        let (asked, paused) = read(&mut pace, start, moments);
        assert_eq!(paused, Duration::ZERO);
        assert!(asked < 360_000 * 9 / (BURST / 2), "{asked}");
        assert!(!pace.in_helpings());
    }
}

#[test]
fn mc_10_a_flood_is_read_a_hundred_times_a_second_or_ten_times_where_nobody_waits() {
    for (helpings, rate, wakes) in [
        (Helpings::AWAITED, 25_000, 100),
        (Helpings::NEWS, 1_000, 10),
    ] {
        let start = Instant::now();
        let mut pace = Pace::new(helpings);
        let (mut now, mut taken, mut pauses) = (start, 0, 0);
        // Data is always available, and reading takes no time.
        while now < start + Duration::from_secs(10) {
            pace.take(2);
            taken += 2;
            if pace.is_over()
                && let Some(until) = pace.pause(now)
            {
                pauses += 1;
                now = until;
            }
        }
        let most = 10 * rate + 3 * BURST;
        assert!((10 * rate - BURST..=most).contains(&taken), "{taken}");
        assert!(pauses <= 10 * wakes + 1, "{pauses}");
        // After silence, the stream is not limited.
        now += EACH * MOST;
        let _helping_ends = pace.pause(now);
        assert!(!pace.in_helpings());
    }
}

#[test]
fn a_helping_ends_where_there_is_no_more_to_read() {
    let start = Instant::now();
    let mut pace = Pace::new(Helpings::AWAITED);
    pace.take(2 * BURST);
    let until = pace.pause(start).unwrap();
    assert!(pace.in_helpings() && !pace.is_over());
    pace.take(1);
    assert_eq!(pace.pause(until), Some(until + Helpings::AWAITED.pause));
}

#[test]
fn answers_do_not_count() {
    let mut pace = Pace::new(Helpings::AWAITED);
    for _ in 0..100_000 {
        pace.take(ANSWER);
        assert!(!pace.is_over());
        pace.forgive(ANSWER);
    }
}

#[test]
fn no_pause_is_long_and_none_is_in_the_past() {
    for helpings in [Helpings::AWAITED, Helpings::NEWS] {
        let (mut pace, mut now) = (Pace::new(helpings), Instant::now());
        for n in 0_u32..100_000 {
            // Units from zero to excessive, in pseudo-random order.
            let some = n.wrapping_mul(2_654_435_761);
            now += Duration::from_millis(u64::from(some % 2_003));
            pace.take((some >> 8) % 100_003);
            if pace.is_over() {
                let until = pace.pause(now);
                assert!(until.is_none_or(|until| until > now && until <= now + LONGEST));
                assert!(pace.taken <= MOST && !pace.is_over());
            }
        }
    }
}
