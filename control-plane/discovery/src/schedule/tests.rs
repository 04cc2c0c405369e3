//! Tests of the probe schedule.

use proptest::prelude::*;

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const FAILED: ScheduleEvent = ScheduleEvent::Ended {
    succeeded: false,
    changed: false,
};

fn worked(changed: bool) -> ScheduleEvent {
    let succeeded = true;
    ScheduleEvent::Ended { succeeded, changed }
}

fn probed_once(pace: ScheduleOptions) -> ProbeSchedule {
    let mut schedule = ProbeSchedule::new(pace);
    assert_eq!(
        schedule.step(ScheduleEvent::Changed, secs(0), 0),
        ScheduleAction::Probe
    );
    schedule
}

#[test]
fn a_healthy_server_is_probed_every_interval_with_ten_percent_jitter() {
    for random in [0, 12_345_678, u64::MAX] {
        let mut schedule = probed_once(ScheduleOptions::default());
        let ScheduleAction::Wake(wait) = schedule.step(worked(true), secs(1), random) else {
            panic!("no alarm")
        };
        assert!((secs(270)..=secs(330)).contains(&wait), "{wait:?}");
        assert_eq!(
            schedule.step(ScheduleEvent::Due, secs(2), 0),
            ScheduleAction::Wake(wait - secs(1))
        );
        assert_eq!(
            schedule.step(ScheduleEvent::Due, secs(1) + wait, 0),
            ScheduleAction::Probe
        );
    }
}

#[test]
fn a_failing_server_backs_off_until_its_target_changes() {
    let mut schedule = probed_once(ScheduleOptions::default());
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        let ScheduleAction::Wake(wait) = schedule.step(FAILED, secs(0), u64::MAX / 2) else {
            panic!("no alarm")
        };
        assert!(wait <= secs(30), "{wait:?}");
        longest = longest.max(wait);
        assert_eq!(
            schedule.step(ScheduleEvent::Due, wait, 0),
            ScheduleAction::Probe
        );
    }
    assert!(longest >= secs(15));
    schedule.step(ScheduleEvent::Changed, secs(0), 0);
    assert_eq!(schedule.step(FAILED, secs(0), 0), ScheduleAction::Probe);
    assert_eq!(schedule.failures(), 0);
}

/// Returns the start times of probes while announcements arrive every 10 ms for the duration `long`. A probe takes 10
/// ms.
fn flooded(long: Duration, changed: bool) -> Vec<Duration> {
    let mut schedule = probed_once(ScheduleOptions::default());
    let mut now = secs(100);
    schedule.step(worked(true), now, 0);
    let (end, mut probes, mut due) = (now + long, Vec::new(), Duration::MAX);
    while now < end {
        let mut step = schedule.step(ScheduleEvent::Announced, now, 0);
        if now >= due && step != ScheduleAction::Probe {
            step = schedule.step(ScheduleEvent::Due, now, 0);
        }
        if step == ScheduleAction::Probe {
            probes.push(now);
            step = schedule.step(worked(changed), now + Duration::from_millis(10), 0);
        }
        now += Duration::from_millis(10);
        if let ScheduleAction::Wake(wait) = step {
            due = now + wait;
        }
    }
    probes
}

#[test]
fn the_first_announcement_probes_immediately_and_empty_ones_back_off() {
    let probes = flooded(secs(600), false);
    assert_eq!(probes.first(), Some(&secs(100)));
    assert!((3..=20).contains(&probes.len()), "{probes:?}");
}

#[test]
fn continuous_changes_are_probed_twice_and_later_once_per_second() {
    let probes = flooded(secs(60), true);
    let within = |from: u64, to: u64| {
        let range = secs(100 + from)..=secs(100 + to);
        probes.iter().filter(|at| range.contains(*at)).count()
    };
    assert!((18..=20).contains(&within(0, 10)), "{probes:?}");
    assert!((9..=11).contains(&within(40, 50)), "{probes:?}");
    let apart = probes.windows(2).map(|two| two[1] - two[0]);
    assert!(apart.max() <= Some(secs(1) + Duration::from_millis(20)));
}

/// Several changes, as a person or a script makes them, each followed by a probe without a change.
#[test]
fn each_of_several_quick_changes_is_probed_within_the_minimum_gap() {
    let mut schedule = probed_once(ScheduleOptions::default());
    let mut now = secs(100);
    schedule.step(worked(true), now, 0);
    for _ in 0..4 {
        for changed in [true, false] {
            now += Duration::from_millis(300);
            let wait = match schedule.step(ScheduleEvent::Announced, now, 0) {
                ScheduleAction::Wake(wait) => wait,
                ScheduleAction::Probe | ScheduleAction::Nothing => Duration::ZERO,
            };
            assert!(wait <= ScheduleOptions::default().gap, "{wait:?}");
            now += wait;
            if !schedule.is_probing() {
                assert_eq!(
                    schedule.step(ScheduleEvent::Due, now, 0),
                    ScheduleAction::Probe
                );
            }
            schedule.step(worked(changed), now, 0);
        }
    }
}

