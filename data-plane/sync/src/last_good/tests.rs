//! Tests of the stored pushes.

use toolgate_model::snapshot::GatewayResource;

use super::stored_updates::{StoredUpdates, from_bytes, snapshot_to_bytes};
use crate::{
    applied_config::AppliedConfig,
    fixture::{small, token, version},
};

#[test]
fn a_saved_configuration_round_trips() {
    let bytes = snapshot_to_bytes(&small(9));
    let (held, rejected) = AppliedConfig::empty()
        .apply(from_bytes(&bytes).unwrap())
        .unwrap();
    assert_eq!(rejected, []);
    assert_eq!(held.snapshot.as_ref(), &small(9));
}

#[test]
fn truncated_bytes_are_rejected() {
    let bytes = snapshot_to_bytes(&small(9));
    for end in 0..bytes.len() {
        assert!(from_bytes(&bytes[..end]).is_none(), "cut at {end}");
    }
    assert!(from_bytes(&[bytes.as_slice(), b"more"].concat()).is_none());
}

/// A resource that a later build cannot read any more keeps the form of an earlier record, and a removal wins.
#[test]
fn combined_pushes_keep_earlier_forms_and_forget_what_was_removed() {
    use toolgate_wire::push::{ReceivedUpdate, RejectedResource};
    let ((ci, first), (_, second)) = (token("ci", 1), token("ci", 2));
    let put = |revision, entry| ReceivedUpdate {
        version: version(revision),
        puts: vec![(ci.clone(), entry)],
        ..ReceivedUpdate::default()
    };
    let rejected = ReceivedUpdate {
        version: version(2),
        rejected: vec![RejectedResource {
            key: None,
            known: Some(ci.clone()),
            reason: "not readable".to_owned(),
        }],
        ..ReceivedUpdate::default()
    };
    let combine = |updates: &[&ReceivedUpdate]| {
        let mut stored = StoredUpdates::default();
        for update in updates {
            stored.add((*update).clone());
        }
        stored.into_update()
    };
    let kept = combine(&[&put(1, first.clone()), &rejected]);
    assert_eq!(kept.puts, [(ci.clone(), first.clone())]);
    assert_eq!((kept.rejected.len(), kept.version), (1, version(2)));
    let repaired = combine(&[&put(1, first.clone()), &rejected, &put(3, second.clone())]);
    assert_eq!(repaired.puts, [(ci.clone(), second)]);
    assert_eq!(repaired.rejected, []);
    let removed = ReceivedUpdate {
        version: version(3),
        removes: vec![ci.clone()],
        ..ReceivedUpdate::default()
    };
    let gone = combine(&[&put(1, first), &rejected, &removed]);
    assert_eq!((gone.puts, gone.rejected), (Vec::new(), Vec::new()));
    assert_eq!(gone.removes, []);
    let denied = ReceivedUpdate {
        denied: vec![(ci.clone(), GatewayResource::default())],
        ..ReceivedUpdate::default()
    };
    assert_eq!(combine(&[&denied]).denied.len(), 1);
    assert_eq!(combine(&[&denied, &removed]).denied, []);
}
