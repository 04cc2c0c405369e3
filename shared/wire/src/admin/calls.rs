//! Conversion of the requests of readers, and of the records that they get.

use std::time::Duration;

use toolgate_model::{
    CallEndKind, CallFilter, CallQuery, CallRecord, Gateway, Slug, call_record::PAST_RECORDS,
};
use toolgate_proto::admin::v1 as pb;

use crate::{
    field,
    invalid::{FieldViolation, invalid},
    limits, resource_name,
};

invalid! {
    /// Error of an invalid request for records.
    InvalidCallQuery: "request for records";
}

/// Converts a request. The query has the id 0, and the identity of its gateway is not set.
pub fn call_query(proto: &pb::TailCallsRequest) -> Result<CallQuery, InvalidCallQuery> {
    let gateway = resource_name::parse::<Gateway>(&proto.gateway)
        .map_err(|error| FieldViolation::new("gateway", error))?;
    let id = |name, given: &str| -> Result<Option<Slug>, FieldViolation> {
        let given = Some(given).filter(|given| !given.is_empty());
        given.map(|given| field::slug(name, given)).transpose()
    };
    let text = |name, given: &str| -> Result<Option<String>, FieldViolation> {
        let given = field::line(name, given, limits::TOOL_NAME)?;
        Ok(Some(given).filter(|given| !given.is_empty()))
    };
    let since = u64::try_from(proto.since_seconds)
        .map_err(|_negative| FieldViolation::new("since_seconds", "is negative: use 0 or more"))?;
    let tail = usize::try_from(proto.tail)
        .ok()
        .filter(|tail| *tail <= PAST_RECORDS);
    let tail =
        tail.ok_or_else(|| FieldViolation::new("tail", format!("use 0 to {PAST_RECORDS}")))?;
    Ok(CallQuery {
        id: 0,
        filter: CallFilter {
            gateway,
            gateway_uid: None,
            server: id("server", &proto.server)?,
            tool: text("tool", &proto.tool)?,
            principal: text("principal", &proto.principal)?,
            token: id("token", &proto.token)?,
            failed: proto.failed,
        },
        since: (since > 0).then(|| Duration::from_secs(since)),
        tail,
    })
}

/// Converts a record of a proxy to a message.
pub fn call_to_proto(proxy: &Slug, record: CallRecord) -> pb::Call {
    let number = |given: u64| i64::try_from(given).unwrap_or(i64::MAX);
    let result = match record.result {
        CallEndKind::Answered => pb::CallResult::Ok,
        CallEndKind::InputRequired => pb::CallResult::InputRequired,
        CallEndKind::ToolError => pb::CallResult::ToolError,
        CallEndKind::RpcError => pb::CallResult::RpcError,
        CallEndKind::Failed => pb::CallResult::Failed,
        CallEndKind::Refused => pb::CallResult::Refused,
        CallEndKind::Cancelled => pb::CallResult::Cancelled,
    };
    pb::Call {
        proxy: proxy.to_string(),
        sequence: record.sequence,
        time: Some(field::to_timestamp(record.received)),
        gateway: resource_name::format::<Gateway>(&record.gateway),
        principal: record.principal,
        token: record.token,
        client: record.client,
        protocol_version: record.version,
        method: record.method,
        tool: record.tool,
        server: record.server,
        result: result.into(),
        reason: record.reason,
        duration_us: i64::try_from(record.duration.as_micros()).unwrap_or(i64::MAX),
        request_bytes: number(record.request_bytes),
        response_bytes: number(record.response_bytes),
    }
}
