//! Tests of the schedule.

use proptest::prelude::*;

use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
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
        let Step::Wake(wait) = schedule.step(Event::Ended { well: true }, secs(1), random) else {
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
        let Step::Wake(wait) = schedule.step(Event::Ended { well: false }, secs(0), u64::MAX / 2)
        else {
            panic!("no alarm")
        };
        assert!(wait <= secs(300));
        longest = longest.max(wait);
        assert_eq!(schedule.step(Event::Due, wait, 0), Step::Probe);
    }
    assert!(longest >= secs(150));
    schedule.step(Event::Changed, secs(0), 0);
    assert_eq!(
        schedule.step(Event::Ended { well: false }, secs(0), 0),
        Step::Probe
    );
    assert_eq!(schedule.failures(), 0);
}

#[test]
fn the_first_announcement_is_heard_at_once_and_a_flood_is_not() {
    let mut schedule = probed_once(Pace::default());
    let mut now = secs(0);
    schedule.step(Event::Ended { well: true }, now, 0);
    let mut probes = 0;
    let mut due = Duration::MAX;
    // A hundred announcements a second for ten minutes; a probe takes 10 ms.
    while now < secs(600) {
        let mut step = schedule.step(Event::Announced, now, 0);
        if now >= due && step != Step::Probe {
            step = schedule.step(Event::Due, now, 0);
        }
        now += Duration::from_millis(10);
        if step == Step::Probe {
            probes += 1;
            step = schedule.step(Event::Ended { well: true }, now, 0);
        }
        if let Step::Wake(wait) = step {
            due = now + wait;
        }
    }
    assert!((3..=20).contains(&probes), "{probes}");
}

#[test]
fn what_comes_up_during_a_probe_is_not_lost() {
    let mut schedule = probed_once(Pace::default());
    assert_eq!(schedule.step(Event::Announced, secs(1), 0), Step::Nothing);
    assert_eq!(
        schedule.step(Event::Ended { well: true }, secs(2), 0),
        Step::Wake(Pace::default().gap)
    );
    let mut schedule = probed_once(Pace::default());
    assert_eq!(schedule.step(Event::Changed, secs(1), 0), Step::Nothing);
    assert_eq!(schedule.step(Event::Announced, secs(1), 0), Step::Nothing);
    assert_eq!(
        schedule.step(Event::Ended { well: true }, secs(2), 0),
        Step::Probe
    );
}

#[test]
fn an_operator_does_not_wait() {
    let mut schedule = probed_once(Pace::default());
    assert_eq!(schedule.step(Event::Asked, secs(0), 0), Step::Nothing);
    schedule.step(Event::Ended { well: false }, secs(1), 0);
    assert_eq!(schedule.step(Event::Asked, secs(1), 0), Step::Probe);
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Changed),
        Just(Event::Asked),
        Just(Event::Announced),
        Just(Event::FeedEnded),
        Just(Event::Due),
        any::<bool>().prop_map(|well| Event::Ended { well }),
    ]
}

proptest! {
    /// Whatever happens: never two probes at once, and always something to wait for.
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
