//! Tests of the log of requests.

use std::sync::Barrier;

use proptest::prelude::*;
use toolgate_data_core::{Authn, AuthnId, AuthnKind, Grant};
use toolgate_model::{AllowList, Principal};

use super::*;

fn gateway(id: &str) -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), id.parse().unwrap())
}

fn acme() -> Slug {
    "acme".parse().unwrap()
}

fn subject(gateway_id: &str, tool: &str) -> Arc<CallSubject> {
    Arc::new(CallSubject {
        gateway: gateway(gateway_id),
        gateway_uid: None,
        method: "tools/call",
        tool: Some(tool.into()),
        server: Some("git".parse().unwrap()),
    })
}

fn entry(subject: &Arc<CallSubject>, at: u64) -> CallLogEntry {
    CallLogEntry {
        subject: Arc::clone(subject),
        received: Timestamp(at),
        duration: Duration::from_millis(1),
        caller: None,
        client: ClientName::new("agent"),
        version: "2025-11-25",
        result: CallEndKind::Answered,
        reason: "",
        requested: None,
        request_bytes: 1,
        response_bytes: 2,
    }
}

fn caller(subject: PrincipalSubject, token: &str) -> Caller {
    let org = "acme".parse().unwrap();
    let authn = Authn {
        id: AuthnId([1; 32]),
        kind: AuthnKind::ApiToken,
        expires: None,
    };
    let grant = Grant::new(&AllowList::All, &AllowList::All);
    let principal = Principal { org, subject };
    Caller::new(Arc::new(principal), Arc::new(grant), authn).with_token(token.parse().unwrap())
}

fn numbers(records: &[CallRecord]) -> Vec<u64> {
    records.iter().map(|record| record.sequence).collect()
}

#[test]
fn a_reader_gets_past_records_and_then_each_further_one_once() {
    let (log, one) = (CallLog::default(), subject("tools", "git__search"));
    (0..5).for_each(|at| log.record(entry(&one, at)));
    let all = CallFilter::of_gateway(gateway("tools"));
    let mut position = log.end(&acme());
    assert_eq!(
        numbers(&log.past(position, &all, Timestamp(0), 3)),
        [2, 3, 4]
    );
    assert_eq!(numbers(&log.past(position, &all, Timestamp(4), 3)), [4]);
    assert!(log.follow(&mut position, &all, 10).records.is_empty());
    (5..8).for_each(|at| log.record(entry(&one, at)));
    assert_eq!(
        numbers(&log.follow(&mut position, &all, 10).records),
        [5, 6, 7]
    );
    assert!(log.follow(&mut position, &all, 10).records.is_empty());
}

#[test]
fn a_reader_that_falls_behind_is_told_how_many_records_it_lost() {
    let (log, one) = (CallLog::default(), subject("tools", "git__search"));
    let all = CallFilter::of_gateway(gateway("tools"));
    let mut position = log.end(&acme());
    let written = KEPT_RECORDS as u64 + 100;
    (0..written).for_each(|at| log.record(entry(&one, at)));
    let page = log.follow(&mut position, &all, 10);
    assert_eq!(page.records.len(), 10);
    assert_eq!(page.records.len() as u64 + page.lost, written);
    assert_eq!(log.follow(&mut position, &all, 10).lost, 0);
}

#[test]
fn each_field_of_a_filter_selects() {
    let log = CallLog::default();
    let (search, other) = (
        subject("tools", "git__search"),
        subject("other", "git__search"),
    );
    log.record(entry(&search, 0));
    log.record(entry(&other, 1));
    log.record(CallLogEntry {
        result: CallEndKind::Refused,
        reason: "unknown_tool",
        requested: Some(requested_name("lokup\n")),
        subject: Arc::new(CallSubject {
            tool: None,
            server: None,
            ..CallSubject::clone(&search)
        }),
        ..entry(&search, 2)
    });
    let ada = PrincipalSubject::User("ada".parse().unwrap());
    log.record(CallLogEntry {
        caller: Some(caller(ada, "laptop")),
        ..entry(&search, 3)
    });
    let all = CallFilter::of_gateway(gateway("tools"));
    let selected =
        |filter: CallFilter| numbers(&log.past(log.end(&acme()), &filter, Timestamp(0), 10));
    assert_eq!(selected(all.clone()), [0, 2, 3]);
    let failed = true;
    assert_eq!(
        selected(CallFilter {
            failed,
            ..all.clone()
        }),
        [2]
    );
    let server = Some("git".parse().unwrap());
    assert_eq!(
        selected(CallFilter {
            server,
            ..all.clone()
        }),
        [0, 3]
    );
    let tool = Some("git__search".to_owned());
    assert_eq!(
        selected(CallFilter {
            tool,
            ..all.clone()
        }),
        [0, 3]
    );
    let token = Some("laptop".parse().unwrap());
    assert_eq!(
        selected(CallFilter {
            token,
            ..all.clone()
        }),
        [3]
    );
    let principal = Some("user:ada".to_owned());
    assert_eq!(
        selected(CallFilter {
            principal,
            ..all.clone()
        }),
        [3]
    );
    let refused = log.past(log.end(&acme()), &all, Timestamp(0), 10).remove(1);
    assert_eq!(refused.tool, "lokup\u{fffd}");
    assert_eq!(refused.reason, "unknown_tool");
}

