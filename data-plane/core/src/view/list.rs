//! Serialized lists, built once per gateway, grant, era and page and then shared. Tools are filtered individually;
//! prompts and resources are visible as a whole or not at all.
//!
//! Reads take no lock. A slot belongs to the first grant that uses it for the lifetime of the gateway's view. If a
//! grant finds no free slot, its pages are built for each request.
//!
//! Pages are memoized in `OnceLock`s. They depend on the view, the grant and the era only, so the value is the same
//! whichever thread builds it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use toolgate_mcp::message::{self, CacheHints};
use toolgate_model::{Digest, Era};

use crate::{
    GatewayView, Grant, ToolView,
    plan::list_cursor::ListKind,
    view::{ListItem, builtin_tools},
};

/// Maximum number of items on a page.
pub const PAGE_SIZE: usize = 500;

/// Maximum size of a page in bytes. A page has one item at least.
pub const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// Time for which a modern client may cache a list, in milliseconds. Short, because not every client subscribes to
/// changes.
pub const LIST_TTL_MS: u64 = 1_000;

/// Maximum number of filtering grants with cached lists, per gateway.
const SLOTS: usize = 64;

/// Number of slots that a grant may probe.
const PROBES: usize = 4;

/// Maximum size of cached lists of filtering grants per gateway, in bytes.
const CACHE_LIMIT: usize = 16 * 1024 * 1024;

/// Page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// Result without its closing brace.
    pub unclosed: Bytes,
    /// True if another page follows.
    pub more: bool,
    /// Digest of the whole list, for cursors.
    pub digest: Digest,
}

/// Cached lists of one gateway.
#[derive(Default)]
pub(super) struct ListCache {
    all: GrantLists,
    filtered: OnceLock<Box<[OnceLock<Arc<GrantLists>>]>>,
    prompts: AllOrNothingList,
    resources: AllOrNothingList,
    templates: AllOrNothingList,
}

/// List that is visible as a whole or not at all.
#[derive(Default)]
struct AllOrNothingList {
    visible: EraPages,
    empty: EraPages,
}

/// Cached tool list of the grants with one filter.
#[derive(Default)]
struct GrantLists {
    grant: Option<Digest>,
    pages: EraPages,
}

/// Pages of one list, per era.
#[derive(Default)]
struct EraPages {
    legacy: OnceLock<Vec<ListPage>>,
    modern: OnceLock<Vec<ListPage>>,
}

impl ListCache {
    /// Returns a page of the tool list.
    pub(super) fn tool_page(
        &self,
        gateway: &GatewayView,
        grant: &Grant,
        era: Era,
        page: u32,
    ) -> Option<ListPage> {
        let page = usize::try_from(page).ok()?;
        let build = || tool_pages(gateway, grant, era);
        // The list of a progressive gateway is the same for all callers.
        if grant.is_unfiltered() || gateway.is_progressive() {
            return self.all.pages.of(era).get_or_init(build).get(page).cloned();
        }
        match self.slot(grant.list_digest()) {
            Some(lists) => lists.pages.of(era).get_or_init(build).get(page).cloned(),
            None => build().into_iter().nth(page),
        }
    }

    /// Returns a page of a list other than tools.
    pub(super) fn all_or_nothing_page(
        &self,
        gateway: &GatewayView,
        kind: ListKind,
        grant: &Grant,
        era: Era,
        page: u32,
    ) -> Option<ListPage> {
        let whole = match kind {
            ListKind::Prompts => &self.prompts,
            ListKind::Resources => &self.resources,
            ListKind::Templates => &self.templates,
            ListKind::Tools => return None,
        };
        let seen = grant.allows_prompts_and_resources();
        let pages = if seen { &whole.visible } else { &whole.empty };
        let page = usize::try_from(page).ok()?;
        let build = || all_or_nothing_pages(gateway, kind, seen, era);
        pages.of(era).get_or_init(build).get(page).cloned()
    }

    /// Returns `true` if the cache is so full that grants may find no slot. The next view then starts with an empty
    /// cache.
    pub(super) fn is_half_full(&self) -> bool {
        self.cached_lists().count() > SLOTS / 2 || self.cached_bytes() > CACHE_LIMIT / 2
    }

    /// Lists of the filtering grants that have a slot.
    fn cached_lists(&self) -> impl Iterator<Item = &Arc<GrantLists>> {
        let slots = self.filtered.get().into_iter().flatten();
        slots.filter_map(OnceLock::get)
    }

    /// Size of the cached lists of filtering grants, in bytes.
    fn cached_bytes(&self) -> usize {
        self.cached_lists().map(|lists| lists.pages.size()).sum()
    }

