//! Configuration that a proxy serves, and the application of pushes to it. A resource that fails validation, or that
//! makes the view builder panic, keeps its last good form and is reported; the rest of the push is served.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use toolgate_data_core::View;
use toolgate_model::{
    Digest, Refusal, Resource, ResourceKey, ResourceKind, Snapshot, Version,
    snapshot::{Entry, GatewayResource},
};
use toolgate_wire::push::{Incoming, RefusedResource, key_to_proto};

/// Configuration that is served, as snapshot and as view.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// Last good form of every resource.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The snapshot, indexed for requests.
    pub(crate) view: Arc<View>,
    /// Resources whose latest form was refused, with the reason.
    pub(crate) refused: BTreeMap<ResourceKey, String>,
}

/// Error of a push with a version older than the current one. The push is rejected as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("was offered version {offered}, which is before {held}")]
pub(crate) struct Backwards {
    held: Version,
    offered: Version,
}

/// Function that builds a view; replaced in tests.
type Builder = fn(&Snapshot, Option<&View>) -> (View, Vec<Refusal>);

struct Built {
    snapshot: Snapshot,
    view: View,
    refusals: Vec<Refusal>,
}

/// Digest that a Hello reports for a refused resource. No resource has this digest, so the control plane sends the
/// resource again.
const NOT_AS_WANTED: Digest = Digest([0; 32]);

impl Held {
    /// Returns an empty configuration.
    pub(crate) fn nothing() -> Self {
        let view = Arc::new(View::empty());
        Self {
            snapshot: Arc::default(),
            view,
            refused: BTreeMap::new(),
        }
    }

    /// Returns the digests to report in a Hello. A refused resource is reported with [`REFUSED_DIGEST`]: the control
    /// plane sends it again and learns of the refusal, or removes it if it no longer exists.
    pub(crate) fn digests(&self) -> BTreeMap<ResourceKey, Digest> {
        let mut digests = self.snapshot.digests();
        for (key, digest) in &mut digests {
            if self.refused.contains_key(key) {
                *digest = NOT_AS_WANTED;
            }
        }
        digests
    }

    /// Applies a push. Returns the new configuration and the refused resources. Takes as long as building a view, so it
    /// must not run on the request path.
    pub(crate) fn take(
        &self,
        incoming: Incoming,
    ) -> Result<(Self, Vec<RefusedResource>), Backwards> {
        self.take_with(incoming, View::build)
    }

    fn take_with(
        &self,
        incoming: Incoming,
        builder: Builder,
    ) -> Result<(Self, Vec<RefusedResource>), Backwards> {
        let held = self.snapshot.version;
        if incoming.version < held {
            return Err(Backwards {
                held,
                offered: incoming.version,
            });
        }
        let Incoming {
            version,
            mut puts,
            removes,
            deny,
            mut refused,
            ..
        } = incoming;
        puts.extend(deny.into_iter().map(|(key, field)| (key, denied(field))));
        let offered: Vec<ResourceKey> = puts.iter().map(|(key, _entry)| key.clone()).collect();

        let mut base = self.snapshot.as_ref().clone();
        base.version = version;
        for key in &removes {
            base.entries.remove(key);
        }
        let mut panicked = Vec::new();
        let Some(mut built) = build(base, puts, (builder, &self.view), &mut panicked) else {
            // The build fails even without the new resources: keep the current configuration.
            refused.extend(
                offered
                    .iter()
                    .map(|key| refuse(key, "the view could not be built")),
            );
            return Ok((self.clone(), refused));
        };
        refused.extend(
            panicked
                .iter()
                .map(|key| refuse(key, "building the view with it failed")),
        );
        self.restore(&mut built);
        let news = self.news(&built.refusals, &offered, &refused);
        refused.extend(news);
        let remembered = self.remember(&offered, &removes, &refused);
        let next = Self {
            snapshot: Arc::new(built.snapshot),
            view: Arc::new(built.view),
            refused: remembered,
        };
        Ok((next, refused))
    }

    /// Returns the refusals to report: those of resources in this push, and those not reported before, unless `refused`
    /// has a reason already. Uses sets, since all resources of a push may be refused.
    fn news(
        &self,
        refusals: &[Refusal],
        offered: &[ResourceKey],
        refused: &[RefusedResource],
    ) -> Vec<RefusedResource> {
        let told = refused.iter().filter_map(|it| it.known.as_ref());
        let told: BTreeSet<_> = told.collect();
        let offered: BTreeSet<_> = offered.iter().collect();
        let is_news = |it: &&Refusal| {
            let key = &it.resource;
            !told.contains(key) && (offered.contains(key) || !self.refused.contains_key(key))
        };
        let news = refusals.iter().filter(is_news);
        news.map(|it| refuse(&it.resource, &it.reason)).collect()
    }

    /// Restores the last good form of resources that the view refused. Refusals of a gateway concern its parts: it is
    /// served, or denied, in its new form.
    fn restore(&self, built: &mut Built) {
        for Refusal { resource, .. } in &built.refusals {
            if resource.kind == ResourceKind::Gateway {
                continue;
            }
            match self.snapshot.entries.get(resource) {
                Some(good) => built
                    .snapshot
                    .entries
                    .insert(resource.clone(), good.clone()),
                None => built.snapshot.entries.remove(resource),
            };
        }
    }

    fn remember(
        &self,
        offered: &[ResourceKey],
        removed: &[ResourceKey],
        refused: &[RefusedResource],
    ) -> BTreeMap<ResourceKey, String> {
        let mut remembered = self.refused.clone();
        for key in offered.iter().chain(removed) {
            remembered.remove(key);
        }
        let named = refused
            .iter()
            .filter_map(|it| Some((it.known.clone()?, it.reason.clone())));
        remembered.extend(named);
        remembered
    }
}

/// Builds a view of `base` with as many of `puts` as possible without a panic, by bisection. Returns `None` if `base`
/// alone panics.
fn build(
    base: Snapshot,
    mut puts: Vec<(ResourceKey, Entry)>,
    with: (Builder, &View),
    panicked: &mut Vec<ResourceKey>,
) -> Option<Built> {
    let mut whole = base.clone();
    whole.entries.extend(puts.iter().cloned());
    if let Some(built) = try_build(whole, with) {
        return Some(built);
    }
    if puts.len() <= 1 {
        panicked.extend(puts.pop().map(|(key, _entry)| key));
        return try_build(base, with);
    }
    let second = puts.split_off(puts.len() / 2);
    let first = build(base, puts, with, panicked)?;
    build(first.snapshot, second, with, panicked)
}

fn try_build(snapshot: Snapshot, (builder, previous): (Builder, &View)) -> Option<Built> {
    let built = catch_unwind(AssertUnwindSafe(|| builder(&snapshot, Some(previous))));
    let (view, refusals) = built.ok()?;
    Some(Built {
        snapshot,
        view,
        refusals,
    })
}

/// Returns the placeholder of a gateway that requires an unsupported feature; the view denies it.
fn denied(field: String) -> Entry {
    Entry::new(Resource::Gateway(GatewayResource {
        display_name: String::new(),
        instructions: String::new(),
        tools: Vec::new(),
        servers: Vec::new(),
        must_understand: vec![field],
        ..GatewayResource::default()
    }))
}

fn refuse(key: &ResourceKey, reason: &str) -> RefusedResource {
    RefusedResource {
        key: Some(key_to_proto(key)),
        known: Some(key.clone()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
