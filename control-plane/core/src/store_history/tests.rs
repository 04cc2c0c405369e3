//! Tests that a store is followed if, and only if, it contains what was served or an operator has begun a later epoch on it,
//! over random histories of writes, copies, restores and epochs.

use proptest::prelude::*;

use super::*;
use crate::{
    Command, ControlObject, OperatorObject,
    fixture::{StoreFixture, context, organization, sealed, slug},
};

/// Step of a history.
#[derive(Debug, Clone, Copy)]
enum HistoryStep {
    /// A change is made.
    Change,
    /// Another record is written, such as the report of a proxy.
    Record,
    /// The store is copied.
    Copy,
    /// The store is replaced by the last copy.
    Restore,
    /// An operator begins an epoch.
    BeginEpoch,
    /// The control plane serves the latest change.
    Serve,
}

/// Store with the numbers of the changes that it contains.
#[derive(Clone)]
struct CopiedStore {
    world: StoreFixture,
    changes: Vec<u64>,
}

impl CopiedStore {
    fn change(&mut self, command: &Command, time: u64) {
        self.world.run_as(command, &context(time)).unwrap();
        self.changes.push(time);
    }
}

fn step() -> impl Strategy<Value = HistoryStep> {
    prop_oneof![
        6 => Just(HistoryStep::Change),
        4 => Just(HistoryStep::Record),
        2 => Just(HistoryStep::Copy),
        2 => Just(HistoryStep::Restore),
        1 => Just(HistoryStep::BeginEpoch),
        3 => Just(HistoryStep::Serve),
    ]
}

fn check(served: &(ServedChange, u64), store: &CopiedStore) {
    let (change, number) = served;
    let state = &store.world.state;
    let decided = continuity(change, state);
    let is_contained = store.changes.contains(number);
    match decided {
        Ok(StoreContinuity::Continues) => assert!(is_contained, "{change:?}: {state:?}"),
        Ok(StoreContinuity::Adopted) => {
            assert!(!is_contained && state.epoch() > change.epoch, "{change:?}");
        }
        Err(refusal) => assert!(
            !is_contained && state.epoch() <= change.epoch,
            "{refusal}: {change:?}"
        ),
    }
}

proptest! {
    #[test]
    fn a_store_is_followed_if_it_contains_what_was_served_or_has_a_later_epoch(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let mut time = 1_000;
        let mut store = CopiedStore { world: StoreFixture::default(), changes: Vec::new() };
        store.change(&Command::BumpEpoch, time);
        let mut copy = store.clone();
        let mut served = vec![(ServedChange::of(&store.world.state), time)];
        for step in steps {
            time += 1;
            match step {
                HistoryStep::Change => {
                    let object = organization(&format!("o{time}"));
                    store.change(&Command::Create(OperatorObject::Organization(object)), time);
                }
                HistoryStep::Record => {
                    let key = ObjectKey::SystemKey(slug("k")).to_string();
                    store.world.force(&key, ControlObject::SystemKey(sealed()));
                }
                HistoryStep::Copy => copy = store.clone(),
                HistoryStep::Restore => store = copy.clone(),
                HistoryStep::BeginEpoch => store.change(&Command::BumpEpoch, time),
                HistoryStep::Serve => {
                    let latest = *store.changes.last().unwrap();
                    served.push((ServedChange::of(&store.world.state), latest));
                }
            }
            for served in &served {
                check(served, &store);
            }
        }
    }
}

fn world() -> StoreFixture {
    StoreFixture::with(&["acme"])
}

#[test]
fn a_store_without_the_keys_of_the_deployment_is_lost() {
    let served = ServedChange::of(&world().state);
    let lost = Err(StoreRefusal::Lost { served });
    assert_eq!(continuity(&served, &StoreState::default()), lost);
    for key in [ObjectKey::Marker, ObjectKey::EpochStart] {
        let mut store = world();
        let listing = store.listing();
        let kept = listing
            .into_iter()
            .filter(|entry| entry.key != key.to_string());
        store.state = StoreState::from_listing(kept.collect(), store.revision);
        assert_eq!(continuity(&served, &store.state), lost, "{key}");
    }
}

#[test]
fn a_store_that_others_began_anew_in_the_same_epoch_has_another_history() {
    let served = ServedChange::of(&world().state);
    let mut other = StoreFixture::default();
    other.run_as(&Command::BumpEpoch, &context(77)).unwrap();
    for id in ["a", "b", "c"] {
        let object = OperatorObject::Organization(organization(id));
        other.create(object).unwrap();
    }
    let refused = continuity(&served, &other.state).unwrap_err();
    assert_eq!(refused.cause(), "OTHER_HISTORY");
    assert!(
        refused.to_string().contains("`--new-epoch`"),
        "the next step"
    );
}

#[test]
fn a_change_that_only_an_old_record_knows_by_its_revision_is_compared_by_it() {
    let store = world();
    let revision = store.modified(&ObjectKey::Marker);
    let served = |revision| ServedChange {
        epoch: 1,
        revision,
        ..ServedChange::default()
    };
    let continues = Ok(StoreContinuity::Continues);
    assert_eq!(continuity(&served(revision), &store.state), continues);
    let refused = continuity(&served(revision + 1), &store.state);
    assert_eq!(refused.unwrap_err().cause(), "WENT_BACK");
    let nothing = ServedChange::default();
    assert_eq!(continuity(&nothing, &StoreState::default()), continues);
}

#[test]
fn an_entry_that_a_full_version_log_no_longer_has_is_not_missed() {
    let mut store = world();
    let served = ServedChange::of(&store.state);
    for number in 0..limits::VERSION_LOG_ENTRIES + 2 {
        let object = organization(&format!("o{number}"));
        store.create(OperatorObject::Organization(object)).unwrap();
    }
    let number = served.log_entry.unwrap();
    assert!(!store.state.history.contains(&number));
    let continues = Ok(StoreContinuity::Continues);
    assert_eq!(continuity(&served, &store.state), continues);
}

#[test]
fn a_deployment_is_told_by_its_keys() {
    let key = ObjectKey::SystemKey(slug("token")).to_string();
    let mut known = world();
    assert!(
        !is_other_deployment(&known.state, &world().state),
        "no keys"
    );
    known.force(&key, ControlObject::SystemKey(sealed()));
    assert!(!is_other_deployment(&known.state, &known.state));
    assert!(is_other_deployment(&known.state, &world().state));
    let mut other = world();
    let mut anew = sealed();
    anew.ciphertext = vec![9];
    other.force(&key, ControlObject::SystemKey(anew));
    assert!(is_other_deployment(&known.state, &other.state));
}
