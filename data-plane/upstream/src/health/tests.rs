//! Tests of the health of servers.

use super::*;

fn name(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn fail(monitor: &HealthMonitor, id: &str, now: u64) {
    let (state, failure) = (HealthState::Unavailable, UpstreamFailure::Unreachable);
    monitor.fail(&name(id), state, failure, "refused", Timestamp(now));
}

#[test]
fn an_outage_has_its_start_its_cause_and_its_end() {
    let monitor = HealthMonitor::default();
    let mut changes = monitor.changes();
    fail(&monitor, "git", 1_000);
    fail(&monitor, "git", 5_000);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    let [git] = &monitor.servers(Timestamp(5_000))[..] else {
        panic!("{monitor:?}");
    };
    assert_eq!(
        (git.state, git.failing_since),
        (HealthState::Unavailable, Timestamp(1_000))
    );
    assert_eq!(
        (git.failure.as_str(), git.detail.as_str()),
        ("upstream_unreachable", "refused")
    );
    assert_eq!((git.outages, git.recovered), (1, None));
    monitor.recover(&name("git"), Timestamp(9_000));
    assert!(changes.has_changed().unwrap());
    let git = monitor.servers(Timestamp(9_000)).remove(0);
    assert_eq!(
        (git.state, git.recovered),
        (HealthState::Available, Some(Timestamp(9_000)))
    );
    fail(&monitor, "git", 10_000);
    let git = monitor.servers(Timestamp(10_000)).remove(0);
    assert_eq!((git.outages, git.failing_since), (2, Timestamp(10_000)));
}

#[test]
fn what_is_kept_has_a_limit_and_an_end() {
    let monitor = HealthMonitor::default();
    for number in 0..5_000_u64 {
        fail(&monitor, &format!("s{number}"), number);
        monitor.recover(&name(&format!("s{number}")), Timestamp(number));
    }
    fail(&monitor, "failing", 1);
    let kept = monitor.servers(Timestamp(5_000));
    assert!(kept.len() <= 2 * HEALTH_SERVERS, "{}", kept.len());
    assert!(kept.iter().any(|it| it.server == name("failing")));
    let later = Timestamp(5_000 + 2 * 3_600_000);
    let left: Vec<_> = monitor
        .servers(later)
        .into_iter()
        .map(|it| it.server)
        .collect();
    assert_eq!(left, [name("failing")]);
    monitor.forget(&name("failing"));
    assert_eq!(monitor.servers(later), []);
}

#[test]
fn a_description_is_cut_at_a_character() {
    let long = "\u{e9}\n".repeat(HEALTH_DETAIL);
    let failure = LastFailure::new(UpstreamFailure::Broken, &long);
    let detail = failure.detail_of(UpstreamFailure::Broken);
    assert!(detail.len() <= HEALTH_DETAIL && detail.starts_with("\u{e9} \u{e9}"));
    assert_eq!(failure.detail_of(UpstreamFailure::Timeout), "");
}
