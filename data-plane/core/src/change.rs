//! What a newer view changes for whoever uses a token at a gateway. Compared is what they may see: a change of what is
//! hidden from them is none.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_mcp::method;
use toolgate_model::{Digest, Slug, TokenHash};

use crate::{GatewayView, Grant, TokenView, View};

/// Kinds of list that can change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kinds {
    /// Tools.
    pub tools: bool,
    /// Prompts.
    pub prompts: bool,
    /// Resources, and templates of resources.
    pub resources: bool,
}

/// What passes before changes are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pause {
    /// A moment after the first: what belongs together is told together.
    Gather,
    /// After something was told: what changes meanwhile is told once.
    Rest,
}

/// Two views, one after the other. What was worked out for one client is known for all who see the same.
#[derive(Debug)]
pub struct Comparison<'a> {
    before: &'a View,
    after: &'a View,
    known: BTreeMap<(Slug, Digest, Digest), Kinds>,
}

/// What one client goes by.
#[derive(Debug, Clone, Copy)]
struct Sight<'a> {
    gateway: &'a Arc<GatewayView>,
    grant: &'a Arc<Grant>,
}

impl Kinds {
    /// None.
    pub const NONE: Self = Self {
        tools: false,
        prompts: false,
        resources: false,
    };

    /// All.
    pub const ALL: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
    };

    /// Whether there is any.
    pub fn any(self) -> bool {
        self != Self::NONE
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
        }
    }

    /// Those of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
        }
    }

    /// The methods that tell of them.
    pub fn methods(self) -> impl Iterator<Item = &'static str> {
        let all = [
            (self.tools, method::TOOLS_CHANGED),
            (self.prompts, method::PROMPTS_CHANGED),
            (self.resources, method::RESOURCES_CHANGED),
        ];
        all.into_iter()
            .filter_map(|(changed, method)| changed.then_some(method))
    }
}

impl<'a> Comparison<'a> {
    /// Of these two.
    pub fn new(before: &'a View, after: &'a View) -> Self {
        Self {
            before,
            after,
            known: BTreeMap::new(),
        }
    }

    /// The gateway as it is now, and what the token may see there; none if nothing is served to it there.
    pub fn now(
        &self,
        gateway: &Slug,
        token: &TokenHash,
    ) -> Option<(&'a Arc<GatewayView>, &'a Grant)> {
        let now = sight(self.after, gateway, token)?;
        Some((now.gateway, now.grant))
    }

    /// What changed for the token at the gateway; none if nothing is served to it there any more.
    pub fn concerns(&mut self, gateway: &Slug, token: &TokenHash) -> Option<Kinds> {
        let now = sight(self.after, gateway, token)?;
        let Some(was) = sight(self.before, gateway, token) else {
            return Some(Kinds::ALL);
        };
        let (old, new) = (was.grant.digest(), now.grant.digest());
        if old == new && Arc::ptr_eq(was.gateway, now.gateway) {
            return Some(Kinds::NONE);
        }
        let known = self.known.entry((gateway.clone(), old, new));
        Some(*known.or_insert_with(|| differ(was, now)))
    }
}

/// Whether anything is served to the token at the gateway.
pub fn is_served(view: &View, gateway: &Slug, token: &TokenHash) -> bool {
    sight(view, gateway, token).is_some()
}

/// What the token sees at the gateway, by the rule that requests are let in by.
fn sight<'a>(view: &'a View, gateway: &Slug, token: &TokenHash) -> Option<Sight<'a>> {
    let gateway = view.gateway(gateway.as_str())?;
    let token: &TokenView = view.token(token)?;
    let served = gateway.denied.is_none() && token.reaches(gateway);
    served.then_some(Sight {
        gateway,
        grant: &token.grant,
    })
}

fn differ(was: Sight<'_>, now: Sight<'_>) -> Kinds {
    // All else than tools is seen as a whole, or not at all.
    let rest = |sight: Sight<'_>| {
        let gateway = sight.gateway;
        let digests = (gateway.prompts_digest, gateway.resources_digest);
        sight.grant.allows_rest().then_some(digests).unzip()
    };
    let ((old_prompts, old_resources), (prompts, resources)) = (rest(was), rest(now));
    let (before, offers) = (&was.gateway.offers, &now.gateway.offers);
    Kinds {
        tools: tools(was) != tools(now),
        // Of what was never offered nobody expects to hear.
        prompts: old_prompts != prompts && (before.prompts || offers.prompts),
        resources: old_resources != resources && (before.resources || offers.resources),
    }
}

/// Of the tools that are listed. Of those that have to be searched for nobody is told: who wants one searches again.
fn tools(sight: Sight<'_>) -> Digest {
    if sight.grant.is_all() || sight.gateway.is_progressive() {
        return sight.gateway.tools_digest;
    }
    let mut bytes = Vec::new();
    for tool in sight.gateway.tools() {
        if sight.grant.allows(&tool.exposed) {
            bytes.extend_from_slice(tool.exposed.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&tool.shown.0);
        }
    }
    Digest::of_bytes(&bytes)
}

#[cfg(test)]
mod tests;
