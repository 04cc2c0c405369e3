//! Lookup and authorization of the target of a request. Unknown, hidden and denied targets get the same refusal, so
//! that a client cannot probe for them.

use std::sync::Arc;

use toolgate_mcp::{
    ByteSpan, JsonString,
    envelope::{CompletionReference, MessageParams},
    method, object,
};
use toolgate_model::Era;

use crate::{
    Refusal,
    notify::subscription::URI_LIMIT,
    plan::{
        CompletionTarget, PlanInput, RequestTarget, ResourceTarget, builtin_tools::RunToolCall,
        task,
    },
};

/// Target of a request, and the span of the string that names it.
#[derive(Debug)]
pub(super) struct LocatedTarget {
    pub(super) target: RequestTarget,
    pub(super) name_span: ByteSpan,
}

/// Finds the target of a request with one of the methods that servers answer.
pub(super) fn find(
    input: &PlanInput<'_>,
    method: &str,
    params: &MessageParams<'_>,
    era: Era,
) -> Result<LocatedTarget, Refusal> {
    match method {
        method::PROMPTS_GET => prompt(input, required_text(&params.name, "`name`", "prompt")?),
        method::RESOURCES_READ => {
            let uri = required_text(&params.uri, "`uri`", "resource")?;
            let target = resource(input, uri, era, |gateway, uri| gateway.locate(uri))?;
            Ok(LocatedTarget {
                target: RequestTarget::Resource(target),
                name_span: uri.span,
            })
        }
        method::COMPLETE => completion(input, params, era),
        method => match task::known_method(method) {
            Some(method) => task::find(input, method, params),
            None => tool(input, required_text(&params.name, "`name`", "tool")?),
        },
    }
}

pub(super) fn required_text<'p, 'a>(
    given: &'p Option<JsonString<'a>>,
    member: &'static str,
    noun: &'static str,
) -> Result<&'p JsonString<'a>, Refusal> {
    given.as_ref().ok_or_else(|| {
        let text = format!("{member} must be that of a {noun}");
        Refusal::InvalidParams(text.into())
    })
}

/// Finds the tool called through `run_tool`, by the same rules as a direct call.
pub(super) fn find_inner(
    input: &PlanInput<'_>,
    params: &MessageParams<'_>,
    inner: &RunToolCall<'_>,
) -> Result<LocatedTarget, Refusal> {
    let found = tool(input, &inner.name)?;
    Ok(LocatedTarget {
        // The inner name is written in place of the name `run_tool`.
        name_span: required_text(&params.name, "`name`", "tool")?.span,
        ..found
    })
}

fn tool(input: &PlanInput<'_>, name: &JsonString<'_>) -> Result<LocatedTarget, Refusal> {
    let tool = input.gateway.tool(name.as_str());
    let granted = tool.filter(|_| input.caller.grant().allows_tool(name.as_str()));
    let tool = granted.ok_or_else(|| Refusal::UnknownTool(truncated(name)))?;
    Ok(LocatedTarget {
        target: RequestTarget::Tool(Arc::clone(tool)),
        name_span: name.span,
    })
}

fn prompt(input: &PlanInput<'_>, name: &JsonString<'_>) -> Result<LocatedTarget, Refusal> {
    let prompt = input.gateway.prompt(name.as_str());
    let granted = prompt.filter(|_| input.caller.grant().allows_prompts_and_resources());
    let prompt = granted.ok_or_else(|| Refusal::UnknownPrompt(truncated(name)))?;
    Ok(LocatedTarget {
        target: RequestTarget::Prompt(Arc::clone(prompt)),
        name_span: name.span,
    })
}

fn resource(
    input: &PlanInput<'_>,
    uri: &JsonString<'_>,
    era: Era,
    locate: impl Fn(&crate::GatewayView, &str) -> Option<ResourceTarget>,
) -> Result<ResourceTarget, Refusal> {
    let found = locate(input.gateway, uri.as_str());
    let granted = found.filter(|_| input.caller.grant().allows_prompts_and_resources());
    granted.ok_or_else(|| Refusal::UnknownResource {
        uri: uri.as_str().chars().take(1024).collect(),
        modern: era == Era::Modern,
    })
}

/// Returns the resource with this URI if the caller may read it and the gateway supports subscriptions.
pub(super) fn subscribable_resource(input: &PlanInput<'_>, uri: &str) -> Option<ResourceTarget> {
    let found = input.gateway.locate(uri).filter(|_| uri.len() <= URI_LIMIT);
    found.filter(|_| {
        input.caller.grant().allows_prompts_and_resources() && input.gateway.features.subscribe
    })
}

/// Finds the prompt or template of a completion request, by the same rules.
fn completion(
    input: &PlanInput<'_>,
    params: &MessageParams<'_>,
    era: Era,
) -> Result<LocatedTarget, Refusal> {
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let reference = params.reference.as_ref();
    let reference: &CompletionReference<'_> =
        reference.ok_or(invalid("`ref` must be an object"))?;
    let kind = reference.kind.as_ref().map(JsonString::as_str);
    let (server, original_json, subject) = match kind {
        Some("ref/prompt") => {
            let found = prompt(
                input,
                required_text(&reference.name, "`ref.name`", "prompt")?,
            )?;
            let json = found.target.original_json().clone();
            (Arc::clone(found.target.server()), json, found.name_span)
        }
        Some("ref/resource") => {
            let uri = required_text(&reference.uri, "`ref.uri`", "resource or template")?;
            let found = resource(input, uri, era, |gateway, uri| {
                gateway.completion_target(uri)
            })?;
            (found.server, found.original_json, uri.span)
        }
        Some(_) | None => return Err(invalid("`ref.type` must be ref/prompt or ref/resource")),
    };
    let target = CompletionTarget {
        server,
        original_json,
    };
    Ok(LocatedTarget {
        target: RequestTarget::Completion(target),
        name_span: subject,
    })
}

/// Returns `true` if the argument to complete has a name and a value.
pub(super) fn is_argument(argument: &[u8]) -> bool {
    let text = |name: &str| object::get(argument, name).is_some_and(|it| it.starts_with(b"\""));
    text("name") && text("value")
}

fn truncated(name: &JsonString<'_>) -> String {
    name.as_str().chars().take(128).collect()
}
