//! Tests of the limits of readers.

use toolgate_model::{CallFilter, ObjectName};
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
    let mut slow = readers.open(query(), "slow".into()).unwrap();
    let mut quick = readers.open(query(), "quick".into()).unwrap();
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
    let mut reader = readers.open(query(), "ci".into()).unwrap();
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
    for number in 0..MAX_READERS {
        let author = format!("caller-{}", number / MAX_READERS_PER_CALLER);
        open.push(readers.open(query(), author).unwrap());
    }
    assert_eq!(queries.borrow().len(), MAX_READERS);
    assert!(readers.open(query(), "new".into()).is_err());
    open.pop();
    let author = "caller-0".to_owned();
    assert!(readers.open(query(), author).is_err(), "four of one caller");
    let ids: BTreeSet<u64> = open.iter().map(|reader| reader.query().id).collect();
    assert_eq!(ids.len(), open.len());
    drop(open);
    assert!(queries.borrow().is_empty());
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
