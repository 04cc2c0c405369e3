//! Rate limits: how many requests of one kind are served in an interval.

use std::{fmt, num::NonZeroU32, time::Duration};

use serde::{Deserialize, Serialize};

/// Limit of a request rate. The object that carries the limit decides which requests count: those to the organization,
/// the gateway, the binding or the server, or those made with the token.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RateLimit {
    /// Subject with a quota of its own.
    pub per: RateLimitKey,
    /// Requests per interval.
    pub requests: NonZeroU32,
    /// Interval in which `requests` are served.
    pub interval: Duration,
    /// Requests that may arrive at once, at most `requests`. `None` selects `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<NonZeroU32>,
    /// Tools whose calls count, by the names used by the server. Empty for everything. For servers and bindings only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
}

/// Subject of a rate limit. Ordered from narrow to wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RateLimitKey {
    /// Token or other authentication of a caller.
    Token,
    /// Principal of a caller, regardless of its number of tokens.
    Principal,
    /// Team of a caller. Callers without a team are not limited.
    Team,
    /// Tool.
    Tool,
    /// Server, for all callers together.
    Server,
    /// Gateway, for all callers together.
    Gateway,
    /// Organization, for all callers together.
    Organization,
}

/// Error of a rate limit with a value out of range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidRateLimit {
    /// Name of the field.
    pub field: &'static str,
    /// Description of the error and of a valid value.
    pub reason: String,
}

/// Kind of the object that carries a rate limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RateLimitLevel {
    /// Organization: all requests to its gateways.
    Organization,
    /// Gateway: all requests to it.
    Gateway,
    /// Server: all calls to it, through any gateway.
    Server,
    /// Binding: calls to its server through its gateway.
    Binding,
    /// Token: all requests made with it.
    Token,
}

impl RateLimit {
    /// Shortest interval.
    pub const MIN_INTERVAL: Duration = Duration::from_secs(1);
    /// Longest interval.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(86_400);
    /// Largest number of requests per interval.
    pub const MAX_REQUESTS: u32 = 1_000_000;

    /// Checks the ranges of the numbers. A burst above `requests` would not be refilled within an interval: a longer
    /// interval says the same.
    pub fn check(&self) -> Result<(), InvalidRateLimit> {
        let invalid = |field, reason: String| Err(InvalidRateLimit { field, reason });
        let (requests, burst) = (self.requests, self.burst());
        if requests.get() > Self::MAX_REQUESTS {
            let most = Self::MAX_REQUESTS;
            return invalid(
                "requests",
                format!("{requests} is too many: use 1 to {most}"),
            );
        }
        let range = Self::MIN_INTERVAL..=Self::MAX_INTERVAL;
        if !range.contains(&self.interval) {
            return invalid(
                "interval",
                "must be 1 second to 1 day, such as `60s`".to_owned(),
            );
        }
        if burst > requests {
            let reason = format!(
                "{burst} is more than the {requests} requests of an interval: use at most {requests}, or a longer interval"
            );
            return invalid("burst", reason);
        }
        Ok(())
    }

    /// Returns the number of requests that may arrive at once.
    pub fn burst(&self) -> NonZeroU32 {
        self.burst.unwrap_or(self.requests)
    }
}

impl RateLimitKey {
    /// All keys, from narrow to wide.
    pub const ALL: [Self; 7] = [
        Self::Token,
        Self::Principal,
        Self::Team,
        Self::Tool,
        Self::Server,
        Self::Gateway,
        Self::Organization,
    ];

    /// Returns the name used in pushes, messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Principal => "principal",
            Self::Team => "team",
            Self::Tool => "tool",
            Self::Server => "server",
            Self::Gateway => "gateway",
            Self::Organization => "organization",
        }
    }

    /// Returns the key with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.as_str() == name)
    }
}

impl RateLimitLevel {
    /// Returns the keys that a limit of this level may have. The widest is the level itself: a wider subject contains
    /// requests that do not count there.
    pub const fn keys(self) -> &'static [RateLimitKey] {
        use RateLimitKey as Key;
        match self {
            Self::Organization => &[Key::Principal, Key::Token, Key::Team, Key::Organization],
            Self::Gateway => &[Key::Principal, Key::Token, Key::Team, Key::Gateway],
            Self::Server | Self::Binding => &[
                Key::Principal,
                Key::Token,
                Key::Team,
                Key::Server,
                Key::Tool,
            ],
            Self::Token => &[Key::Token],
        }
    }

    /// Returns `true` if a limit of this level may name tools: only there a request is known to be a call of one.
    pub const fn may_name_tools(self) -> bool {
        matches!(self, Self::Server | Self::Binding)
    }

    /// Returns the name used in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Organization => "organization",
            Self::Gateway => "gateway",
            Self::Server => "server",
            Self::Binding => "binding",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for RateLimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
