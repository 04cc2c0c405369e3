//! Lookup and authorization of the target of a request. Unknown, hidden and denied targets get the same refusal, so
//! that a client cannot probe for them.

use std::sync::Arc;

use toolgate_mcp::{
    Span, Text,
    envelope::{Params, Reference},
    method, object,
};
use toolgate_model::Era;

use crate::{
    Refusal,
    plan::{CompletionTarget, PlanInput, ResourceTarget, Target, own::Inner, task},
    subscription::URI_LIMIT,
};

/// Target of a request, and the span of the string that names it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) target: Target,
    pub(super) subject: Span,
}

/// Finds the target of a request with one of the methods that servers answer.
pub(super) fn find(
    input: &PlanInput<'_>,
    method: &str,
    params: &Params<'_>,
    era: Era,
) -> Result<Found, Refusal> {
    match method {
        method::PROMPTS_GET => prompt(input, named(&params.name, "`name`", "prompt")?),
        method::RESOURCES_READ => {
            let uri = named(&params.uri, "`uri`", "resource")?;
            let target = resource(input, uri, era, |gateway, uri| gateway.locate(uri))?;
            Ok(Found {
                target: Target::Resource(target),
                subject: uri.span,
            })
        }
        method::COMPLETE => completion(input, params, era),
        method => match task::known(method) {
            Some(method) => task::find(input, method, params),
            None => tool(input, named(&params.name, "`name`", "tool")?),
        },
    }
}

pub(super) fn named<'p, 'a>(
    given: &'p Option<Text<'a>>,
    member: &'static str,
    noun: &'static str,
) -> Result<&'p Text<'a>, Refusal> {
    given.as_ref().ok_or_else(|| {
        let text = format!("{member} must be that of a {noun}");
        Refusal::InvalidParams(text.into())
    })
}

/// Finds the tool called through `run_tool`, by the same rules as a direct call.
pub(super) fn inner(
    input: &PlanInput<'_>,
    params: &Params<'_>,
    inner: &Inner<'_>,
) -> Result<Found, Refusal> {
    let found = tool(input, &inner.name)?;
    Ok(Found {
        // The inner name is written in place of the name `run_tool`.
        subject: named(&params.name, "`name`", "tool")?.span,
        ..found
    })
}

fn tool(input: &PlanInput<'_>, name: &Text<'_>) -> Result<Found, Refusal> {
    let tool = input.gateway.tool(name.as_str());
    let granted = tool.filter(|_| input.caller.grant().allows(name.as_str()));
    let tool = granted.ok_or_else(|| Refusal::UnknownTool(short(name)))?;
    Ok(Found {
        target: Target::Tool(Arc::clone(tool)),
        subject: name.span,
    })
}

fn prompt(input: &PlanInput<'_>, name: &Text<'_>) -> Result<Found, Refusal> {
    let prompt = input.gateway.prompt(name.as_str());
    let granted = prompt.filter(|_| input.caller.grant().allows_rest());
    let prompt = granted.ok_or_else(|| Refusal::UnknownPrompt(short(name)))?;
    Ok(Found {
        target: Target::Prompt(Arc::clone(prompt)),
        subject: name.span,
    })
}

fn resource(
    input: &PlanInput<'_>,
    uri: &Text<'_>,
    era: Era,
    locate: impl Fn(&crate::GatewayView, &str) -> Option<ResourceTarget>,
) -> Result<ResourceTarget, Refusal> {
    let found = locate(input.gateway, uri.as_str());
    let granted = found.filter(|_| input.caller.grant().allows_rest());
    granted.ok_or_else(|| Refusal::UnknownResource {
        uri: uri.as_str().chars().take(1024).collect(),
        modern: era == Era::Modern,
    })
}

/// Returns the resource with this URI if the caller may read it and the gateway supports subscriptions.
pub(super) fn watched(input: &PlanInput<'_>, uri: &str) -> Option<ResourceTarget> {
    let found = input.gateway.locate(uri).filter(|_| uri.len() <= URI_LIMIT);
    found.filter(|_| input.caller.grant().allows_rest() && input.gateway.offers.subscribe)
}

/// Finds the prompt or template of a completion request, by the same rules.
fn completion(input: &PlanInput<'_>, params: &Params<'_>, era: Era) -> Result<Found, Refusal> {
    let invalid = |text: &'static str| Refusal::InvalidParams(text.into());
    let reference = params.reference.as_ref();
    let reference: &Reference<'_> = reference.ok_or(invalid("`ref` must be an object"))?;
    let kind = reference.kind.as_ref().map(Text::as_str);
    let (server, original_json, subject) = match kind {
        Some("ref/prompt") => {
            let found = prompt(input, named(&reference.name, "`ref.name`", "prompt")?)?;
            let json = found.target.original_json().clone();
            (Arc::clone(found.target.server()), json, found.subject)
        }
        Some("ref/resource") => {
            let uri = named(&reference.uri, "`ref.uri`", "resource or template")?;
            let found = resource(input, uri, era, |gateway, uri| gateway.completed(uri))?;
            (found.server, found.original_json, uri.span)
        }
        Some(_) | None => return Err(invalid("`ref.type` must be ref/prompt or ref/resource")),
    };
    let target = CompletionTarget {
        server,
        original_json,
    };
    Ok(Found {
        target: Target::Completion(target),
        subject,
    })
}

/// Returns `true` if the argument to complete has a name and a value.
pub(super) fn is_argument(argument: &[u8]) -> bool {
    let text = |name: &str| object::get(argument, name).is_some_and(|it| it.starts_with(b"\""));
    text("name") && text("value")
}

fn short(name: &Text<'_>) -> String {
    name.as_str().chars().take(128).collect()
}