#[test]
fn a_reader_of_a_gateway_gets_no_record_of_another_one_of_the_same_name() {
    let log = CallLog::default();
    let of = |uid: Option<&str>| {
        Arc::new(CallSubject {
            gateway_uid: uid.map(|uid| Uid::of(&uid)),
            ..CallSubject::clone(&subject("tools", "git__search"))
        })
    };
    let subjects = [of(Some("earlier")), of(Some("later")), of(None)];
    let mut position = log.end(&acme());
    for (at, subject) in subjects.iter().enumerate() {
        log.record(entry(subject, at as u64));
    }
    let by_name = CallFilter::of_gateway(gateway("tools"));
    let later = CallFilter {
        gateway_uid: Some(Uid::of(&"later")),
        ..by_name.clone()
    };
    assert_eq!(
        numbers(&log.past(log.end(&acme()), &later, Timestamp(0), 10)),
        [1]
    );
    let page = log.follow(&mut position, &later, 10);
    assert_eq!((numbers(&page.records), page.lost), (vec![1], 0));
    // A control plane of an earlier build names no identity.
    let all = log.past(log.end(&acme()), &by_name, Timestamp(0), 10);
    assert_eq!(numbers(&all), [0, 1, 2]);
}

#[test]
fn long_and_strange_names_of_clients_are_cut() {
    let long = "é".repeat(100);
    let name = ClientName::new(&long).to_text();
    assert!(name.len() <= CLIENT_NAME && long.starts_with(&name));
    assert_eq!(ClientName::new("a\u{1b}[2J").to_text(), "a\u{fffd}[2J");
    assert_eq!(ClientName::default().to_text(), "");
}

#[test]
fn writers_on_all_threads_lose_nothing_but_what_a_reader_holds() {
    const WRITERS: u64 = 4;
    const ENTRIES: u64 = 500;
    let log = CallLog::default();
    let one = subject("tools", "git__search");
    let start = Barrier::new(WRITERS as usize);
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                start.wait();
                (0..ENTRIES).for_each(|at| log.record(entry(&one, at)));
            });
        }
    });
    let all = CallFilter::of_gateway(gateway("tools"));
    let records = log.past(log.end(&acme()), &all, Timestamp(0), KEPT_RECORDS);
    assert_eq!(
        numbers(&records),
        (0..WRITERS * ENTRIES).collect::<Vec<_>>()
    );
}

fn of_organization(organization: usize) -> Arc<CallSubject> {
    let org = format!("org-{organization}").parse().unwrap();
    Arc::new(CallSubject {
        gateway: ObjectName::new(org, "tools".parse().unwrap()),
        ..CallSubject::clone(&subject("tools", "git__search"))
    })
}

/// Organization of a test, as its readers see it.
struct Tenant {
    subject: Arc<CallSubject>,
    filter: CallFilter,
    written: u64,
    position: LogPosition,
    read: u64,
    lost: u64,
}

impl Tenant {
    fn new(log: &CallLog, organization: usize) -> Self {
        let subject = of_organization(organization);
        let filter = CallFilter::of_gateway(subject.gateway.clone());
        Self {
            position: log.end(&subject.gateway.org),
            subject,
            filter,
            written: 0,
            read: 0,
            lost: 0,
        }
    }

    fn write(&mut self, log: &CallLog, count: u64) {
        for _ in 0..count {
            log.record(entry(&self.subject, self.written));
            self.written += 1;
        }
    }

    fn follow(&mut self, log: &CallLog) {
        let page = log.follow(&mut self.position, &self.filter, usize::MAX);
        self.read += page.records.len() as u64;
        self.lost += page.lost;
    }

