//! Validates rate limits: numbers in range, keys that the object permits, and no limit that is there twice.

use std::collections::BTreeSet;

use toolgate_model::{BindingSelection, RateLimit, RateLimitKey, RateLimitLevel};

use crate::{limits, rejection::Rejection};

use super::{check_limit, check_names};

/// Validates the rate limits of the object or binding at the field path `object`.
pub(in crate::decide) fn check(
    object: &str,
    level: RateLimitLevel,
    given: &[RateLimit],
) -> Result<(), Rejection> {
    let path = format!("{object}.rate_limits");
    let name = "rate limits in one place";
    check_limit(&path, name, limits::RATE_LIMITS, given.len())?;
    let mut seen = BTreeSet::new();
    for (index, limit) in given.iter().enumerate() {
        let field = format!("{path}[{index}]");
        one(&field, level, limit)?;
        let tools: BTreeSet<&str> = limit.tools.iter().map(String::as_str).collect();
        if !seen.insert((limit.per, limit.interval, tools)) {
            let reason =
                "limits the same as an earlier one in the same interval; keep one of the two";
            return Err(Rejection::invalid(field, reason));
        }
    }
    Ok(())
}

fn one(field: &str, level: RateLimitLevel, limit: &RateLimit) -> Result<(), Rejection> {
    if !level.keys().contains(&limit.per) {
        return Err(Rejection::invalid(
            format!("{field}.per"),
            key_reason(level, limit.per),
        ));
    }
    if let Err(invalid) = limit.check() {
        let field = format!("{field}.{}", invalid.field);
        return Err(Rejection::invalid(field, invalid.reason));
    }
    let tools = format!("{field}.tools");
    if !limit.tools.is_empty() && !level.may_name_tools() {
        let reason =
            "is for limits of a server or of a gateway's binding only; move the limit there";
        return Err(Rejection::invalid(tools, reason));
    }
    let name = "tools named by a rate limit";
    check_limit(&tools, name, limits::BINDING_TOOLS, limit.tools.len())?;
    check_names(&tools, &limit.tools)?;
    let mut seen = BTreeSet::new();
    match limit.tools.iter().position(|tool| !seen.insert(tool)) {
        Some(duplicate) => {
            let field = format!("{tools}[{duplicate}]");
            Err(Rejection::invalid(field, "is there twice; keep one"))
        }
        None => Ok(()),
    }
}

/// Checks that a binding exposes the tools that its limits name: a mistyped name would leave the intended tool
/// unlimited.
pub(in crate::decide) fn check_exposed(
    binding: &str,
    given: &[RateLimit],
    exposed: &BindingSelection,
) -> Result<(), Rejection> {
    let BindingSelection::Only(exposed) = exposed else {
        return Ok(());
    };
    for (index, limit) in given.iter().enumerate() {
        if let Some(at) = limit.tools.iter().position(|tool| !exposed.contains(tool)) {
            let field = format!("{binding}.rate_limits[{index}].tools[{at}]");
            let reason =
                "is not among the `tools` of the binding; correct the name, or expose the tool";
            return Err(Rejection::invalid(field, reason));
        }
    }
    Ok(())
}

fn key_reason(level: RateLimitLevel, key: RateLimitKey) -> String {
    let permitted: Vec<String> = level.keys().iter().map(|key| format!("`{key}`")).collect();
    let path = match key {
        RateLimitKey::Organization => "; a limit per organization belongs to the organization",
        RateLimitKey::Gateway => "; a limit per gateway belongs to the gateway",
        RateLimitKey::Server | RateLimitKey::Tool => {
            "; a limit per server or tool belongs to the server or to a gateway's binding of it"
        }
        RateLimitKey::Principal | RateLimitKey::Team => {
            "; a limit per principal or team belongs to an organization, gateway, server or binding"
        }
        // Permitted everywhere.
        RateLimitKey::Token => "",
    };
    let article = match level {
        RateLimitLevel::Organization => "an",
        RateLimitLevel::Gateway
        | RateLimitLevel::Server
        | RateLimitLevel::Binding
        | RateLimitLevel::Token => "a",
    };
    let (level, permitted) = (level.as_str(), permitted.join(", "));
    format!("a limit of {article} {level} is per {permitted}, not per `{key}`{path}")
}
