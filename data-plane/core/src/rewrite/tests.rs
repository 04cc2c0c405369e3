//! Tests of rewriting: ids, names and tokens are replaced, and all other content is unchanged.

mod answers;
mod asked;
mod case_variants;
mod properties;
mod requests;
mod shown;
mod streams;
mod targets;
mod tasks;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use serde_json::Value;
use toolgate_model::Era;

use crate::{
    Plan,
    fixture::GatewayFixture,
    plan::CallPlan,
    rewrite::{ResponseRelay, UpstreamRequest},
    session::LogLevel,
};

/// Request id of the gateway in all tests.
const UPSTREAM_ID: u64 = 42;

/// Planned call of a client of this era, and its body.
fn call(era: Era, tool: &str, params: &str, meta: &str) -> (Arc<CallPlan>, Bytes) {
    let world = GatewayFixture::new();
    let comma = |text: &str| if text.is_empty() { "" } else { "," };
    let meta = match era {
        Era::Legacy if meta.is_empty() => String::new(),
        Era::Legacy => format!(r#","_meta":{{{meta}}}"#),
        Era::Modern => format!(
            r#","_meta":{{{}{}{meta}}}"#,
            crate::fixture::META,
            comma(meta)
        ),
    };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":"c-1","method":"tools/call","params":{{"name":"{tool}"{}{params}{meta}}}}}"#,
        comma(params)
    );
    let plan = match era {
        Era::Legacy => world.legacy("all", &body),
        Era::Modern => world.modern("all", &body, &[]),
    };
    let Plan::Call(call) = plan else {
        panic!("{plan:?}");
    };
    (call, Bytes::from(body))
}

/// Relay of a call from a client of one era to a server of another.
fn relay(client: Era, server: Era, meta: &str) -> ResponseRelay {
    let (call, _body) = call(client, "files__read", "", meta);
    let level = call.effective_log_level(Some(LogLevel::Info));
    ResponseRelay::new(call, server, UPSTREAM_ID, level)
}

fn json(bytes: &Bytes) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// Copies the request so that it can outlive its call.
fn owned(request: UpstreamRequest<'_>) -> UpstreamRequest<'static> {
    let headers = request.headers.into_iter();
    let own = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    UpstreamRequest {
        body: request.body,
        headers: headers
            .map(|(name, value)| (own(name), own(value)))
            .collect(),
    }
}
