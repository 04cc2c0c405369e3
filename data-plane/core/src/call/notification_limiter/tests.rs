//! Servers within the rates are forwarded whole; of floods the client gets a bounded number in order, and the last one.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Notifications that the client got.
#[derive(Debug, Default)]
struct ReceivedNotifications {
    progress: Vec<u64>,
    logs: Vec<u64>,
    /// Number of dropped messages and their severity, of each note.
    notes: Vec<(u64, LogLevel)>,
    /// Times of all notifications.
    times: Vec<Duration>,
}

/// A call and its client. Held notifications are sent when they are due.
#[derive(Debug, Default)]
struct Call {
    limiter: NotificationLimiter<u64>,
    received: ReceivedNotifications,
}

fn text(number: u64) -> Bytes {
    Bytes::from(number.to_string())
}

impl ReceivedNotifications {
    fn take(&mut self, told: impl IntoIterator<Item = LimitedNotification<u64>>, now: Duration) {
        for told in told {
            self.times.push(now);
            match told {
                LimitedNotification::Progress(number) => self.progress.push(number),
                LimitedNotification::Message(text) if text.first() == Some(&b'{') => {
                    let note: Value = serde_json::from_slice(&text).unwrap();
                    let words = note["params"]["data"].as_str().unwrap();
                    let count = words.split(' ').next().unwrap().parse().unwrap();
                    let level = note["params"]["level"].as_str().unwrap();
                    self.notes.push((count, LogLevel::parse(level).unwrap()));
                }
                LimitedNotification::Message(text) => {
                    let number = std::str::from_utf8(&text).unwrap().parse().unwrap();
                    self.logs.push(number);
                }
            }
        }
    }

    fn left_out(&self) -> u64 {
        self.notes.iter().map(|(count, _)| count).sum()
    }

    /// Returns the maximum number of notifications within ten seconds.
    fn most(&self) -> usize {
        let within = |from: &Duration| {
            let until = *from + 10 * SECOND;
            let told = |at: &&Duration| (*from..=until).contains(*at);
            self.times.iter().filter(told).count()
        };
        self.times.iter().map(within).max().unwrap_or_default()
    }
}

impl Call {
    fn wait(&mut self, until: Duration) {
        while let Some(due) = self.limiter.due().filter(|due| *due <= until) {
            let told = self.limiter.take_due(due);
            assert!(!told.is_empty(), "nothing is due that has nothing to say");
            self.received.take(told, due);
        }
    }

    fn progress(&mut self, number: u64, now: Duration) {
        self.wait(now);
        let told = self.limiter.progress(number, now);
        self.received
            .take(told.map(LimitedNotification::Progress), now);
    }

    fn log(&mut self, level: LogLevel, number: u64, now: Duration) {
        self.wait(now);
        let told = self.limiter.log(level, || Some(text(number)), now);
        self.received.take(told, now);
    }

    fn answer(&mut self, now: Duration) {
        self.wait(now);
        let told = self.limiter.flush();
        self.received.take(told, now);
        assert_eq!(self.limiter.due(), None);
    }
}

#[test]
fn ordinary_traffic_is_not_limited() {
    let mut call = Call::default();
    let mut now = Duration::from_secs(7);
    let mut said = 0;
    let mut say = |call: &mut Call, now| {
        said += 1;
        call.log(LogLevel::Debug, said, now);
    };
    for n in 0..2_000 {
        now += Duration::from_millis(50);
        call.progress(n, now);
        say(&mut call, now);
        say(&mut call, now);
    }
    assert_eq!(call.received.progress.len(), 2_000);
    assert_eq!(call.received.logs.len(), 4_000);
    // A burst after a pause.
    now += 60 * SECOND;
    for n in 0..u64::from(BURST) {
        call.progress(2_000 + n, now);
    }
    assert_eq!(call.received.progress.len(), 2_000 + 6);
    for _ in 0..262 {
        say(&mut call, now);
    }
    assert_eq!(call.received.logs.len(), 4_000 + 6, "the others wait");
    call.answer(now);
    let all: Vec<u64> = (1..=4_262).collect();
    assert_eq!(call.received.logs, all);
    assert_eq!(call.received.notes, []);
}

#[test]
fn queued_log_messages_are_sent_at_the_rate_and_unchanged() {
    let mut call = Call::default();
    for n in 0..200 {
        call.log(LogLevel::Info, n, Duration::ZERO);
    }
    call.wait(SECOND);
    assert_eq!(call.received.logs.len(), 6 + 50);
    call.wait(4 * SECOND);
    assert_eq!(call.received.logs.len(), 200);
    assert_eq!(call.limiter.due(), None);
}

/// A hundred thousand of each in ten seconds.
#[test]
fn mc_10_a_flood_is_limited_to_twenty_notifications_and_the_last_progress_arrives() {
    let (mut progress, mut logs) = (Call::default(), Call::default());
    let mut now = Duration::ZERO;
    for n in 1..=100_000 {
        now += Duration::from_micros(100);
        progress.progress(n, now);
        let level = if n == 60_000 {
            LogLevel::Critical
        } else {
            LogLevel::Info
        };
        logs.log(level, n, now);
    }
    progress.answer(now);
    logs.answer(now);
    let told = progress.received.progress;
    assert_eq!(told.last(), Some(&100_000), "the last one");
    assert!(told.is_sorted_by(|one, next| one < next), "{told:?}");
    assert!((15..=19).contains(&told.len()), "{}", told.len());
    let received = logs.received;
    assert!((15..=20).contains(&received.times.len()), "{received:?}");
    let passed = u64::try_from(received.logs.len()).unwrap();
    assert_eq!(
        received.left_out() + passed,
        100_000,
        "all are accounted for"
    );
    let severe = |note: &&(u64, LogLevel)| note.1 == LogLevel::Critical;
    assert_eq!(received.notes.iter().filter(severe).count(), 1);
}

