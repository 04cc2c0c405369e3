//! Tests of the read limiter: ordinary streams are never delayed and rarely read the clock; floods are read in quanta
//! at the limited rate.

use super::*;

/// Reads `count` units at each of these moments; returns the number of clock reads and the total pause.
fn read(
    pace: &mut ReadLimiter,
    start: Instant,
    moments: impl Iterator<Item = (Duration, u32)>,
) -> (u32, Duration) {
    let (mut asked, mut paused) = (0, Duration::ZERO);
    for (at, count) in moments {
        let now = start + at + paused;
        pace.charge(count);
        while pace.is_exhausted() {
            asked += 1;
            let Some(until) = pace.next_pause(now) else {
                break;
            };
            paused += until - now;
        }
    }
    (asked, paused)
}

#[test]
fn ordinary_streams_are_not_slowed_down_and_rarely_read_the_clock() {
    for helpings in [ReadQuantum::AWAITED, ReadQuantum::BACKGROUND] {
        let start = Instant::now();
        let mut pace = ReadLimiter::new(helpings);
        // A burst at once.
        pace.charge(BURST - 1);
        assert!(!pace.is_exhausted());
        // Nine hundred per second for an hour.
        let moments = (1..=360_000).map(|n| (Duration::from_millis(10) * n, 9));
        let (asked, paused) = read(&mut pace, start, moments);
        assert_eq!(paused, Duration::ZERO);
        assert!(asked < 360_000 * 9 / (BURST / 2), "{asked}");
        assert!(!pace.is_limited());
    }
}

#[test]
fn mc_10_a_flood_is_read_a_hundred_times_a_second_or_ten_times_without_a_waiting_call() {
    for (helpings, rate, wakes) in [
        (ReadQuantum::AWAITED, 25_000, 100),
        (ReadQuantum::BACKGROUND, 1_000, 10),
    ] {
        let start = Instant::now();
        let mut pace = ReadLimiter::new(helpings);
        let (mut now, mut taken, mut pauses) = (start, 0, 0);
        // Data is always available, and reading takes no time.
        while now < start + Duration::from_secs(10) {
            pace.charge(2);
            taken += 2;
            if pace.is_exhausted()
                && let Some(until) = pace.next_pause(now)
            {
                pauses += 1;
                now = until;
            }
        }
        let most = 10 * rate + 3 * BURST;
        assert!((10 * rate - BURST..=most).contains(&taken), "{taken}");
        assert!(pauses <= 10 * wakes + 1, "{pauses}");
        // After silence, the stream is not limited.
        now += REFILL_INTERVAL * MAX_DEBT;
        let _helping_ends = pace.next_pause(now);
        assert!(!pace.is_limited());
    }
}

#[test]
fn a_read_quantum_ends_when_no_more_bytes_are_available() {
    let start = Instant::now();
    let mut pace = ReadLimiter::new(ReadQuantum::AWAITED);
    pace.charge(2 * BURST);
    let until = pace.next_pause(start).unwrap();
    assert!(pace.is_limited() && !pace.is_exhausted());
    pace.charge(1);
    assert_eq!(
        pace.next_pause(until),
        Some(until + ReadQuantum::AWAITED.pause)
    );
}

#[test]
fn responses_do_not_count_against_the_quantum() {
    let mut pace = ReadLimiter::new(ReadQuantum::AWAITED);
    for _ in 0..100_000 {
        pace.charge(ANSWER_COST);
        assert!(!pace.is_exhausted());
        pace.refund(ANSWER_COST);
    }
}

#[test]
fn pauses_are_bounded_and_never_in_the_past() {
    for helpings in [ReadQuantum::AWAITED, ReadQuantum::BACKGROUND] {
        let (mut pace, mut now) = (ReadLimiter::new(helpings), Instant::now());
        for n in 0_u32..100_000 {
            // Units from zero to excessive, in pseudo-random order.
            let some = n.wrapping_mul(2_654_435_761);
            now += Duration::from_millis(u64::from(some % 2_003));
            pace.charge((some >> 8) % 100_003);
            if pace.is_exhausted() {
                let until = pace.next_pause(now);
                assert!(until.is_none_or(|until| until > now && until <= now + MAX_PAUSE));
                assert!(pace.debt <= MAX_DEBT && !pace.is_exhausted());
            }
        }
    }
}
