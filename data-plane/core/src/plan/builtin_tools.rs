//! Calls of the two built-in tools of a progressive gateway. `search_tools` is answered from the view. `run_tool`
//! becomes the same call that the caller could make by the tool's own name.

use bytes::Bytes;
use toolgate_mcp::{
    ByteSpan, Envelope, JsonString,
    envelope::MessageParams,
    message, method, nested_call,
    object::{self, ObjectMember},
};
use toolgate_model::{
    Era,
    snapshot::{RUN_TOOL, SEARCH_TOOLS},
};

use crate::{
    Refusal,
    plan::{Plan, PlanInput, result_response},
    view::tool_index::{DEFAULT_LIMIT, MAX_LIMIT, MAX_QUERY_CHARS},
};

/// Call described by the arguments of `run_tool`.
#[derive(Debug)]
pub(super) struct RunToolCall<'a> {
    /// Name of the tool to run.
    pub(super) name: JsonString<'a>,
    /// Span of the arguments of `run_tool`.
    pub(super) run_tool_arguments: ByteSpan,
    /// Span of the inner arguments.
    pub(super) arguments: Option<ByteSpan>,
}

/// Returns the response to a search, or `None` if the request does not call `search_tools`.
pub(super) fn search(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    era: Era,
) -> Option<Result<Plan, Refusal>> {
    let params = builtin_params(input, envelope, SEARCH_TOOLS)?;
    Some(search_response(input, envelope, params, era))
}

/// Returns the inner call, or `None` if the request does not call `run_tool`.
pub(super) fn run<'a>(
    input: &PlanInput<'_>,
    envelope: &Envelope<'a>,
) -> Option<Result<RunToolCall<'a>, Refusal>> {
    let params = builtin_params(input, envelope, RUN_TOOL)?;
    Some(read_run_tool_call(envelope, params))
}

/// Returns the parameters of a call of this built-in tool, or `None` if the request is not such a call.
fn builtin_params<'p, 'a>(
    input: &PlanInput<'_>,
    envelope: &'p Envelope<'a>,
    tool: &str,
) -> Option<&'p MessageParams<'a>> {
    if !input.gateway.is_progressive() || envelope.method() != method::TOOLS_CALL {
        return None;
    }
    let params = envelope.params.as_ref()?;
    let called = params.name.as_ref()?;
    (called.as_str() == tool).then_some(params)
}

fn search_response(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    params: &MessageParams<'_>,
    era: Era,
) -> Result<Plan, Refusal> {
    let (query, limit) = search_arguments(envelope, params)?;
    let found = input
        .gateway
        .search(input.caller.grant(), &query, limit)
        .ok_or(Refusal::Internal)?;
    let modern = match era {
        Era::Legacy => None,
        Era::Modern => Some(&input.gateway.server_info),
    };
    let result = message::tool_result(&found, modern);
    result_response(envelope, Bytes::from(result)).map(Plan::Respond)
}

fn search_arguments(
    envelope: &Envelope<'_>,
    params: &MessageParams<'_>,
) -> Result<(String, usize), Refusal> {
    let given = arguments(params)?.map_or(&b"{}"[..], |span| envelope.slice(span));
    let members = object::members(given);
    if members.len() == 0 && given.iter().any(|byte| !b"{} \t\r\n".contains(byte)) {
        return Err(invalid("`arguments` cannot be read"));
    }
    let mut query = None;
    let mut limit = DEFAULT_LIMIT;
    for member in members {
        match &*member.name {
            "query" => query = Some(read_query(&member)?),
            "limit" => limit = read_limit(&member)?,
            other => {
                let advice = "; it takes `query` and `limit`";
                return Err(unknown_argument(other, SEARCH_TOOLS, advice));
            }
        }
    }
    let query =
        query.ok_or_else(|| invalid("`query` must be given, if only as an empty string"))?;
    Ok((query, limit))
}

fn read_query(member: &ObjectMember<'_>) -> Result<String, Refusal> {
    let text: Result<String, _> = serde_json::from_slice(member.value);
    let text = text.map_err(|_other_type| invalid("`query` must be a string"))?;
    if text.chars().nth(MAX_QUERY_CHARS).is_some() {
        return Err(invalid("`query` is too long: a few words are enough"));
    }
    Ok(text)
}

fn read_limit(member: &ObjectMember<'_>) -> Result<usize, Refusal> {
    let whole = serde_json::from_slice(member.value).ok();
    // Models sometimes write 10 as 10.0.
    let whole = whole.map(|number: f64| number.to_string().parse());
    match whole {
        Some(Ok(count @ 1..=MAX_LIMIT)) => Ok(count),
        _ => Err(invalid("`limit` must be a whole number from 1 to 50")),
    }
}

fn read_run_tool_call<'a>(
    envelope: &Envelope<'a>,
    params: &MessageParams<'a>,
) -> Result<RunToolCall<'a>, Refusal> {
    let named = || invalid("`arguments.name` must be the name of a tool that search_tools found");
    let outer = arguments(params)?.ok_or_else(named)?;
    let read = nested_call::read(envelope.source, outer);
    let read = read.ok_or_else(|| invalid("`arguments` cannot be read"))?;
    if let Some(member) = read.unknown {
        let advice = "; what is for the tool that is run goes into its own `arguments`";
        return Err(unknown_argument(&member, RUN_TOOL, advice));
    }
    match (read.mistyped, read.name) {
        (Some("arguments"), _) => Err(invalid("`arguments.arguments` must be an object")),
        (Some(_), _) | (None, None) => Err(named()),
        (None, Some(name)) => Ok(RunToolCall {
            name,
            run_tool_arguments: outer,
            arguments: read.arguments,
        }),
    }
}

/// Returns the span of the arguments, if there are any.
fn arguments(params: &MessageParams<'_>) -> Result<Option<ByteSpan>, Refusal> {
    match params.mistyped {
        Some(member) => {
            let text = format!("`{member}` has the wrong type");
            Err(Refusal::InvalidParams(text.into()))
        }
        None => Ok(params.arguments),
    }
}

fn unknown_argument(member: &str, tool: &str, advice: &str) -> Refusal {
    let member: String = member.chars().take(128).collect();
    Refusal::InvalidParams(format!("`{member}` is no argument of `{tool}`{advice}").into())
}

fn invalid(text: &'static str) -> Refusal {
    Refusal::InvalidParams(text.into())
}
