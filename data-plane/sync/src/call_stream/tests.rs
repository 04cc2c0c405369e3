//! Tests of the streams of records, against fake control planes.

use toolgate_model::{CallEndKind, CallFilter, ObjectName};
use toolgate_wire::push::call_queries_to_proto;

use super::*;
use crate::{
    SyncHandle,
    call_log::{CallLogEntry, CallSubject, ClientName},
    fixture::{FakeControlPlane, connect, machine, small, until},
};

fn gateway() -> ObjectName {
    ObjectName::new("acme".parse().unwrap(), "tools".parse().unwrap())
}

fn query(id: u64, tail: usize) -> CallQuery {
    CallQuery {
        id,
        filter: CallFilter::of_gateway(gateway()),
        since: None,
        tail,
    }
}

fn record(handle: &SyncHandle, tool: &str) {
    handle.call_log().record(CallLogEntry {
        subject: Arc::new(CallSubject {
            gateway: gateway(),
            gateway_uid: None,
            method: "tools/call",
            tool: Some(tool.into()),
            server: None,
        }),
        received: Timestamp(1),
        duration: Duration::from_millis(1),
        caller: None,
        client: ClientName::default(),
        version: "",
        result: CallEndKind::Answered,
        reason: "",
        requested: None,
        request_bytes: 0,
        response_bytes: 0,
    });
}

fn tools(fake: &FakeControlPlane, query: u64) -> Vec<String> {
    let reports = fake.call_reports.lock().unwrap();
    let of_query = reports.iter().filter(|report| report.query == query);
    let records = of_query.flat_map(|report| report.records.clone());
    records.map(|record| record.tool).collect()
}

#[tokio::test]
async fn a_proxy_sends_records_only_while_they_are_read() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = connect(&fake, &machine);
    until(|| !fake.call_reports.lock().unwrap().is_empty()).await;
    for tool in ["one", "two", "three"] {
        record(&handle, tool);
    }
    fake.queries
        .send_replace(call_queries_to_proto(&[query(7, 2)]));
    until(|| tools(&fake, 7) == ["two", "three"]).await;
    record(&handle, "four");
    until(|| tools(&fake, 7) == ["two", "three", "four"]).await;
    // A second reader has a position of its own.
    fake.queries
        .send_replace(call_queries_to_proto(&[query(8, 0), query(7, 2)]));
    until(|| {
        let reports = fake.call_reports.lock().unwrap();
        reports.iter().any(|it| it.query == 8 && it.caught_up)
    })
    .await;
    record(&handle, "five");
    until(|| tools(&fake, 8) == ["five"] && tools(&fake, 7).len() == 4).await;
    fake.queries
        .send_replace(call_queries_to_proto(&[query(8, 0)]));
    record(&handle, "six");
    until(|| tools(&fake, 8) == ["five", "six"]).await;
    assert_eq!(
        tools(&fake, 7).len(),
        4,
        "nothing is sent for a reader that has left"
    );
}

#[tokio::test]
async fn past_records_of_many_messages_end_with_one_that_says_so() {
    let fake = FakeControlPlane::new(small(5));
    let (machine, _trigger) = machine();
    let handle = connect(&fake, &machine);
    for number in 0..200 {
        record(&handle, &format!("tool-{number}"));
    }
    fake.queries
        .send_replace(call_queries_to_proto(&[query(7, 150)]));
    until(|| tools(&fake, 7).len() == 150).await;
    let reports = fake.call_reports.lock().unwrap().clone();
    let ends: Vec<_> = reports.iter().filter(|it| it.query == 7).collect();
    assert_eq!(ends.iter().filter(|it| it.caught_up).count(), 1);
    assert!(ends.last().is_some_and(|it| it.caught_up));
    assert!(ends.iter().all(|it| it.records.len() <= CALL_RECORDS));
}
