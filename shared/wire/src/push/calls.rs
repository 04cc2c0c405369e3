//! Conversion of records of requests, and of the queries for them.

use std::time::Duration;

use toolgate_model::{
    CallEndKind, CallFilter, CallQuery, CallRecord, ObjectName, Slug, Timestamp, Uid,
    call_record::PAST_RECORDS,
};
use toolgate_proto::push::v1 as pb;

use crate::{
    field,
    invalid::{FieldViolation, invalid},
    limits,
};

invalid! {
    /// Error of an invalid record of a request.
    InvalidCallReport: "record of a request";
}

/// Converts a record that was sent for a query of this gateway.
pub fn call_record(
    proto: &pb::CallRecord,
    gateway: &ObjectName,
) -> Result<CallRecord, InvalidCallReport> {
    let short = |name, given: &str| field::line(name, given, limits::SHORT);
    Ok(CallRecord {
        gateway: gateway.clone(),
        sequence: proto.sequence,
        received: Timestamp(proto.time_ms),
        duration: Duration::from_micros(proto.duration_us),
        principal: short("principal", &proto.principal)?,
        token: short("token", &proto.token)?,
        client: short("client", &proto.client)?,
        version: short("version", &proto.version)?,
        method: short("method", &proto.method)?,
        tool: field::line("tool", &proto.tool, limits::TOOL_NAME)?,
        server: short("server", &proto.server)?,
        result: result(proto.result),
        reason: short("reason", &proto.reason)?,
        request_bytes: proto.request_bytes,
        response_bytes: proto.response_bytes,
    })
}

/// Converts to a message, which does not name the gateway.
pub fn call_record_to_proto(record: CallRecord) -> pb::CallRecord {
    let duration_us = u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX);
    pb::CallRecord {
        sequence: record.sequence,
        time_ms: record.received.0,
        duration_us,
        principal: record.principal,
        token: record.token,
        client: record.client,
        version: record.version,
        method: record.method,
        tool: record.tool,
        server: record.server,
        result: result_to_proto(record.result).into(),
        reason: record.reason,
        request_bytes: record.request_bytes,
        response_bytes: record.response_bytes,
    }
}

/// Converts all queries of a control plane. A query that this build does not understand is left out.
pub fn call_queries(proto: &pb::CallQueries) -> Vec<CallQuery> {
    let known = proto.queries.iter().take(limits::CALL_QUERIES);
    known.filter_map(|given| query(given).ok()).collect()
}

/// Converts to a message.
pub fn call_queries_to_proto(queries: &[CallQuery]) -> pb::CallQueries {
    pb::CallQueries {
        queries: queries.iter().map(query_to_proto).collect(),
    }
}

fn query(given: &pb::CallQuery) -> Result<CallQuery, FieldViolation> {
    let id = |name, given: &str| -> Result<Option<Slug>, FieldViolation> {
        let given = Some(given).filter(|given| !given.is_empty());
        given.map(|given| field::slug(name, given)).transpose()
    };
    let text = |given: &String| Some(given.clone()).filter(|given| !given.is_empty());
    let gateway = ObjectName::new(
        field::slug("org", &given.org)?,
        field::slug("gateway", &given.gateway)?,
    );
    let tail = usize::try_from(given.tail).unwrap_or(usize::MAX);
    Ok(CallQuery {
        id: given.id,
        filter: CallFilter {
            gateway,
            gateway_uid: field::uid("gateway_uid", &given.gateway_uid)?,
            server: id("server", &given.server)?,
            tool: text(&given.tool),
            principal: text(&given.principal),
            token: id("token", &given.token)?,
            failed: given.failed,
        },
        since: given.since_ms.map(Duration::from_millis),
        tail: tail.min(PAST_RECORDS),
    })
}

fn query_to_proto(query: &CallQuery) -> pb::CallQuery {
    let id = |given: &Option<Slug>| given.as_ref().map(ToString::to_string).unwrap_or_default();
    let filter = &query.filter;
    pb::CallQuery {
        id: query.id,
        org: filter.gateway.org.to_string(),
        gateway: filter.gateway.id.to_string(),
        server: id(&filter.server),
        tool: filter.tool.clone().unwrap_or_default(),
        principal: filter.principal.clone().unwrap_or_default(),
        token: id(&filter.token),
        failed: filter.failed,
        since_ms: query.since.map(field::to_ms),
        tail: u32::try_from(query.tail).unwrap_or(u32::MAX),
        gateway_uid: filter
            .gateway_uid
            .as_ref()
            .map(Uid::to_string)
            .unwrap_or_default(),
    }
}

/// Converts the end of a request. An end that this build does not know is a failure.
fn result(given: i32) -> CallEndKind {
    match pb::CallResult::try_from(given) {
        Ok(pb::CallResult::Ok) => CallEndKind::Answered,
        Ok(pb::CallResult::InputRequired) => CallEndKind::InputRequired,
        Ok(pb::CallResult::ToolError) => CallEndKind::ToolError,
        Ok(pb::CallResult::RpcError) => CallEndKind::RpcError,
        Ok(pb::CallResult::Refused) => CallEndKind::Refused,
        Ok(pb::CallResult::Cancelled) => CallEndKind::Cancelled,
        Ok(pb::CallResult::Failed | pb::CallResult::Unspecified) | Err(_) => CallEndKind::Failed,
    }
}

fn result_to_proto(kind: CallEndKind) -> pb::CallResult {
    match kind {
        CallEndKind::Answered => pb::CallResult::Ok,
        CallEndKind::InputRequired => pb::CallResult::InputRequired,
        CallEndKind::ToolError => pb::CallResult::ToolError,
        CallEndKind::RpcError => pb::CallResult::RpcError,
        CallEndKind::Failed => pb::CallResult::Failed,
        CallEndKind::Refused => pb::CallResult::Refused,
        CallEndKind::Cancelled => pb::CallResult::Cancelled,
    }
}

#[cfg(test)]
mod tests;