    fn slot(&self, grant: Digest) -> Option<&GrantLists> {
        let slots = self.filtered.get_or_init(|| {
            let empty = || OnceLock::<Arc<GrantLists>>::new();
            std::iter::repeat_with(empty).take(SLOTS).collect()
        });
        let [first, ..] = grant.0;
        for probe in 0..PROBES {
            let slot = slots.get((usize::from(first) + probe) % SLOTS)?;
            // The size is summed up only before a slot is claimed, not when a cached list is read.
            if slot.get().is_none() && self.cached_bytes() > CACHE_LIMIT {
                return None;
            }
            let lists = slot.get_or_init(|| {
                let grant = Some(grant);
                Arc::new(GrantLists {
                    grant,
                    ..GrantLists::default()
                })
            });
            if lists.grant == Some(grant) {
                return Some(lists);
            }
        }
        None
    }
}

impl EraPages {
    fn of(&self, era: Era) -> &OnceLock<Vec<ListPage>> {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }

    /// Size of the pages that are built, in bytes.
    fn size(&self) -> usize {
        let built = [&self.legacy, &self.modern];
        let pages = built.into_iter().filter_map(OnceLock::get).flatten();
        pages.map(|page| page.unclosed.len()).sum()
    }
}

/// Serializes the tools visible with a grant.
fn tool_pages(gateway: &GatewayView, grant: &Grant, era: Era) -> Vec<ListPage> {
    let head = head(gateway, ListKind::Tools, era);
    if gateway.is_progressive() {
        let own = builtin_tools::all();
        let own: Vec<_> = own.iter().collect();
        return pages(&head, &own, era, gateway.tools_digest);
    }
    let granted = |tool: &&Arc<ToolView>| grant.allows_tool(&tool.exposed);
    let tools: Vec<&Arc<ToolView>> = gateway.tools().iter().filter(granted).collect();
    let digest = Digest::of(&(gateway.tools_digest, grant.list_digest()));
    pages(&head, &tools, era, digest)
}

/// Serializes all items of another kind, or none.
fn all_or_nothing_pages(
    gateway: &GatewayView,
    kind: ListKind,
    seen: bool,
    era: Era,
) -> Vec<ListPage> {
    let head = head(gateway, kind, era);
    let resources = gateway.resources_digest;
    match kind {
        ListKind::Prompts if seen => {
            let prompts: Vec<_> = gateway.prompts.iter().collect();
            pages(&head, &prompts, era, gateway.prompts_digest)
        }
        ListKind::Resources if seen => {
            let listed: Vec<_> = gateway.resources.listed.iter().collect();
            pages(&head, &listed, era, resources)
        }
        ListKind::Templates if seen => {
            let templates: Vec<_> = gateway.resources.templates.iter().collect();
            pages(&head, &templates, era, resources)
        }
        ListKind::Tools | ListKind::Prompts | ListKind::Resources | ListKind::Templates => {
            pages::<ToolView>(&head, &[], era, Digest::of_bytes(b"hidden"))
        }
    }
}

/// Splits the items into pages; there is at least one.
fn pages<T: ListItem>(head: &str, items: &[&Arc<T>], era: Era, digest: Digest) -> Vec<ListPage> {
    let (mut pages, mut rest) = (Vec::new(), items);
    loop {
        let mut bytes = 0;
        let fits = |item: &&&Arc<T>| {
            let is_first = bytes == 0;
            bytes += item.weight();
            is_first || bytes <= PAGE_BYTES
        };
        let count = rest.iter().take(PAGE_SIZE).take_while(fits).count();
        let (on_page, after) = rest.split_at(count);
        pages.push(ListPage {
            more: !after.is_empty(),
            ..page(head, on_page, era, digest)
        });
        rest = after;
        if rest.is_empty() {
            return pages;
        }
    }
}

fn page<T: ListItem>(head: &str, items: &[&Arc<T>], era: Era, digest: Digest) -> ListPage {
    let weight: usize = items.iter().map(|item| item.weight()).sum();
    let mut out = String::with_capacity(head.len() + weight + 3 * items.len() + 16);
    out.push_str(head);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        item.write(era, &mut out);
    }
    out.push(']');
    ListPage {
        unclosed: Bytes::from(out),
        more: false,
        digest,
    }
}

/// Start of the result, up to the first item.
fn head(gateway: &GatewayView, kind: ListKind, era: Era) -> String {
    let member = kind.member();
    match era {
        Era::Legacy => format!("{{\"{member}\":["),
        Era::Modern => {
            // Always private: lists are only served to authenticated callers, and another caller may see less.
            let caching = CacheHints {
                ttl_ms: LIST_TTL_MS,
                public: false,
            };
            let members = message::modern_members(&gateway.server_info, Some(caching));
            format!("{{{members},\"{member}\":[")
        }
    }
}

#[cfg(test)]
mod tests;