    fn kept(&self, log: &CallLog) -> Vec<u64> {
        let end = log.end(&self.subject.gateway.org);
        numbers(&log.past(end, &self.filter, Timestamp(0), usize::MAX))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_organization_keeps_its_share_and_sees_its_own_losses_only(
        count in 1_usize..8,
        steps in prop::collection::vec((0_usize..8, 0_u64..3_000, any::<bool>()), 1..24),
    ) {
        let log = CallLog::default();
        let mut tenants: Vec<_> = (0..count).map(|id| Tenant::new(&log, id)).collect();
        // Minimum share of each tenant for any writes of the others.
        let share = (KEPT_RECORDS / count.next_power_of_two()) as u64;
        for (who, records, reads) in steps {
            let tenant = &mut tenants[who % count];
            let unread = tenant.written - tenant.read - tenant.lost;
            tenant.write(&log, records);
            if reads {
                let lost = tenant.lost;
                tenant.follow(&log);
                prop_assert_eq!(tenant.read + tenant.lost, tenant.written);
                prop_assert!(tenant.lost == lost || unread + records > share);
            }
        }
        let mut all = 0;
        for tenant in &mut tenants {
            tenant.follow(&log);
            prop_assert_eq!(tenant.read + tenant.lost, tenant.written);
            let kept = tenant.kept(&log);
            let newest = tenant.written.saturating_sub(share)..tenant.written;
            prop_assert!(kept.ends_with(&newest.collect::<Vec<_>>()));
            all += kept.len();
        }
        prop_assert!(all <= KEPT_RECORDS, "{}", all);
    }
}

#[test]
fn a_flood_of_one_organization_takes_no_record_of_another_and_does_not_show_in_its_numbers() {
    let log = CallLog::default();
    let (mut quiet, mut loud) = (Tenant::new(&log, 0), Tenant::new(&log, 1));
    quiet.write(&log, 5);
    loud.write(&log, 10 * KEPT_RECORDS as u64);
    quiet.write(&log, 5);
    quiet.follow(&log);
    assert_eq!((quiet.read, quiet.lost), (10, 0));
    assert_eq!(quiet.kept(&log), (0..10).collect::<Vec<_>>());
    loud.follow(&log);
    assert_eq!(loud.kept(&log).len(), KEPT_RECORDS / 2);
    assert_eq!(loud.read + loud.lost, loud.written);
}

#[test]
fn the_bound_holds_for_any_number_of_organizations_and_numbers_go_on_after_records_are_dropped() {
    let log = CallLog::default();
    let mut tenants: Vec<_> = (0..MAX_SHARES + 40)
        .map(|id| Tenant::new(&log, id))
        .collect();
    for round in 0..3 {
        for tenant in &mut tenants {
            tenant.written = round * 30;
            tenant.write(&log, 30);
        }
        let kept: usize = tenants.iter().map(|it| it.kept(&log).len()).sum();
        assert_eq!(kept, KEPT_RECORDS, "round {round}");
    }
    for tenant in &mut tenants {
        tenant.follow(&log);
        assert_eq!(tenant.read + tenant.lost, 90);
        assert_eq!(log.end(&tenant.subject.gateway.org).next, 90);
    }
}

#[test]
fn organizations_that_take_turns_beyond_the_bound_move_one_share_in_a_second() {
    let log = CallLog::default();
    let tenants: Vec<_> = (0..4 * MAX_SHARES)
        .map(|id| Tenant::new(&log, id))
        .collect();
    let turn = |at: u64| {
        for tenant in &tenants {
            log.record(entry(&tenant.subject, at));
        }
        let kept = tenants.iter().map(|tenant| !tenant.kept(&log).is_empty());
        kept.collect::<Vec<_>>()
    };
    let moved = |one: &[bool], next: &[bool]| {
        let pairs = one.iter().zip(next);
        pairs.filter(|(before, after)| !**before && **after).count()
    };
    let mut before = turn(10_000);
    for at in (10_100..11_000).step_by(300) {
        let after = turn(at);
        assert_eq!(moved(&before, &after), 0, "at {at}");
        before = after;
    }
    // A request that took long has ended now.
    let (shareless, _) = tenants
        .iter()
        .zip(&before)
        .find(|(_, kept)| !**kept)
        .unwrap();
    log.record(CallLogEntry {
        received: Timestamp(1_000),
        duration: Duration::from_millis(9_900),
        ..entry(&shareless.subject, 0)
    });
    assert!(shareless.kept(&log).is_empty(), "a long request");
    // The wall clock may be set back.
    for (at, count) in [
        (11_000, 1),
        (11_100, 0),
        (12_500, 1),
        (5_000, 1),
        (5_100, 0),
    ] {
        let after = turn(at);
        assert_eq!(moved(&before, &after), count, "at {at}");
        assert_eq!(after.iter().filter(|kept| **kept).count(), MAX_SHARES);
        before = after;
    }
}
