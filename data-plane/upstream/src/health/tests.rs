//! Tests of the health of servers.

use super::*;

fn name(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn reported(name: &ObjectName, configuration: u8) -> ReportedServer<'_> {
    ReportedServer {
        name,
        configuration: Digest([configuration; 32]),
    }
}

fn fail_as(monitor: &HealthMonitor, server: ReportedServer<'_>, now: u64) {
    let (state, failure) = (HealthState::Unavailable, UpstreamFailure::Unreachable);
    monitor.fail(server, state, failure, "refused", Timestamp(now));
}

/// Records that the configured server `id` fails.
fn fail(monitor: &HealthMonitor, id: &str, now: u64) {
    let name = name(id);
    monitor.configure(reported(&name, 1));
    fail_as(monitor, reported(&name, 1), now);
}

#[test]
fn a_report_about_a_former_configuration_of_a_server_is_dropped() {
    let (monitor, git) = (HealthMonitor::default(), name("git"));
    let (former, current) = (reported(&git, 1), reported(&git, 2));
    fail_as(&monitor, former, 1_000);
    assert_eq!(monitor.servers(Timestamp(1_000)), [], "not configured");
    fail(&monitor, "git", 1_000);
    monitor.configure(current);
    assert_eq!(monitor.servers(Timestamp(1_000)), [], "of the former one");
    fail_as(&monitor, former, 2_000);
    assert_eq!(monitor.servers(Timestamp(2_000)), []);
    fail_as(&monitor, current, 3_000);
    monitor.recover(former, Timestamp(4_000));
    monitor.forget(former);
    let shown = monitor.servers(Timestamp(4_000)).remove(0);
    assert_eq!(
        (shown.state, shown.failing_since),
        (HealthState::Unavailable, Timestamp(3_000))
    );
    // The same configuration again, as of another session: nothing is forgotten.
    monitor.configure(current);
    assert_eq!(monitor.servers(Timestamp(4_000)).len(), 1);
    monitor.forget(current);
    assert_eq!(monitor.servers(Timestamp(4_000)), []);
    fail_as(&monitor, current, 5_000);
    assert_eq!(monitor.servers(Timestamp(5_000)), []);
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
    monitor.recover(reported(&name("git"), 1), Timestamp(9_000));
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
        monitor.recover(reported(&name(&format!("s{number}")), 1), Timestamp(number));
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
    monitor.forget(reported(&name("failing"), 1));
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

fn failing_endpoint(url: &str) -> EndpointFailure {
    EndpointFailure {
        endpoint: toolgate_model::Endpoint {
            url: url.parse().unwrap(),
            region: None,
        },
        failing_since: Timestamp(500),
        failure: "upstream_unreachable".to_owned(),
        detail: String::new(),
    }
}

#[test]
fn a_server_that_answers_is_reported_for_as_long_as_one_of_its_endpoints_fails() {
    let (monitor, git) = (HealthMonitor::default(), name("git"));
    let (current, now) = (reported(&git, 1), Timestamp(1_000));
    monitor.configure(current);
    let failing = vec![failing_endpoint("https://a.example/")];
    let changes = monitor.changes();
    monitor.set_failing_endpoints(reported(&git, 2), failing.clone());
    assert_eq!(monitor.servers(now), [], "of another configuration");
    monitor.set_failing_endpoints(current, failing.clone());
    assert!(changes.has_changed().unwrap());
    let shown = monitor.servers(Timestamp(u64::MAX)).remove(0);
    assert_eq!(
        (shown.state, shown.recovered),
        (HealthState::Available, None)
    );
    assert_eq!(shown.endpoints, failing);
    // An outage of the whole server neither hides the endpoint nor outlasts it.
    fail_as(&monitor, current, 2_000);
    assert_eq!(monitor.servers(now)[0].endpoints, failing);
    monitor.set_failing_endpoints(current, Vec::new());
    monitor.recover(current, Timestamp(3_000));
    let shown = monitor.servers(Timestamp(3_000)).remove(0);
    assert_eq!((shown.outages, shown.endpoints), (1, Vec::new()));
    // A server that never failed itself leaves nothing behind.
    let wiki = name("wiki");
    monitor.configure(reported(&wiki, 1));
    monitor.set_failing_endpoints(reported(&wiki, 1), failing);
    monitor.set_failing_endpoints(reported(&wiki, 1), Vec::new());
    assert!(monitor.servers(now).iter().all(|it| it.server == git));
}
