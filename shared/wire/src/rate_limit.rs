//! Conversion of rate limits, for the admin API and for pushes.

use std::{num::NonZeroU32, time::Duration};

use toolgate_model::{
    RateLimit, RateLimitKey,
    snapshot::{RateLimitScope, ScopedRateLimit},
};
use toolgate_proto::{admin::v1 as admin, push::v1 as push};

use crate::{field, invalid::FieldViolation, limits};

/// Validates the rate limits of an object. The keys that its kind permits are checked by the control plane.
pub(crate) fn limits(
    path: &str,
    given: &[admin::RateLimit],
) -> Result<Vec<RateLimit>, FieldViolation> {
    field::each(path, given, limits::RATE_LIMITS, |given| {
        let interval = given.interval.as_ref();
        let interval = interval.ok_or_else(|| {
            FieldViolation::new("interval", "is required: write seconds, such as `60s`")
        })?;
        checked(RateLimit {
            per: key(given.per)?,
            requests: requests(given.requests)?,
            interval: field::timeout("interval", Some(interval), Duration::ZERO)?,
            burst: NonZeroU32::new(given.burst),
            tools: tools(&given.tools)?,
        })
    })
}

/// Converts to messages.
pub(crate) fn limits_to_proto(given: &[RateLimit]) -> Vec<admin::RateLimit> {
    let to_proto = |limit: &RateLimit| admin::RateLimit {
        per: key_to_proto(limit.per).into(),
        requests: limit.requests.get(),
        interval: Some(field::to_duration(limit.interval)),
        burst: limit.burst.map_or(0, NonZeroU32::get),
        tools: limit.tools.clone(),
    };
    given.iter().map(to_proto).collect()
}

/// Validates the rate limits of a gateway resource.
pub(crate) fn scoped(
    path: &str,
    given: &[push::RateLimit],
) -> Result<Vec<ScopedRateLimit>, FieldViolation> {
    field::each(path, given, limits::GATEWAY_RATE_LIMITS, |given| {
        let server = || field::slug("server", &given.server);
        let scope = match given.scope.as_str() {
            "organization" => RateLimitScope::Organization,
            "gateway" => RateLimitScope::Gateway,
            "server" => RateLimitScope::Server(server()?),
            "binding" => RateLimitScope::Binding(server()?),
            _ => {
                let reason = "is neither `organization`, `gateway`, `server` nor `binding`";
                return Err(FieldViolation::new("scope", reason));
            }
        };
        let limit = pushed(given)?;
        Ok(ScopedRateLimit { scope, limit })
    })
}

/// Converts to messages.
pub(crate) fn scoped_to_proto(given: &[ScopedRateLimit]) -> Vec<push::RateLimit> {
    let to_proto = |given: &ScopedRateLimit| {
        let (scope, server) = match &given.scope {
            RateLimitScope::Organization => ("organization", String::new()),
            RateLimitScope::Gateway => ("gateway", String::new()),
            RateLimitScope::Server(server) => ("server", server.to_string()),
            RateLimitScope::Binding(server) => ("binding", server.to_string()),
        };
        push::RateLimit {
            scope: scope.to_owned(),
            server,
            ..pushed_to_proto(&given.limit)
        }
    };
    given.iter().map(to_proto).collect()
}

/// Validates the rate limits of a token resource.
pub(crate) fn unscoped(
    path: &str,
    given: &[push::RateLimit],
) -> Result<Vec<RateLimit>, FieldViolation> {
    field::each(path, given, limits::RATE_LIMITS, |given| {
        if !given.scope.is_empty() || !given.server.is_empty() {
            let reason = "must be empty for a token";
            return Err(FieldViolation::new("scope", reason));
        }
        pushed(given)
    })
}

/// Converts to messages.
pub(crate) fn unscoped_to_proto(given: &[RateLimit]) -> Vec<push::RateLimit> {
    given.iter().map(pushed_to_proto).collect()
}

fn pushed(given: &push::RateLimit) -> Result<RateLimit, FieldViolation> {
    let per = RateLimitKey::parse(&given.per)
        .ok_or_else(|| FieldViolation::new("per", "is not a known key"))?;
    checked(RateLimit {
        per,
        requests: requests(given.requests)?,
        interval: field::timeout_ms("interval_ms", given.interval_ms)?,
        burst: NonZeroU32::new(given.burst),
        tools: tools(&given.tools)?,
    })
}

fn pushed_to_proto(given: &RateLimit) -> push::RateLimit {
    push::RateLimit {
        scope: String::new(),
        server: String::new(),
        per: given.per.as_str().to_owned(),
        requests: given.requests.get(),
        interval_ms: field::to_ms(given.interval),
        burst: given.burst.map_or(0, NonZeroU32::get),
        tools: given.tools.clone(),
    }
}

fn checked(limit: RateLimit) -> Result<RateLimit, FieldViolation> {
    match limit.check() {
        Ok(()) => Ok(limit),
        Err(invalid) => Err(FieldViolation::new(invalid.field, invalid.reason)),
    }
}

fn requests(given: u32) -> Result<NonZeroU32, FieldViolation> {
    let most = RateLimit::MAX_REQUESTS;
    NonZeroU32::new(given)
        .ok_or_else(|| FieldViolation::new("requests", format!("is required: use 1 to {most}")))
}

fn tools(given: &[String]) -> Result<Vec<String>, FieldViolation> {
    field::max_count("tools", given.len(), limits::TOOLS)?;
    let tool = |(at, name): (usize, &String)| {
        field::required(&format!("tools[{at}]"), name, limits::TOOL_NAME)
    };
    given.iter().enumerate().map(tool).collect()
}

fn key(given: i32) -> Result<RateLimitKey, FieldViolation> {
    Ok(match field::enum_value("per", given)? {
        admin::RateLimitKey::Unspecified => {
            let reason = "is required: name the subjects that have a quota each, such as `RATE_LIMIT_KEY_PRINCIPAL`";
            return Err(FieldViolation::new("per", reason));
        }
        admin::RateLimitKey::Principal => RateLimitKey::Principal,
        admin::RateLimitKey::Token => RateLimitKey::Token,
        admin::RateLimitKey::Team => RateLimitKey::Team,
        admin::RateLimitKey::Organization => RateLimitKey::Organization,
        admin::RateLimitKey::Gateway => RateLimitKey::Gateway,
        admin::RateLimitKey::Server => RateLimitKey::Server,
        admin::RateLimitKey::Tool => RateLimitKey::Tool,
    })
}

fn key_to_proto(given: RateLimitKey) -> admin::RateLimitKey {
    match given {
        RateLimitKey::Principal => admin::RateLimitKey::Principal,
        RateLimitKey::Token => admin::RateLimitKey::Token,
        RateLimitKey::Team => admin::RateLimitKey::Team,
        RateLimitKey::Organization => admin::RateLimitKey::Organization,
        RateLimitKey::Gateway => admin::RateLimitKey::Gateway,
        RateLimitKey::Server => admin::RateLimitKey::Server,
        RateLimitKey::Tool => admin::RateLimitKey::Tool,
    }
}

#[cfg(test)]
mod tests;
