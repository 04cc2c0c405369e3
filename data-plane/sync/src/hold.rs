//! What a proxy holds, and what becomes of it with a push. A resource that does not check, or that makes building the
//! view panic, keeps its last good form and is named; everything else of the push is served.

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

/// What is served, in both forms.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    /// The last good form of every resource.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The same, indexed.
    pub(crate) view: Arc<View>,
    /// Resources of which a newer form was refused.
    pub(crate) refused: BTreeMap<ResourceKey, String>,
}

/// A push that leads backwards. It is not taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("was offered version {offered}, which is before {held}")]
pub(crate) struct Backwards {
    held: Version,
    offered: Version,
}

/// Builds views; something else in tests that need it to fail.
type Builder = fn(&Snapshot, Option<&View>) -> (View, Vec<Refusal>);

struct Built {
    snapshot: Snapshot,
    view: View,
    refusals: Vec<Refusal>,
}

/// What a Hello says of the form in which a refused resource is held: no resource has this digest, so what is wanted
/// of it is sent once more.
const NOT_AS_WANTED: Digest = Digest([0; 32]);

impl Held {
    /// Nothing.
    pub(crate) fn nothing() -> Self {
        let view = Arc::new(View::empty());
        Self {
            snapshot: Arc::default(),
            view,
            refused: BTreeMap::new(),
        }
    }

    /// What to say in a Hello. What was refused is said to be held, but not as it is wanted: it is sent once more,
    /// refused once more, and so told to a control plane that did not know; or removed, if it is gone meanwhile.
    pub(crate) fn digests(&self) -> BTreeMap<ResourceKey, Digest> {
        let mut digests = self.snapshot.digests();
        for (key, digest) in &mut digests {
            if self.refused.contains_key(key) {
                *digest = NOT_AS_WANTED;
            }
        }
        digests
    }

    /// What is held after this push, and what of it was refused. Takes as long as building a view: not for the
    /// request path.
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
            // Not even without the new resources: nothing changes.
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

    /// What of these is to be told: it is of what was offered now, or was not told before, and no better reason is. A push
    /// may be refused in all of its parts.
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

    /// Puts the last good form back where the view refused a resource. A gateway's refusals are of its parts: it is
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

/// `base` with `puts`, or with as many of them as do not make building panic; none if `base` itself does.
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

/// Stands for a gateway that asks for something this build does not understand: the view denies it.
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
