//! Configuration that a proxy serves, and the application of pushes to it. A resource that fails validation, or that
//! makes the view builder panic, keeps its last good form and is reported; the rest of the push is served.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use toolgate_data_core::View;
use toolgate_model::{
    Digest, ResourceKey, ResourceRejection, Snapshot, SnapshotResource, SnapshotResourceKind,
    Version, snapshot::SnapshotEntry,
};
use toolgate_wire::push::{ReceivedUpdate, RejectedResource, key_to_proto};

/// Configuration that is served, as snapshot and as view.
#[derive(Debug, Clone)]
pub(crate) struct AppliedConfig {
    /// Last good form of every resource.
    pub(crate) snapshot: Arc<Snapshot>,
    /// The snapshot, indexed for requests.
    pub(crate) view: Arc<View>,
    /// Resources whose latest form was rejected, with the reason.
    pub(crate) rejected: BTreeMap<ResourceKey, String>,
}

/// Error of a push with a version older than the current one. The push is rejected as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("was offered version {offered}, which is before {held}")]
pub(crate) struct VersionRollback {
    held: Version,
    offered: Version,
}

/// Function that builds a view; replaced in tests.
type ViewBuilder = fn(&Snapshot, Option<&View>) -> (View, Vec<ResourceRejection>);

struct ViewBuild {
    snapshot: Snapshot,
    view: View,
    rejections: Vec<ResourceRejection>,
}

/// Digest that a Hello reports for a rejected resource. No resource has this digest, so the control plane sends the
/// resource again.
const REJECTED_DIGEST: Digest = Digest([0; 32]);

impl AppliedConfig {
    /// Returns an empty configuration.
    pub(crate) fn empty() -> Self {
        let view = Arc::new(View::empty());
        Self {
            snapshot: Arc::default(),
            view,
            rejected: BTreeMap::new(),
        }
    }

    /// Returns the digests to report in a Hello. A rejected resource is reported with [`REJECTED_DIGEST`]: the control
    /// plane sends it again and learns of the rejection, or removes it if it no longer exists.
    pub(crate) fn digests(&self) -> BTreeMap<ResourceKey, Digest> {
        let mut digests = self.snapshot.digests();
        for (key, digest) in &mut digests {
            if self.rejected.contains_key(key) {
                *digest = REJECTED_DIGEST;
            }
        }
        digests
    }

    /// Applies a push. Returns the new configuration and the rejected resources. Takes as long as building a view, so it
    /// must not run on the request path.
    pub(crate) fn apply(
        &self,
        incoming: ReceivedUpdate,
    ) -> Result<(Self, Vec<RejectedResource>), VersionRollback> {
        self.apply_with(incoming, View::build)
    }

    fn apply_with(
        &self,
        incoming: ReceivedUpdate,
        builder: ViewBuilder,
    ) -> Result<(Self, Vec<RejectedResource>), VersionRollback> {
        let held = self.snapshot.version;
        if incoming.version < held {
            return Err(VersionRollback {
                held,
                offered: incoming.version,
            });
        }
        let ReceivedUpdate {
            version,
            mut puts,
            removes,
            denied: deny,
            mut rejected,
            ..
        } = incoming;
        // The view denies them.
        let placeholders = deny.into_iter().map(|(key, placeholder)| {
            let placeholder = SnapshotResource::Gateway(placeholder);
            (key, SnapshotEntry::new(placeholder))
        });
        puts.extend(placeholders);
        let offered: Vec<ResourceKey> = puts.iter().map(|(key, _entry)| key.clone()).collect();

        let mut base = self.snapshot.as_ref().clone();
        base.version = version;
        for key in &removes {
            base.entries.remove(key);
        }
        let mut panicked = Vec::new();
        let Some(mut built) = build(base, puts, (builder, &self.view), &mut panicked) else {
            // The build fails even without the new resources: keep the current configuration.
            rejected.extend(
                offered
                    .iter()
                    .map(|key| rejected_resource(key, "the view could not be built")),
            );
            return Ok((self.clone(), rejected));
        };
        rejected.extend(
            panicked
                .iter()
                .map(|key| rejected_resource(key, "building the view with it failed")),
        );
        self.restore_last_good(&mut built);
        let added = self.new_rejections(&built.rejections, &offered, &rejected);
        rejected.extend(added);
        let remembered = self.remember_rejections(&offered, &removes, &rejected);
        let next = Self {
            snapshot: Arc::new(built.snapshot),
            view: Arc::new(built.view),
            rejected: remembered,
        };
        Ok((next, rejected))
    }

    /// Returns the rejections to report: those of resources in this push, and those not reported before, unless `rejected`
    /// has a reason already. Uses sets, since all resources of a push may be rejected.
    fn new_rejections(
        &self,
        rejections: &[ResourceRejection],
        offered: &[ResourceKey],
        rejected: &[RejectedResource],
    ) -> Vec<RejectedResource> {
        let known_keys = rejected.iter().filter_map(|it| it.known.as_ref());
        let known_keys: BTreeSet<_> = known_keys.collect();
        let offered: BTreeSet<_> = offered.iter().collect();
        let is_news = |it: &&ResourceRejection| {
            let key = &it.resource;
            !known_keys.contains(key) && (offered.contains(key) || !self.rejected.contains_key(key))
        };
        let added = rejections.iter().filter(is_news);
        added
            .map(|it| rejected_resource(&it.resource, &it.reason))
            .collect()
    }

    /// Restores the last good form of resources that the view rejected. Refusals of a gateway concern its parts: it is
    /// served, or denied, in its new form.
    fn restore_last_good(&self, built: &mut ViewBuild) {
        for ResourceRejection { resource, .. } in &built.rejections {
            if resource.kind == SnapshotResourceKind::Gateway {
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

    fn remember_rejections(
        &self,
        offered: &[ResourceKey],
        removed: &[ResourceKey],
        rejected: &[RejectedResource],
    ) -> BTreeMap<ResourceKey, String> {
        let mut remembered = self.rejected.clone();
        for key in offered.iter().chain(removed) {
            remembered.remove(key);
        }
        let named = rejected
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
    mut puts: Vec<(ResourceKey, SnapshotEntry)>,
    with: (ViewBuilder, &View),
    panicked: &mut Vec<ResourceKey>,
) -> Option<ViewBuild> {
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

fn try_build(snapshot: Snapshot, (builder, previous): (ViewBuilder, &View)) -> Option<ViewBuild> {
    let built = catch_unwind(AssertUnwindSafe(|| builder(&snapshot, Some(previous))));
    let (view, rejections) = built.ok()?;
    Some(ViewBuild {
        snapshot,
        view,
        rejections,
    })
}

fn rejected_resource(key: &ResourceKey, reason: &str) -> RejectedResource {
    RejectedResource {
        key: Some(key_to_proto(key)),
        known: Some(key.clone()),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests;
