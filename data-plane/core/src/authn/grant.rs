//! Access of a caller. List responses and calls use the same decision, so that they cannot differ.

use toolgate_model::{AllowList, Digest, Slug};

/// Permission to enter gateways, and to see and call exposed tools there. Equal grants are shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    gateways: AllowList<Slug>,
    tools: AllowList<String>,
    digest: Digest,
    list_digest: Digest,
}

impl Grant {
    /// Creates a grant for these gateways of the principal's organization and these exposed tools. Entries are sorted,
    /// because look-ups rely on the order; an empty set stays empty.
    pub fn new(gateways: &AllowList<Slug>, tools: &AllowList<String>) -> Self {
        let (gateways, tools) = (sorted(gateways), sorted(tools));
        Self {
            digest: Digest::of(&(&gateways, &tools)),
            list_digest: Digest::of(&tools),
            gateways,
            tools,
        }
    }

    /// Returns `true` if the gateway with this id may be entered.
    pub fn allows_gateway(&self, gateway: &Slug) -> bool {
        self.gateways.contains(gateway)
    }

    /// Returns `true` if the tool with this exposed name may be seen and called.
    pub fn allows_tool(&self, exposed: &str) -> bool {
        self.tools.contains(exposed)
    }

    /// Returns `true` if prompts and resources may be seen and used. A grant restricted to some tools gives no access
    /// to them.
    pub fn allows_prompts_and_resources(&self) -> bool {
        self.is_unfiltered()
    }

    /// Returns `true` if the grant has no tool filter.
    pub fn is_unfiltered(&self) -> bool {
        matches!(self.tools, AllowList::All)
    }

    /// Digest of the whole grant; equal grants have equal digests.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Digest of what filters lists. Grants that differ in their gateways alone share it, and with it cached lists.
    pub fn list_digest(&self) -> Digest {
        self.list_digest
    }
}

/// Sorts a set. An unsorted set would grant or deny access at random.
fn sorted<T: Ord + Clone>(list: &AllowList<T>) -> AllowList<T> {
    match list {
        AllowList::All => AllowList::All,
        AllowList::Only(items) => {
            let mut items = items.clone();
            items.sort();
            items.dedup();
            AllowList::Only(items)
        }
    }
}