/// A dropped message of any severity is not rewritten.
#[test]
fn dropped_notifications_are_never_rendered() {
    let mut call = Call::default();
    for n in 0..1_000 {
        call.log(LogLevel::Info, n, Duration::ZERO);
    }
    let none = call.limiter.log(LogLevel::Alert, || panic!("made"), SECOND);
    assert_eq!(none, []);
    // A small flood ends soon, and later messages are sent after the note.
    call.log(LogLevel::Info, 1_000, 4 * SECOND);
    let received = &call.received;
    assert_eq!(received.logs.last(), Some(&1_000));
    assert_eq!(received.notes, [(995, LogLevel::Alert)]);
}

/// Waves of a flood: a burst and a pause each, ten thousand notifications per second on average.
fn waves() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((1_u64..2_000).prop_map(|ms| (ms, ms * 10)), 4..60)
}

proptest! {
    // Each case is a hundred thousand notifications and more.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn mc_10_at_most_twenty_notifications_are_sent_in_any_ten_seconds(
        before in prop::collection::vec((0_u64..400, any::<bool>()), 0..60),
        waves in waves(),
    ) {
        let (mut progress, mut logs) = (Call::default(), Call::default());
        let (mut now, mut number) = (SECOND, 0_u64);
        // Any start state: notifications within the rates or not.
        for (gap, many) in before {
            now += Duration::from_millis(gap);
            for _ in 0..if many { 30 } else { 1 } {
                number += 1;
                progress.progress(number, now);
                logs.log(LogLevel::Info, number, now);
            }
        }
        progress.wait(now);
        logs.wait(now);
        let begins = (progress.received.times.len(), logs.received.times.len());
        let mut end = now;
        for (pause, count) in waves {
            if end > now + 14 * SECOND {
                break;
            }
            for _ in 0..count {
                number += 1;
                progress.progress(number, end);
                logs.log(LogLevel::Info, number, end);
            }
            end += Duration::from_millis(pause);
        }
        progress.answer(end);
        logs.answer(end);
        progress.received.times.drain(..begins.0);
        logs.received.times.drain(..begins.1);
        prop_assert!(progress.received.most() <= 20, "{:?}", progress.received);
        prop_assert!(logs.received.most() <= 20, "{:?}", logs.received);
    }

}

proptest! {
    #[test]
    fn progress_is_sent_in_order_to_the_end_within_the_minimum_interval(
        gaps in prop::collection::vec(0_u64..120_000, 1..600),
    ) {
        let mut call = Call::default();
        let mut now = Duration::ZERO;
        let last = u64::try_from(gaps.len()).unwrap();
        let mut told = Duration::ZERO;
        for (n, gap) in (1..).zip(gaps) {
            now += Duration::from_micros(gap);
            call.progress(n, now);
            told = call.received.times.last().copied().unwrap_or(told);
            prop_assert!(now - told <= FLOOR);
        }
        call.answer(now);
        let told = call.received.progress;
        prop_assert_eq!(told.last(), Some(&last));
        prop_assert!(told.is_sorted_by(|one, next| one < next));
        let seconds = u32::try_from(now.as_secs()).unwrap() + 1;
        let most = usize::try_from(seconds * PROGRESS_RATE + BURST + 1).unwrap();
        prop_assert!(told.len() <= most);
    }

    /// Against a model that keeps a list of everything: messages are sent in order, dropped ones are counted by the
    /// next note with their highest severity, and none is dropped while the queue has room.
    #[test]
    fn log_messages_are_sent_in_order_or_counted_as_dropped(
        said in prop::collection::vec((0_u64..200_000, 1_u64..120, 0_usize..8), 1..60),
    ) {
        const LEVELS: [&str; 8] = [
            "debug", "info", "notice", "warning", "error", "critical", "alert", "emergency",
        ];
        let mut call = Call::default();
        let (mut now, mut levels) = (Duration::ZERO, Vec::new());
        // Model of the queue, which drains at the rate.
        let (mut allowance, mut most, mut then) = (f64::from(BURST), 0.0_f64, now);
        for (gap, many, level) in said {
            now += Duration::from_micros(gap);
            allowance += (now - then).as_secs_f64() * f64::from(LOG_RATE);
            allowance = allowance.min(f64::from(BURST));
            then = now;
            for _ in 0..many {
                let level = LogLevel::parse(LEVELS[level]).unwrap();
                call.log(level, u64::try_from(levels.len()).unwrap(), now);
                levels.push(level);
                allowance -= 1.0;
            }
            most = most.max(-allowance);
        }
        call.answer(now);
        let received = call.received;
        prop_assert!(received.logs.is_sorted_by(|one, next| one < next));
        let total = u64::try_from(levels.len()).unwrap();
        prop_assert_eq!(received.left_out() + u64::try_from(received.logs.len()).unwrap(), total);
        let told = |number: &usize| received.logs.contains(&u64::try_from(*number).unwrap());
        let left_out: Vec<LogLevel> = (0..levels.len())
            .filter(|number| !told(number))
            .map(|number| levels[number])
            .collect();
        let mut rest = &left_out[..];
        for (count, level) in received.notes {
            let (these, others) = rest.split_at(usize::try_from(count).unwrap());
            prop_assert_eq!(these.iter().max(), Some(&level));
            rest = others;
        }
        if most < 255.0 {
            prop_assert!(left_out.is_empty());
        }
        if most > 258.0 {
            prop_assert!(!left_out.is_empty());
        }
    }
}
