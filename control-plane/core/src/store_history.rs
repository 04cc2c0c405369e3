//! History of a store: decides whether the store that is read now continues the store that was served. A control plane follows
//! no other, because a store that was lost, or restored from an older copy, lacks revocations.
//!
//! A change is known by the epoch, by the time at which the epoch began, by the store revision of the version marker, and by
//! the number of its entry in the version log, which contains the time of the change. A store in which others went on writing
//! after it was restored has later revisions, but not the entry.

use std::fmt;

use toolgate_model::Timestamp;

use crate::{key::ObjectKey, limits, port::Revision, state::StoreState};

/// Number of entries from which on the version log may have been cut: a store that never had as many has all of them.
const FULL_LOG: usize = limits::VERSION_LOG_ENTRIES / 2;

/// Latest change of a store that was served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ServedChange {
    /// Epoch; 0 if none has begun.
    pub epoch: u64,
    /// Time at which the epoch began; `None` if it is not known.
    pub epoch_began: Option<Timestamp>,
    /// Store revision of the version marker; 0 if it is not known.
    pub revision: Revision,
    /// Number of the latest entry of the version log; `None` if it is not known.
    pub log_entry: Option<u64>,
}

/// Relation of a store that is read to what was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreContinuity {
    /// The change that was served is in it.
    Continues,
    /// The change is not in it, and an operator has begun a later epoch on it.
    Adopted,
}

/// Reason for which a control plane does not follow its store. It ends at a start that is told what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreRefusal {
    /// The keys that identify the deployment are gone.
    #[error(
        "it was lost: the keys of the deployment were deleted, or the store was replaced by an empty one, after change {served} \
         was served; put the store back from a backup and restart one control plane once with `--new-epoch`, or begin anew \
         with `--new-deployment`"
    )]
    Lost {
        /// Latest change that was served.
        served: ServedChange,
    },
    /// The store ends before the change that was served.
    #[error(
        "it went back: it ends with change {found}, and change {served} was served; if it was restored from an older copy, \
         restart one control plane once with `--new-epoch`, else put the right store back and restart this one"
    )]
    WentBack {
        /// Latest change that was served.
        served: ServedChange,
        /// Latest change in the store.
        found: ServedChange,
    },
    /// The store ends after the change that was served, and lacks it: others have written since it went back.
    #[error(
        "it has another history: it ends with change {found}, and lacks change {served}, which was served: it was lost or \
         restored from an older copy, and written to since; to go on with it, restart one control plane once with \
         `--new-epoch`, else put the right store back and restart this one"
    )]
    OtherHistory {
        /// Latest change that was served.
        served: ServedChange,
        /// Latest change in the store.
        found: ServedChange,
    },
    /// The store has all changes, but lacks records that were seen, such as that of a join token that was used.
    #[error(
        "it went back to an older copy: no change is missing, but records of proxies or of join tokens are; restart one \
         control plane once with `--new-epoch`"
    )]
    LacksRecords,
    /// The store has other keys: another deployment was begun in it, or it is a copy from before a rotation of the key file.
    #[error(
        "it holds other keys since change {served} was served: it was restored from a copy from before a rotation of the key \
         file, or holds another deployment; restart this control plane, for another deployment with its data folder, or put \
         the right store back"
    )]
    OtherDeployment {
        /// Latest change that was served.
        served: ServedChange,
    },
}

impl ServedChange {
    /// Returns the latest change in a state.
    pub fn of(state: &StoreState) -> Self {
        let start = state.epoch_start();
        let log_entry = state.history.iter().next_back();
        Self {
            epoch: state.epoch(),
            epoch_began: start.map(|start| start.last_change),
            revision: state
                .mod_revision_at(&ObjectKey::Marker)
                .unwrap_or_default(),
            log_entry: log_entry.map(|(number, _)| *number),
        }
    }

    /// Returns `true` if the change is later than `other` in the same history.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.epoch, self.revision) > (other.epoch, other.revision)
    }
}

impl fmt::Display for ServedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.revision)
    }
}

impl StoreRefusal {
    /// Returns the name of the cause, which programs compare.
    pub fn cause(&self) -> &'static str {
        match self {
            Self::Lost { .. } => "LOST",
            Self::WentBack { .. } => "WENT_BACK",
            Self::OtherHistory { .. } => "OTHER_HISTORY",
            Self::LacksRecords => "LACKS_RECORDS",
            Self::OtherDeployment { .. } => "OTHER_DEPLOYMENT",
        }
    }
}

/// Decides whether a store with the state `found` continues the store that was served up to `served`.
pub fn continuity(
    served: &ServedChange,
    found: &StoreState,
) -> Result<StoreContinuity, StoreRefusal> {
    let latest = ServedChange::of(found);
    let served = *served;
    if served.epoch == 0 {
        return Ok(StoreContinuity::Continues);
    }
    let had_start = served.epoch_began.is_some();
    let has_start = found.mod_revision_at(&ObjectKey::EpochStart).is_some();
    if found.mod_revision_at(&ObjectKey::Marker).is_none() || (had_start && !has_start) {
        return Err(StoreRefusal::Lost { served });
    }
    let has_change = latest.revision >= served.revision
        && served
            .log_entry
            .is_none_or(|number| has_log_entry(found, number));
    if latest.epoch > served.epoch {
        return Ok(match has_change {
            true => StoreContinuity::Continues,
            false => StoreContinuity::Adopted,
        });
    }
    let went_back = latest.epoch < served.epoch || latest.revision < served.revision;
    let began = (served.epoch_began, latest.epoch_began);
    let is_other_epoch = matches!(began, (Some(served), Some(found)) if served != found);
    match (went_back, is_other_epoch || !has_change) {
        (true, _) => Err(StoreRefusal::WentBack {
            served,
            found: latest,
        }),
        (false, true) => Err(StoreRefusal::OtherHistory {
            served,
            found: latest,
        }),
        (false, false) => Ok(StoreContinuity::Continues),
    }
}

/// Returns `true` if the version log has the entry, or may have had it before it was cut.
fn has_log_entry(state: &StoreState, number: u64) -> bool {
    let is_there = state.mod_revision_at(&ObjectKey::History(number)).is_some();
    let first = state.history.iter().next().map(|(first, _)| *first);
    let is_cut = state.history.len() >= FULL_LOG && first.is_some_and(|first| first > number);
    is_there || is_cut
}

/// Returns `true` if a store in a later epoch has none of the deployment's keys that `known` has: another deployment was begun
/// in it, or it is a copy from before a rotation of the key file, whose keys this process may not have.
pub fn is_other_deployment(known: &StoreState, found: &StoreState) -> bool {
    let mut kept = known.system_keys.iter();
    let is_kept = |name, key| {
        found
            .system_keys
            .get(name)
            .is_some_and(|it| it.object == key)
    };
    !known.system_keys.is_empty() && !kept.any(|(name, key)| is_kept(name, key.object.clone()))
}

#[cfg(test)]
mod tests;