#[test]
fn an_announcement_during_a_probe_is_not_lost() {
    let mut schedule = probed_once(ScheduleOptions::default());
    let early = Duration::from_millis(100);
    assert_eq!(
        schedule.step(ScheduleEvent::Announced, early, 0),
        ScheduleAction::Nothing
    );
    assert_eq!(
        schedule.step(worked(true), early, 0),
        ScheduleAction::Wake(ScheduleOptions::default().gap - early)
    );
    let mut schedule = probed_once(ScheduleOptions::default());
    assert_eq!(
        schedule.step(ScheduleEvent::Changed, secs(1), 0),
        ScheduleAction::Nothing
    );
    assert_eq!(
        schedule.step(ScheduleEvent::Announced, secs(1), 0),
        ScheduleAction::Nothing
    );
    assert_eq!(
        schedule.step(worked(true), secs(2), 0),
        ScheduleAction::Probe
    );
}

#[test]
fn a_probe_on_demand_starts_immediately() {
    let mut schedule = probed_once(ScheduleOptions::default());
    assert_eq!(
        schedule.step(ScheduleEvent::Requested, secs(0), 0),
        ScheduleAction::Nothing
    );
    // The running probe began before the request.
    assert_eq!(schedule.step(FAILED, secs(1), 0), ScheduleAction::Probe);
    schedule.step(FAILED, secs(2), 0);
    assert_eq!(
        schedule.step(ScheduleEvent::Requested, secs(2), 0),
        ScheduleAction::Probe
    );
}

/// Returns the delay after each of these feeds. `Some` is the time for which a feed was open, in seconds; `None` is a
/// feed that never opened.
fn silences(feeds: &[Option<u64>]) -> Vec<Duration> {
    let mut schedule = probed_once(ScheduleOptions::default());
    let mut now = Duration::ZERO;
    schedule.step(worked(true), now, 0);
    let mut all = Vec::new();
    for was_open in feeds {
        now += secs(was_open.unwrap_or_default());
        let was_open = was_open.is_some();
        let step = schedule.step(ScheduleEvent::FeedEnded { was_open }, now, u64::MAX / 2);
        let ScheduleAction::Wake(wait) = step else {
            panic!("{step:?}")
        };
        all.push(wait);
        now += wait;
        assert_eq!(
            schedule.step(ScheduleEvent::Due, now, 0),
            ScheduleAction::Probe
        );
        schedule.step(worked(false), now, 0);
    }
    all
}

#[test]
fn an_ended_feed_is_reopened_soon_and_backs_off_if_it_ends_immediately() {
    let retry = ScheduleOptions::default().retry;
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

fn event() -> impl Strategy<Value = ScheduleEvent> {
    prop_oneof![
        Just(ScheduleEvent::Changed),
        Just(ScheduleEvent::Requested),
        Just(ScheduleEvent::Announced),
        any::<bool>().prop_map(|was_open| ScheduleEvent::FeedEnded { was_open }),
        Just(ScheduleEvent::Due),
        any::<(bool, bool)>()
            .prop_map(|(succeeded, changed)| ScheduleEvent::Ended { succeeded, changed }),
    ]
}

proptest! {
    /// For any sequence of events, at most one probe runs, and without a running probe a timer is set.
    #[test]
    fn never_runs_two_probes_at_once_and_always_has_a_next_wakeup(
        events in proptest::collection::vec((event(), 0u64..5000, any::<u64>()), 1..200),
    ) {
        let mut schedule = ProbeSchedule::new(ScheduleOptions::default());
        let mut now = Duration::ZERO;
        let mut probing = schedule.step(ScheduleEvent::Changed, now, 0) == ScheduleAction::Probe;
        let mut alarm = None;
        for (event, millis, random) in events {
            now += Duration::from_millis(millis);
            let ends = matches!(event, ScheduleEvent::Ended { .. });
            if ends && !probing {
                continue;
            }
            match schedule.step(event, now, random) {
                ScheduleAction::Probe => {
                    prop_assert!(!probing || ends);
                    probing = true;
                    alarm = None;
                }
                ScheduleAction::Wake(wait) => {
                    prop_assert!(wait <= Duration::from_secs(330));
                    probing = false;
                    alarm = Some(now + wait);
                }
                ScheduleAction::Nothing => prop_assert!(probing),
            }
            prop_assert_eq!(probing, schedule.is_probing());
            prop_assert!(probing || alarm.is_some());
        }
    }
}
