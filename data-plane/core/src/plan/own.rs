//! Calls of the two built-in tools of a progressive gateway. `search_tools` is answered from the view. `run_tool`
//! becomes the same call that the caller could make by the tool's own name.

use bytes::Bytes;
use toolgate_mcp::{
    Envelope, Span, Text,
    envelope::Params,
    message, method, nested,
    object::{self, Member},
};
use toolgate_model::{
    Era,
    snapshot::{RUN_TOOL, SEARCH_TOOLS},
};

use crate::{
    Refusal,
    plan::{Plan, PlanInput, answer},
    view::finder::{MOST, QUERY, USUAL},
};

/// Call described by the arguments of `run_tool`.
#[derive(Debug)]
pub(super) struct Inner<'a> {
    /// Name of the tool to run.
    pub(super) name: Text<'a>,
    /// Span of the arguments of `run_tool`.
    pub(super) around: Span,
    /// Span of the inner arguments.
    pub(super) arguments: Option<Span>,
}

/// Returns the response to a search, or `None` if the request does not call `search_tools`.
pub(super) fn search(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    era: Era,
) -> Option<Result<Plan, Refusal>> {
    let params = own(input, envelope, SEARCH_TOOLS)?;
    Some(found(input, envelope, params, era))
}

/// Returns the inner call, or `None` if the request does not call `run_tool`.
pub(super) fn run<'a>(
    input: &PlanInput<'_>,
    envelope: &Envelope<'a>,
) -> Option<Result<Inner<'a>, Refusal>> {
    let params = own(input, envelope, RUN_TOOL)?;
    Some(inner(envelope, params))
}

/// Returns the parameters of a call of this built-in tool, or `None` if the request is not such a call.
fn own<'p, 'a>(
    input: &PlanInput<'_>,
    envelope: &'p Envelope<'a>,
    tool: &str,
) -> Option<&'p Params<'a>> {
    if !input.gateway.is_progressive() || envelope.method() != method::TOOLS_CALL {
        return None;
    }
    let params = envelope.params.as_ref()?;
    let called = params.name.as_ref()?;
    (called.as_str() == tool).then_some(params)
}

fn found(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    params: &Params<'_>,
    era: Era,
) -> Result<Plan, Refusal> {
    let (query, limit) = asked(envelope, params)?;
    let found = input
        .gateway
        .search(input.caller.grant(), &query, limit)
        .ok_or(Refusal::Internal)?;
    let modern = match era {
        Era::Legacy => None,
        Era::Modern => Some(&input.gateway.server_info),
    };
    let result = message::tool_result(&found, modern);
    answer(envelope, Bytes::from(result)).map(Plan::Answer)
}

fn asked(envelope: &Envelope<'_>, params: &Params<'_>) -> Result<(String, usize), Refusal> {
    let given = arguments(params)?.map_or(&b"{}"[..], |span| envelope.slice(span));
    let members = object::members(given);
    if members.len() == 0 && given.iter().any(|byte| !b"{} \t\r\n".contains(byte)) {
        return Err(invalid("`arguments` cannot be read"));
    }
    let mut query = None;
    let mut limit = USUAL;
    for member in members {
        match &*member.name {
            "query" => query = Some(text(&member)?),
            "limit" => limit = count(&member)?,
            other => {
                let advice = "; it takes `query` and `limit`";
                return Err(unknown(other, SEARCH_TOOLS, advice));
            }
        }
    }
    let query =
        query.ok_or_else(|| invalid("`query` must be given, if only as an empty string"))?;
    Ok((query, limit))
}

fn text(member: &Member<'_>) -> Result<String, Refusal> {
    let text: Result<String, _> = serde_json::from_slice(member.value);
    let text = text.map_err(|_other_type| invalid("`query` must be a string"))?;
    if text.chars().nth(QUERY).is_some() {
        return Err(invalid("`query` is too long: a few words are enough"));
    }
    Ok(text)
}

fn count(member: &Member<'_>) -> Result<usize, Refusal> {
    let whole = serde_json::from_slice(member.value).ok();
    // Models sometimes write 10 as 10.0.
    let whole = whole.map(|number: f64| number.to_string().parse());
    match whole {
        Some(Ok(count @ 1..=MOST)) => Ok(count),
        _ => Err(invalid("`limit` must be a whole number from 1 to 50")),
    }
}

fn inner<'a>(envelope: &Envelope<'a>, params: &Params<'a>) -> Result<Inner<'a>, Refusal> {
    let named = || invalid("`arguments.name` must be the name of a tool that search_tools found");
    let around = arguments(params)?.ok_or_else(named)?;
    let read = nested::read(envelope.source, around);
    let read = read.ok_or_else(|| invalid("`arguments` cannot be read"))?;
    if let Some(member) = read.unknown {
        let advice = "; what is for the tool that is run goes into its own `arguments`";
        return Err(unknown(&member, RUN_TOOL, advice));
    }
    match (read.mistyped, read.name) {
        (Some("arguments"), _) => Err(invalid("`arguments.arguments` must be an object")),
        (Some(_), _) | (None, None) => Err(named()),
        (None, Some(name)) => Ok(Inner {
            name,
            around,
            arguments: read.arguments,
        }),
    }
}

/// Returns the span of the arguments, if there are any.
fn arguments(params: &Params<'_>) -> Result<Option<Span>, Refusal> {
    match params.mistyped {
        Some(member) => {
            let text = format!("`{member}` has the wrong type");
            Err(Refusal::InvalidParams(text.into()))
        }
        None => Ok(params.arguments),
    }
}

fn unknown(member: &str, tool: &str, advice: &str) -> Refusal {
    let member: String = member.chars().take(128).collect();
    Refusal::InvalidParams(format!("`{member}` is no argument of `{tool}`{advice}").into())
}

fn invalid(text: &'static str) -> Refusal {
    Refusal::InvalidParams(text.into())
}
