//! Tests of the probe schedule.

use proptest::prelude::*;

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FAILED: Event = Event::Ended {
    well: false,
    changed: false,
};

fn worked(changed: bool) -> Event {
    let well = true;
    Event::Ended { well, changed }
}

fn probed_once(pace: Pace) -> Schedule {
    let mut schedule = Schedule::new(pace);
    assert_eq!(schedule.step(Event::Changed, secs(0), 0), Step::Probe);
    schedule
}

#[test]
fn a_healthy_server_is_asked_every_interval_give_or_take_a_tenth() {
    for random in [0, 12_345_678, u64::MAX] {
        let mut schedule = probed_once(Pace::default());
        let Step::Wake(wait) = schedule.step(worked(true), secs(1), random) else {
            panic!("no alarm")
        };
        assert!((secs(270)..=secs(330)).contains(&wait), "{wait:?}");
        assert_eq!(
            schedule.step(Event::Due, secs(2), 0),
            Step::Wake(wait - secs(1))
        );
        assert_eq!(schedule.step(Event::Due, secs(1) + wait, 0), Step::Probe);
    }
}

#[test]
fn a_failing_server_is_asked_less_and_less_and_a_change_forgives_it() {
    let mut schedule = probed_once(Pace::default());
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        let Step::Wake(wait) = schedule.step(FAILED, secs(0), u64::MAX / 2) else {
            panic!("no alarm")
        };
        assert!(wait <= secs(300));
        longest = longest.max(wait);
        assert_eq!(schedule.step(Event::Due, wait, 0), Step::Probe);
    }
    assert!(longest >= secs(150));
    schedule.step(Event::Changed, secs(0), 0);
    assert_eq!(schedule.step(FAILED, secs(0), 0), Step::Probe);
    assert_eq!(schedule.failures(), 0);
}

/// Returns the start times of probes while announcements arrive every 10 ms for the duration `long`. A probe takes 10
/// ms.
fn flooded(long: Duration, changed: bool) -> Vec<Duration> {
    let mut schedule = probed_once(Pace::default());
    let mut now = secs(100);
    schedule.step(worked(true), now, 0);
    let (end, mut probes, mut due) = (now + long, Vec::new(), Duration::MAX);
    while now < end {
        let mut step = schedule.step(Event::Announced, now, 0);
        if now >= due && step != Step::Probe {
            step = schedule.step(Event::Due, now, 0);
        }
        if step == Step::Probe {
            probes.push(now);
            step = schedule.step(worked(changed), now + Duration::from_millis(10), 0);
        }
        now += Duration::from_millis(10);
        if let Step::Wake(wait) = step {
            due = now + wait;
        }
    }
    probes
}

#[test]
fn the_first_announcement_is_heard_at_once_and_a_flood_of_nothing_is_not() {
    let probes = flooded(secs(600), false);
    assert_eq!(probes.first(), Some(&secs(100)));
    assert!((3..=20).contains(&probes.len()), "{probes:?}");
}

#[test]
fn changes_that_go_on_are_looked_at_twice_a_second_and_then_once() {
    let probes = flooded(secs(60), true);
    let within = |from: u64, to: u64| {
        let range = secs(100 + from)..=secs(100 + to);
        probes.iter().filter(|at| range.contains(at)).count()
    };
    assert!((18..=20).contains(&within(0, 10)), "{probes:?}");
    assert!((9..=11).contains(&within(40, 50)), "{probes:?}");
    let apart = probes.windows(2).map(|two| two[1] - two[0]);
    assert!(apart.max() <= Some(secs(1) + Duration::from_millis(20)));
}

/// Several changes, as a person or a script makes them, each followed by a probe without a change.
#[test]
fn several_changes_within_seconds_are_each_looked_at_within_the_gap() {
    let mut schedule = probed_once(Pace::default());
    let mut now = secs(100);
    schedule.step(worked(true), now, 0);
    for _ in 0..4 {
        for changed in [true, false] {
            now += Duration::from_millis(300);
            let wait = match schedule.step(Event::Announced, now, 0) {
                Step::Wake(wait) => wait,
                Step::Probe | Step::Nothing => Duration::ZERO,
            };
            assert!(wait <= Pace::default().gap, "{wait:?}");
            now += wait;
            if !schedule.is_probing() {
                assert_eq!(schedule.step(Event::Due, now, 0), Step::Probe);
            }
            schedule.step(worked(changed), now, 0);
        }
    }
}

