//! `tools/list` as bytes: serialised once per (gateway, grant, era, page), then shared.
//!
//! Reading takes no lock. A slot belongs to the first grant that needs it, for as long as the gateway's view lives;
//! a caller whose grant finds none gets its page built for it alone.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use toolgate_mcp::message::{self, Caching};
use toolgate_model::{Digest, Era};

use crate::{GatewayView, Grant, ToolView};

/// Tools on one page.
pub const PAGE: usize = 500;

/// For how long a modern client may keep a list. Short, because not every client listens for changes.
pub const LIST_TTL_MS: u64 = 1_000;

/// Filtering grants whose lists are kept, per gateway.
const SLOTS: usize = 64;

/// Slots that one grant may try.
const PROBES: usize = 4;

/// Bytes of lists that are kept for filtering grants, per gateway.
const KEPT_LIMIT: usize = 16 * 1024 * 1024;

/// One page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    /// The result, without its closing brace.
    pub open: Bytes,
    /// Whether another page follows.
    pub more: bool,
    /// Of the whole list, for cursors.
    pub digest: Digest,
}

/// What is kept for one gateway.
#[derive(Default)]
pub(super) struct Lists {
    all: GrantLists,
    filtered: OnceLock<Box<[OnceLock<Arc<GrantLists>>]>>,
    kept: AtomicUsize,
}

/// What is kept for one grant.
#[derive(Default)]
struct GrantLists {
    grant: Option<Digest>,
    legacy: OnceLock<Vec<ListPage>>,
    modern: OnceLock<Vec<ListPage>>,
}

impl Lists {
    pub(super) fn page(
        &self,
        gateway: &GatewayView,
        grant: &Grant,
        era: Era,
        page: u32,
    ) -> Option<ListPage> {
        let page = usize::try_from(page).ok()?;
        let build = || serialise(gateway, grant, era);
        if grant.is_all() {
            return self.all.of(era).get_or_init(build).get(page).cloned();
        }
        match self.slot(grant.digest()) {
            Some(kept) => {
                let counted = || {
                    let built = build();
                    let bytes = built.iter().map(|page| page.open.len()).sum();
                    self.kept.fetch_add(bytes, Ordering::Relaxed);
                    built
                };
                kept.of(era).get_or_init(counted).get(page).cloned()
            }
            None => build().into_iter().nth(page),
        }
    }

    /// Whether grants may be turned away: time for the next view to start afresh.
    pub(super) fn is_worn(&self) -> bool {
        let taken =
            |slots: &[OnceLock<_>]| slots.iter().filter(|slot| slot.get().is_some()).count();
        let taken = self.filtered.get().map_or(0, |slots| taken(slots));
        taken > SLOTS / 2 || self.kept.load(Ordering::Relaxed) > KEPT_LIMIT / 2
    }

    fn slot(&self, grant: Digest) -> Option<&GrantLists> {
        let slots = self.filtered.get_or_init(|| {
            let empty = || OnceLock::<Arc<GrantLists>>::new();
            std::iter::repeat_with(empty).take(SLOTS).collect()
        });
        let [first, ..] = grant.0;
        for probe in 0..PROBES {
            let slot = slots.get((usize::from(first) + probe) % SLOTS)?;
            if slot.get().is_none() && self.kept.load(Ordering::Relaxed) > KEPT_LIMIT {
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

impl GrantLists {
    fn of(&self, era: Era) -> &OnceLock<Vec<ListPage>> {
        match era {
            Era::Legacy => &self.legacy,
            Era::Modern => &self.modern,
        }
    }
}

/// All pages; at least one.
fn serialise(gateway: &GatewayView, grant: &Grant, era: Era) -> Vec<ListPage> {
    let granted = |tool: &&Arc<ToolView>| grant.allows(&tool.exposed);
    let tools: Vec<&Arc<ToolView>> = gateway.tools().iter().filter(granted).collect();
    let digest = Digest::of(&(gateway.tools_digest, grant.digest()));
    let head = head(gateway, era);
    let mut pages: Vec<ListPage> = tools
        .chunks(PAGE)
        .map(|chunk| page(&head, chunk, era, digest))
        .collect();
    if pages.is_empty() {
        pages.push(page(&head, &[], era, digest));
    }
    let last = pages.len() - 1;
    for page in pages.iter_mut().take(last) {
        page.more = true;
    }
    pages
}

fn page(head: &str, tools: &[&Arc<ToolView>], era: Era, digest: Digest) -> ListPage {
    let weight: usize = tools.iter().map(|tool| tool.weight()).sum();
    let mut out = String::with_capacity(head.len() + weight + 3 * tools.len() + 16);
    out.push_str(head);
    for (index, tool) in tools.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        tool.write(era, &mut out);
    }
    out.push(']');
    ListPage {
        open: Bytes::from(out),
        more: false,
        digest,
    }
}

/// Up to the first tool.
fn head(gateway: &GatewayView, era: Era) -> String {
    match era {
        Era::Legacy => "{\"tools\":[".to_owned(),
        Era::Modern => {
            // Private always: whoever sees a list has proved who they are, and another may see less.
            let caching = Caching {
                ttl_ms: LIST_TTL_MS,
                public: false,
            };
            let members = message::modern_members(&gateway.server_info, Some(caching));
            format!("{{{members},\"tools\":[")
        }
    }
}

#[cfg(test)]
mod tests;
