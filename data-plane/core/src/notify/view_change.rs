//! Comparison of two views for one caller at one gateway. Only what the caller may see is compared; a change to a
//! hidden tool is not reported.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_mcp::method;
use toolgate_model::{Digest, Slug};

use crate::{AuthnId, GatewayView, Grant, View};

/// Set of list kinds, for `list_changed` notifications.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListChanges {
    /// Tool list.
    pub tools: bool,
    /// Prompt list.
    pub prompts: bool,
    /// Lists of resources and of resource templates.
    pub resources: bool,
}

/// Delay before a client is notified of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DebounceDelay {
    /// Short delay after the first change, so that related changes are sent together.
    Initial,
    /// Delay after a notification, during which further changes are collected.
    Cooldown,
}

/// Comparison of a view with its successor. Results are cached and shared by all clients with the same gateway and
/// grants.
#[derive(Debug)]
pub struct ViewComparison<'a> {
    before: &'a View,
    after: &'a View,
    computed: BTreeMap<(Slug, Digest, Digest), ListChanges>,
}

/// Gateway and grant as seen by one caller.
#[derive(Debug, Clone, Copy)]
struct VisibleGateway<'a> {
    gateway: &'a Arc<GatewayView>,
    grant: &'a Arc<Grant>,
}

impl ListChanges {
    /// Empty set.
    pub const NONE: Self = Self {
        tools: false,
        prompts: false,
        resources: false,
    };

    /// Set of all kinds.
    pub const ALL: Self = Self {
        tools: true,
        prompts: true,
        resources: true,
    };

    /// Returns `true` if the set is not empty.
    pub fn any(self) -> bool {
        self != Self::NONE
    }

    /// Intersection of two sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self {
            tools: self.tools && other.tools,
            prompts: self.prompts && other.prompts,
            resources: self.resources && other.resources,
        }
    }

    /// Union of two sets.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self {
            tools: self.tools || other.tools,
            prompts: self.prompts || other.prompts,
            resources: self.resources || other.resources,
        }
    }

    /// Notification methods of the kinds in this set.
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

impl<'a> ViewComparison<'a> {
    /// Creates a comparison of two views.
    pub fn new(before: &'a View, after: &'a View) -> Self {
        Self {
            before,
            after,
            computed: BTreeMap::new(),
        }
    }

    /// Returns the gateway of the newer view and the caller's grant, or `None` if the caller has no access to the
    /// gateway.
    pub fn current(
        &self,
        gateway: &Slug,
        authn: &AuthnId,
    ) -> Option<(&'a Arc<GatewayView>, &'a Grant)> {
        let now = visible_gateway(self.after, gateway, authn)?;
        Some((now.gateway, now.grant))
    }

    /// Returns the lists that changed for the caller at the gateway, or `None` if it no longer has access to it.
    pub fn changes_for(&mut self, gateway: &Slug, authn: &AuthnId) -> Option<ListChanges> {
        let now = visible_gateway(self.after, gateway, authn)?;
        let Some(was) = visible_gateway(self.before, gateway, authn) else {
            return Some(ListChanges::ALL);
        };
        let (old, new) = (was.grant.list_digest(), now.grant.list_digest());
        if old == new && Arc::ptr_eq(was.gateway, now.gateway) {
            return Some(ListChanges::NONE);
        }
        let known = self.computed.entry((gateway.clone(), old, new));
        Some(*known.or_insert_with(|| diff(was, now)))
    }
}

/// Returns `true` if the caller authenticated by this proof has access to the gateway.
pub fn is_served(view: &View, gateway: &Slug, authn: &AuthnId) -> bool {
    visible_gateway(view, gateway, authn).is_some()
}

/// Returns what the caller sees at the gateway, by the same rule that authorizes requests.
fn visible_gateway<'a>(
    view: &'a View,
    gateway: &Slug,
    authn: &AuthnId,
) -> Option<VisibleGateway<'a>> {
    let gateway = view.gateway(gateway.as_str())?;
    let caller = view.caller(authn)?;
    let served = gateway.denied.is_none() && caller.may_enter(gateway);
    served.then_some(VisibleGateway {
        gateway,
        grant: caller.grant(),
    })
}

fn diff(was: VisibleGateway<'_>, now: VisibleGateway<'_>) -> ListChanges {
    // Prompts and resources are visible as a whole or not at all.
    let rest = |sight: VisibleGateway<'_>| {
        let gateway = sight.gateway;
        let digests = (gateway.prompts_digest, gateway.resources_digest);
        sight
            .grant
            .allows_prompts_and_resources()
            .then_some(digests)
            .unzip()
    };
    let ((old_prompts, old_resources), (prompts, resources)) = (rest(was), rest(now));
    let (before, offers) = (&was.gateway.features, &now.gateway.features);
    ListChanges {
        tools: visible_tools_digest(was) != visible_tools_digest(now),
        // Clients do not expect changes of a kind that was never advertised.
        prompts: old_prompts != prompts && (before.prompts || offers.prompts),
        resources: old_resources != resources && (before.resources || offers.resources),
    }
}

/// Digest of the listed tools. Tools of a progressive gateway are not listed; clients search for them again.
fn visible_tools_digest(sight: VisibleGateway<'_>) -> Digest {
    if sight.grant.is_unfiltered() || sight.gateway.is_progressive() {
        return sight.gateway.tools_digest;
    }
    let mut bytes = Vec::new();
    for tool in sight.gateway.tools() {
        if sight.grant.allows_tool(&tool.exposed) {
            bytes.extend_from_slice(tool.exposed.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&tool.exposed_digest.0);
        }
    }
    Digest::of_bytes(&bytes)
}

#[cfg(test)]
mod tests;