#[test]
fn what_comes_up_during_a_probe_is_not_lost() {
    let mut schedule = probed_once(Pace::default());
    let early = Duration::from_millis(100);
    assert_eq!(schedule.step(Event::Announced, early, 0), Step::Nothing);
    assert_eq!(
        schedule.step(worked(true), early, 0),
        Step::Wake(Pace::default().gap - early)
    );
    let mut schedule = probed_once(Pace::default());
    assert_eq!(schedule.step(Event::Changed, secs(1), 0), Step::Nothing);
    assert_eq!(schedule.step(Event::Announced, secs(1), 0), Step::Nothing);
    assert_eq!(schedule.step(worked(true), secs(2), 0), Step::Probe);
}

#[test]
fn an_operator_does_not_wait() {
    let mut schedule = probed_once(Pace::default());
    assert_eq!(schedule.step(Event::Asked, secs(0), 0), Step::Nothing);
    schedule.step(FAILED, secs(1), 0);
    assert_eq!(schedule.step(Event::Asked, secs(1), 0), Step::Probe);
}

/// Returns the delay after each of these feeds. `Some` is the time for which a feed was open, in seconds; `None` is a
/// feed that never opened.
fn silences(feeds: &[Option<u64>]) -> Vec<Duration> {
    let mut schedule = probed_once(Pace::default());
    let mut now = Duration::ZERO;
    schedule.step(worked(true), now, 0);
    let mut all = Vec::new();
    for stood in feeds {
        now += secs(stood.unwrap_or_default());
        let stood = stood.is_some();
        let step = schedule.step(Event::FeedEnded { stood }, now, u64::MAX / 2);
        let Step::Wake(wait) = step else {
            panic!("{step:?}")
        };
        all.push(wait);
        now += wait;
        assert_eq!(schedule.step(Event::Due, now, 0), Step::Probe);
        schedule.step(worked(false), now, 0);
    }
    all
}

#[test]
fn after_a_feed_ends_a_server_is_listened_to_again_soon_and_later_each_time_it_ends_at_once() {
    let retry = Pace::default().retry;
    for wait in silences(&[Some(60); 10]) {
        assert!((retry / 2..=retry).contains(&wait), "{wait:?}");
    }
    let at_once = silences(&[Some(0); 10]);
    assert!(at_once.first() <= Some(&retry));
    assert!(at_once.last() >= Some(&secs(30)), "{at_once:?}");
    assert!(at_once.iter().max() <= Some(&secs(60)), "{at_once:?}");
    let never = silences(&[None; 12]);
    assert!(never.first() <= Some(&retry));
    assert!(never.last() >= Some(&secs(120)), "{never:?}");
    let forgiven = silences(&[Some(0), Some(0), Some(0), Some(31)]);
    assert!(forgiven.last() <= Some(&retry), "{forgiven:?}");
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Changed),
        Just(Event::Asked),
        Just(Event::Announced),
        any::<bool>().prop_map(|stood| Event::FeedEnded { stood }),
        Just(Event::Due),
        any::<(bool, bool)>().prop_map(|(well, changed)| Event::Ended { well, changed }),
    ]
}

proptest! {
    /// For any sequence of events, at most one probe runs, and without a running probe a timer is set.
    #[test]
    fn it_never_runs_twice_and_never_falls_asleep(
        events in proptest::collection::vec((event(), 0u64..5000, any::<u64>()), 1..200),
    ) {
        let mut schedule = Schedule::new(Pace::default());
        let mut now = Duration::ZERO;
        let mut probing = schedule.step(Event::Changed, now, 0) == Step::Probe;
        let mut alarm = None;
        for (event, millis, random) in events {
            now += Duration::from_millis(millis);
            let ends = matches!(event, Event::Ended { .. });
            if ends && !probing {
                continue;
            }
            match schedule.step(event, now, random) {
                Step::Probe => {
                    prop_assert!(!probing || ends);
                    probing = true;
                    alarm = None;
                }
                Step::Wake(wait) => {
                    prop_assert!(wait <= Duration::from_secs(330));
                    probing = false;
                    alarm = Some(now + wait);
                }
                Step::Nothing => prop_assert!(probing),
            }
            prop_assert_eq!(probing, schedule.is_probing());
            prop_assert!(probing || alarm.is_some());
        }
    }
}
