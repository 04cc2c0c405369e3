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
        let current = visible_gateway(self.after, gateway, authn)?;
        Some((current.gateway, current.grant))
    }

    /// Returns the lists that changed for the caller at the gateway, or `None` if it no longer has access to it.
    pub fn changes_for(&mut self, gateway: &Slug, authn: &AuthnId) -> Option<ListChanges> {
        let current = visible_gateway(self.after, gateway, authn)?;
        let Some(previous) = visible_gateway(self.before, gateway, authn) else {
            return Some(ListChanges::ALL);
        };
        let (old, new) = (previous.grant.list_digest(), current.grant.list_digest());
        if old == new && Arc::ptr_eq(previous.gateway, current.gateway) {
            return Some(ListChanges::NONE);
        }
        let known = self.computed.entry((gateway.clone(), old, new));
        Some(*known.or_insert_with(|| diff(previous, current)))
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
    let grant = view.grant_at(gateway, authn)?;
    let is_served = gateway.denied.is_none();
    is_served.then_some(VisibleGateway { gateway, grant })
}

fn diff(previous: VisibleGateway<'_>, current: VisibleGateway<'_>) -> ListChanges {
    // Prompts and resources are visible as a whole or not at all.
    let rest = |visible: VisibleGateway<'_>| {
        let gateway = visible.gateway;
        let digests = (gateway.prompts_digest, gateway.resources_digest);
        visible
            .grant
            .allows_prompts_and_resources()
            .then_some(digests)
            .unzip()
    };
    let ((old_prompts, old_resources), (prompts, resources)) = (rest(previous), rest(current));
    let (before, offers) = (&previous.gateway.features, &current.gateway.features);
    ListChanges {
        tools: visible_tools_digest(previous) != visible_tools_digest(current),
        // Clients do not expect changes of a kind that was never advertised.
        prompts: old_prompts != prompts && (before.prompts || offers.prompts),
        resources: old_resources != resources && (before.resources || offers.resources),
    }
}

/// Digest of the listed tools. Tools of a progressive gateway are not listed; clients search for them again.
fn visible_tools_digest(visible: VisibleGateway<'_>) -> Digest {
    if visible.grant.is_unfiltered() || visible.gateway.is_progressive() {
        return visible.gateway.tools_digest;
    }
    let mut bytes = Vec::new();
    for tool in visible.gateway.tools() {
        if visible.grant.allows_tool(&tool.exposed) {
            bytes.extend_from_slice(tool.exposed.as_bytes());
            bytes.push(0);
            bytes.extend_from_slice(&tool.exposed_digest.0);
        }
    }
    Digest::of_bytes(&bytes)
}

#[cfg(test)]
mod tests;
