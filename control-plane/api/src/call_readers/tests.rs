//! Tests of the limits of readers.

use toolgate_model::{AdminRole, CallFilter, ObjectName};
use toolgate_proto::push::v1::CallRecord as RecordMessage;

use super::*;

fn query() -> CallQuery {
    let gateway = ObjectName::new("acme".parse().unwrap(), "tools".parse().unwrap());
    CallQuery {
        id: 0,
        filter: CallFilter::of_gateway(gateway),
        since: None,
        tail: 0,
    }
}

fn token(org: &str, name: &str) -> CallerIdentity {
    CallerIdentity::Token {
        org: org.parse().unwrap(),
        role: AdminRole::Editor,
        name: name.parse().unwrap(),
    }
}

fn report(query: u64, records: usize) -> CallReport {
    let record = |number| RecordMessage {
        sequence: number as u64,
        method: "tools/call".into(),
        ..RecordMessage::default()
    };
    CallReport {
        query,
        records: (0..records).map(record).collect(),
        ..CallReport::default()
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_holds_a_few_messages_and_is_told_what_it_lost() {
    let readers = CallReaders::default();
    let mut slow = readers.open(query(), &token("acme", "slow")).unwrap();
    let mut quick = readers.open(query(), &token("acme", "quick")).unwrap();
    let proxy: Slug = "p1".parse().unwrap();
    let messages = 10_000_usize;
    let mut got = 0;
    for _ in 0..messages {
        readers.deliver(&proxy, &report(slow.query().id, 1));
        readers.deliver(&proxy, &report(quick.query().id, 1));
        got += quick.next().await.unwrap().records.len();
    }
    assert_eq!(
        got, messages,
        "a slow reader takes nothing from another one"
    );
    let lost = slow.take_dropped();
    assert_eq!(lost, (messages - WAITING_REPORTS) as u64);
    let mut held = 0;
    while let Ok(report) = slow.reports.try_recv() {
        held += report.records.len();
    }
    assert_eq!(held, WAITING_REPORTS);
}

#[tokio::test]
async fn invalid_records_and_those_above_the_limit_of_a_message_count_as_lost() {
    let readers = CallReaders::default();
    let mut reader = readers.open(query(), &token("acme", "ci")).unwrap();
    let proxy: Slug = "p1".parse().unwrap();
    let mut given = report(reader.query().id, CALL_RECORDS + 5);
    given.records[0].tool = "a\u{1b}[2J".into();
    given.lost = 2;
    readers.deliver(&proxy, &given);
    let got = reader.next().await.unwrap();
    assert_eq!(got.records.len(), CALL_RECORDS - 1);
    assert_eq!(got.lost, 8);
}

#[test]
fn readers_are_limited_in_total_and_per_caller_and_leave_the_queries_when_they_end() {
    let readers = CallReaders::default();
    let queries = readers.queries();
    let mut open = Vec::new();
    for number in 0..MAX_READERS - RESERVED_READERS {
        let org = format!("org-{}", number / MAX_READERS_PER_ORGANIZATION);
        let name = format!("caller-{}", number / MAX_READERS_PER_CALLER);
        open.push(readers.open(query(), &token(&org, &name)).unwrap());
    }
    assert_eq!(queries.borrow().len(), MAX_READERS - RESERVED_READERS);
    assert!(readers.open(query(), &token("new", "new")).is_err());
    for _ in 0..RESERVED_READERS {
        let reader = readers.open(query(), &CallerIdentity::System);
        open.push(reader.expect("the deployment has a reserve"));
    }
    assert!(readers.open(query(), &CallerIdentity::System).is_err());
    open.drain(RESERVED_READERS + 1..);
    let caller = token("org-0", "caller-0");
    assert!(
        readers.open(query(), &caller).is_err(),
        "four of one caller"
    );
    let ids: BTreeSet<u64> = open.iter().map(|reader| reader.query().id).collect();
    assert_eq!(ids.len(), open.len());
    drop(open);
    assert!(queries.borrow().is_empty());
}

#[test]
fn readers_of_one_organization_leave_room_for_those_of_others() {
    let readers = CallReaders::default();
    let open_as =
        |org: &str, number: usize| readers.open(query(), &token(org, &format!("caller-{number}")));
    let mut open: Vec<_> = (0..MAX_READERS)
        .map(|number| open_as("acme", number))
        .collect();
    open.retain(Result::is_ok);
    assert_eq!(open.len(), MAX_READERS_PER_ORGANIZATION);
    open.push(open_as("other", 0));
    assert!(open.iter().all(Result::is_ok));
    drop(open.remove(0));
    assert!(open_as("acme", 0).is_ok());
}

#[test]
fn a_proxy_is_connected_until_its_last_stream_ends() {
    let readers = CallReaders::default();
    let proxy: Slug = "p1".parse().unwrap();
    let (first, second) = (
        readers.register(proxy.clone()),
        readers.register(proxy.clone()),
    );
    drop(first);
    assert!(readers.connected().contains(&proxy));
    drop(second);
    assert!(readers.connected().is_empty());
}
