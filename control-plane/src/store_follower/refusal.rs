//! Stores that are not followed: they were lost, or went back to an older copy. The last state stays published, no object is
//! written, and no later write of others changes that. Only a later epoch, which an operator begins, ends it.

use std::sync::Arc;

use toolgate_api::STORE_NOT_FOLLOWED;
use toolgate_control_core::{
    ControlObject, ListedObject, ObjectKey, ServedChange, StoreRefusal, StoreState,
    port::{PublishedState, StoreError, StoreEvent},
    store_history::{continuity, is_other_deployment},
};
use toolgate_runtime::readiness::WarningContent;

use super::{StoreFollower, listing::list};
use crate::record_codec;

#[cfg(test)]
mod tests;

/// Subject of the process warnings about a store that is not followed.
const FOLLOWED_STORE: &str = "store history";

impl StoreFollower {
    /// Ends following the store: publishes the reason, and reports it. Returns the error of the store.
    pub(super) fn refuse(&mut self, refusal: StoreRefusal) -> StoreError {
        let published = Arc::clone(&self.published.borrow());
        if let Some(known) = published.refusal.as_ref().filter(|it| ***it == refusal) {
            return StoreError::NotFollowed(Arc::clone(known));
        }
        let refusal = Arc::new(refusal);
        self.backwards.increment();
        self.refused.set(1);
        let text = format!(
            "is not followed, so that nothing can be written or revoked, and what is shown may be out of date: {refusal}"
        );
        let warning = WarningContent::failure(STORE_NOT_FOLLOWED, text);
        self.readiness.set_warnings(FOLLOWED_STORE, vec![warning]);
        if self.blocked.is_none() && !self.serves_clients {
            self.blocked = Some(self.readiness.block(FOLLOWED_STORE));
        }
        let cause = refusal.cause();
        tracing::error!(cause, %refusal, "the store is not followed any more; what was served stays in force");
        self.published.send_replace(Arc::new(PublishedState {
            refusal: Some(Arc::clone(&refusal)),
            ..(*published).clone()
        }));
        StoreError::NotFollowed(refusal)
    }

    /// Adopts the store if it is in a later epoch than the last state. Fails with `refused` if it is not.
    pub(super) async fn adopt_later_epoch(
        &mut self,
        refused: StoreError,
    ) -> Result<(), StoreError> {
        let key = ObjectKey::Marker.to_string();
        let page = self.store.list(&key, None, 1, None).await?;
        let marker = page.entries.iter().find(|entry| entry.key == key);
        let marker = marker.and_then(|it| record_codec::decode(&it.key, &it.value).ok());
        match marker.map(|it| it.object) {
            Some(ControlObject::Marker(marker)) if marker.epoch > self.state().epoch() => {
                self.adopt_restored().await
            }
            Some(_) | None => Err(refused),
        }
    }

    /// Adopts a store that does not continue the last state, if an operator has begun a later epoch on it. Otherwise, the
    /// store is not followed.
    pub(super) async fn adopt_restored(&mut self) -> Result<(), StoreError> {
        let nothing = StoreState::default();
        let (listing, revision) = list(self.store.as_ref(), &nothing, self.clock.now()).await?;
        let found = StoreState::from_listing(listing, revision);
        let known = self.state();
        let served = ServedChange::of(&known);
        if let Err(refusal) = continuity(&served, &found) {
            return Err(self.refuse(refusal));
        }
        let epoch = found.epoch();
        if epoch <= known.epoch() {
            return Err(self.refuse(StoreRefusal::LacksRecords));
        }
        if is_other_deployment(&known, &found) {
            return Err(self.refuse(StoreRefusal::OtherDeployment { served }));
        }
        tracing::warn!(
            epoch,
            revision,
            "the store has been restored; its new epoch is adopted"
        );
        self.publish(found, true).await;
        self.refused.set(0);
        let nothing: Vec<WarningContent> = Vec::new();
        self.readiness.set_warnings(FOLLOWED_STORE, nothing);
        if let Some(blocked) = self.blocked.take() {
            blocked.release();
        }
        Ok(())
    }
}

/// Returns `true` if the event deletes a key that identifies the deployment. No control plane does that.
pub(super) fn loses_deployment(event: &StoreEvent) -> bool {
    let StoreEvent::Delete { key, .. } = event else {
        return false;
    };
    let identifies = |it: &ObjectKey| it.to_string() == *key;
    [ObjectKey::Marker, ObjectKey::EpochStart]
        .iter()
        .any(identifies)
}

/// Returns `true` if a key of the listing was written last before the write that is known: the store was restored from a copy,
/// although other records may have been written since.
pub(super) fn lacks_known_writes(listing: &[ListedObject], known: &StoreState) -> bool {
    listing.iter().any(|entry| {
        let known = known.mod_revision(&entry.key);
        known.is_some_and(|known| entry.mod_revision < known)
    })
}
