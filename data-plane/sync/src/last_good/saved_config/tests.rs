//! Tests of the saved configuration: against a reference model, over crashes at each byte and at each step.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::{
    applied_config::AppliedConfig,
    fixture::{catalogue, small, snapshot, token, version},
};

/// Saved configuration in a folder, with the states that were saved: the reference model.
struct SavedHistory {
    folder: TempDir,
    disk: Arc<EncryptedDirectory>,
    files: SavedConfig,
    states: Vec<Arc<Snapshot>>,
    /// Length of the log after each state.
    lengths: Vec<u64>,
}

impl SavedHistory {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
        let files = SavedConfig::empty(Arc::clone(&disk));
        Self {
            folder,
            disk,
            files,
            states: Vec::new(),
            lengths: Vec::new(),
        }
    }

    fn of(states: Vec<Snapshot>) -> Self {
        let mut history = Self::new();
        for state in states {
            history.save(state);
        }
        history
    }

    fn save(&mut self, state: Snapshot) {
        let state = Arc::new(state);
        self.files.save(&state).unwrap();
        self.states.push(state);
        self.lengths.push(self.files.log.as_ref().unwrap().length());
    }

    fn log(&self) -> PathBuf {
        let mut logs = logs(self.folder.path());
        assert_eq!(logs.len(), 1, "{logs:?}");
        logs.remove(0)
    }

    /// State that the files hold, as a process that starts would find it.
    fn stored(&self) -> Arc<Snapshot> {
        stored(&self.disk)
    }

    /// Last state whose record ends within the first `intact` bytes of the log.
    fn expected(&self, intact: u64) -> &Arc<Snapshot> {
        let complete = self.lengths.iter().filter(|length| **length <= intact);
        &self.states[complete.count() - 1]
    }
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|it| it == "log"))
        .collect()
}

fn stored(disk: &EncryptedDirectory) -> Arc<Snapshot> {
    let Some(stored) = read(disk) else {
        return Arc::default();
    };
    let (held, rejected) = AppliedConfig::empty().apply(stored.update).unwrap();
    assert_eq!(rejected, []);
    held.snapshot
}

/// Restarts: the files are loaded as at a start.
fn restarted(history: &SavedHistory) -> SavedConfig {
    let (update, mut files) = SavedConfig::load(&history.disk);
    let (held, rejected) = AppliedConfig::empty().apply(update.unwrap()).unwrap();
    files.set_loaded(&held.snapshot, !rejected.is_empty());
    files
}

fn copy_of(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in fs::read_dir(folder).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    copy
}

/// States that each put or remove a few of six tokens.
fn some_states() -> impl Strategy<Value = Vec<Snapshot>> {
    let change = (0..6_u8, proptest::option::of(1..9_u8));
    let changes = proptest::collection::vec(change, 0..4);
    proptest::collection::vec(changes, 2..7).prop_map(|steps| {
        let mut state = small(1);
        let mut states = vec![state.clone()];
        for (revision, step) in (2..).zip(steps) {
            state.version = version(revision);
            for (id, value) in step {
                let (key, entry) = token(&format!("t{id}"), 100 + id * 10 + value.unwrap_or(0));
                match value {
                    Some(_) => drop(state.entries.insert(key, entry)),
                    None => drop(state.entries.remove(&key)),
                }
            }
            states.push(state.clone());
        }
        states
    })
}

fn with_token(revision: u64, id: &str, hash: u8) -> Snapshot {
    let mut state = small(revision);
    let (key, entry) = token(id, hash);
    state.entries.insert(key, entry);
    state
}

#[test]
fn a_crash_at_any_byte_of_the_log_leaves_the_last_complete_state() {
    let removed = snapshot(5, vec![token("ci", 8)]);
    let history = SavedHistory::of(vec![
        small(1),
        with_token(2, "one", 1),
        with_token(3, "two", 2),
        with_token(4, "two", 3),
        removed,
    ]);
    let log = history.log();
    let whole = fs::read(&log).unwrap();
    assert_eq!(whole.len() as u64, *history.lengths.last().unwrap());
    for cut in 0..=whole.len() {
        fs::write(&log, &whole[..cut]).unwrap();
        assert_eq!(
            &history.stored(),
            history.expected(cut as u64),
            "cut at {cut} of {}",
            whole.len()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_restart_after_any_damage_serves_a_state_that_was_saved_and_saves_the_next(
        states in some_states(),
        at in any::<proptest::sample::Index>(),
        flip in any::<u8>(),
    ) {
        let mut history = SavedHistory::of(states);
        let log = history.log();
        let mut bytes = fs::read(&log).unwrap();
        let at = at.index(bytes.len());
        let intact = if flip == 0 {
            bytes.truncate(at);
            at
        } else {
            bytes[at] ^= flip;
            at
        };
        fs::write(&log, &bytes).unwrap();
        prop_assert_eq!(&history.stored(), history.expected(intact as u64));

        history.files = restarted(&history);
        prop_assert_eq!(history.files.saved(), &history.stored());
        let next = Arc::new(with_token(99, "next", 99));
        history.files.save(&next).unwrap();
        prop_assert_eq!(&history.stored(), &next);
        history.files = restarted(&history);
        prop_assert_eq!(&history.stored(), &next);
    }

    #[test]
    fn every_saved_state_is_read_back(states in some_states()) {
        let mut history = SavedHistory::new();
        for state in states {
            history.save(state);
            prop_assert_eq!(&history.stored(), history.states.last().unwrap());
        }
    }
}

/// The steps of a compaction, each of which may be the last before a crash, with a change between its begin and end.
#[test]
fn a_crash_at_any_step_of_a_compaction_leaves_the_latest_state() {
    let mut history = SavedHistory::of(vec![small(1), with_token(2, "one", 1)]);
    let check = |history: &SavedHistory, step: &str| {
        let latest = history.states.last().unwrap();
        assert_eq!(&history.stored(), latest, "{step}");
        let copy = copy_of(history.folder.path());
        let disk = Arc::new(EncryptedDirectory::open(copy.path()).unwrap());
        let (update, _files) = SavedConfig::load(&disk);
        let (held, _) = AppliedConfig::empty().apply(update.unwrap()).unwrap();
        assert_eq!(&held.snapshot, latest, "{step}");
        assert_eq!(logs(copy.path()).len(), 1, "{step}");
    };
    let base = SavedConfig::prepare(&history.disk, history.files.saved()).unwrap();
    check(&history, "the new base is written");
    history.save(with_token(3, "two", 2));
    check(&history, "a change is appended meanwhile");
    let latest = Arc::clone(history.files.saved());
    let log = history.files.create_log(&base, &latest).unwrap();
    check(&history, "the new log is written");
    drop(log);
    let former = history.log_of_use();
    let kept = fs::read(&former).unwrap();
    history.files.compact(base).unwrap();
    check(&history, "base and log are replaced");
    fs::write(&former, kept).unwrap();
    check(&history, "the former log is still there");
    fs::remove_file(&former).unwrap();
    history.save(with_token(4, "three", 3));
    check(&history, "a change is appended to the new log");
}

impl SavedHistory {
    /// Log that the files append to, with others beside it.
    fn log_of_use(&self) -> PathBuf {
        let length = self.files.log.as_ref().unwrap().length();
        let mut logs = logs(self.folder.path());
        logs.retain(|log| fs::metadata(log).unwrap().len() == length);
        assert_eq!(logs.len(), 1, "{logs:?}");
        logs.remove(0)
    }
}

#[test]
fn a_full_disk_leaves_the_former_state_and_the_next_attempt_saves() {
    let mut history = SavedHistory::of(vec![small(1), with_token(2, "one", 1)]);
    let log = history.files.log.as_mut().unwrap();
    log.fill_disk();
    let next = Arc::new(with_token(3, "two", 2));
    let refused = history.files.save(&next).unwrap_err();
    assert!(refused.to_string().contains("No space left"), "{refused}");
    assert_eq!(&history.stored(), &history.states[1]);
    assert_eq!(history.files.saved(), &history.states[1]);
    history.files.save(&next).unwrap();
    assert_eq!(&history.stored(), &next);
    assert_eq!(logs(history.folder.path()).len(), 1);
}

#[test]
fn an_earlier_build_reads_the_base_and_its_own_file_is_read() {
    let history = SavedHistory::of(vec![small(1), with_token(2, "one", 1)]);
    let base = history.disk.load(FILE).unwrap();
    let (held, rejected) = AppliedConfig::empty()
        .apply(from_bytes(&base).unwrap())
        .unwrap();
    assert_eq!((held.snapshot.as_ref(), rejected.len()), (&small(1), 0));
    // An earlier build replaces the file as a whole, and knows no log.
    let by_earlier = snapshot_to_bytes(&small(7));
    history.disk.save(FILE, &by_earlier).unwrap();
    assert_eq!(history.stored().as_ref(), &small(7));
    let files = restarted(&history);
    assert_eq!(files.saved().as_ref(), &small(7));
    assert_eq!(
        logs(history.folder.path()).len(),
        1,
        "the log of the former base is deleted"
    );
}

#[test]
fn a_change_costs_what_it_touches() {
    let tokens = |count: u8| (0..count).map(|n| token(&format!("t{n}"), n));
    let size = |count: u8| {
        let mut state = snapshot(1, tokens(count).collect());
        let mut history = SavedHistory::of(vec![state.clone()]);
        state.version = version(2);
        let (key, entry) = token("t1", 250);
        state.entries.insert(key, entry);
        history.save(state);
        history.lengths[1]
    };
    assert_eq!(size(2), size(240));
}

#[test]
fn a_log_that_outgrows_its_base_is_replaced_by_a_new_base() {
    let mut history = SavedHistory::of(vec![small(1)]);
    history.files.min_log = 0;
    let mut compactions = 0;
    for revision in 2..40 {
        history.save(with_token(revision, "one", 1));
        if history.files.needs_compaction() {
            let base = SavedConfig::prepare(&history.disk, history.files.saved()).unwrap();
            history.files.compact(base).unwrap();
            compactions += 1;
            assert_eq!(history.files.log.as_ref().unwrap().length(), 0);
        }
        assert_eq!(&history.stored(), history.states.last().unwrap());
    }
    assert!((1..20).contains(&compactions), "{compactions}");
    assert_eq!(logs(history.folder.path()).len(), 1);
}

/// A part that this build rejects would stay in the files when its removal is not sent.
#[test]
fn a_rejected_part_is_gone_from_the_files_with_the_next_change() {
    let mut history = SavedHistory::of(vec![small(1)]);
    let (_, mut files) = SavedConfig::load(&history.disk);
    let without = snapshot(1, vec![token("ci", 7)]);
    files.set_loaded(&Arc::new(without.clone()), true);
    let mut next = without;
    next.version = version(2);
    files.save(&Arc::new(next.clone())).unwrap();
    history.files = files;
    assert_eq!(history.stored().as_ref(), &next);
}

#[test]
fn the_files_are_private_and_encrypted() {
    let history = SavedHistory::of(vec![small(1), with_token(2, "seekrit", 1)]);
    for file in fs::read_dir(history.folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().mode() & 0o077, 0, "{file:?}");
        let bytes = fs::read(file.path()).unwrap();
        for plain in [&b"seekrit"[..], b"files.test"] {
            let is_plain = |window: &[u8]| window == plain;
            assert!(!bytes.windows(plain.len()).any(is_plain), "{file:?}");
        }
    }
}

/// Replaces a file by a folder, which cannot be read as a file. Returns the place of the file.
fn make_unreadable(path: &Path) -> PathBuf {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    fs::create_dir(path).unwrap();
    aside
}

#[test]
fn a_file_that_cannot_be_read_at_one_start_is_read_at_the_next() {
    let history = SavedHistory::of(vec![small(1), small(2), small(3)]);
    let expected = Arc::clone(history.states.last().unwrap());
    let base = history.folder.path().join("view.sealed");
    for path in [base, history.log()] {
        let aside = make_unreadable(&path);
        drop(SavedConfig::load(&history.disk));
        fs::remove_dir(&path).unwrap();
        fs::rename(aside, &path).unwrap();
        assert_eq!(stored(&history.disk).entries, expected.entries, "{path:?}");
    }
}

/// The files shrink when most of what they hold was removed or replaced, although the changes themselves are short. A restart
/// does not change that.
#[test]
fn the_files_are_compacted_when_more_than_half_of_them_is_unused() {
    let servers = (0..40).map(|n| catalogue(&format!("s{n}")));
    let full = snapshot(1, servers.collect());
    let mut history = SavedHistory::of(vec![full.clone()]);
    history.files.min_log = 64;
    let length = |history: &SavedHistory| history.files.base_length;
    let before = length(&history);
    let mut state = full;
    let mut compacted_at = Vec::new();
    for removed in 0..38_u64 {
        state.version = version(2 + removed);
        let (key, _) = catalogue(&format!("s{removed}"));
        state.entries.remove(&key);
        if removed == 10 {
            history.files = restarted(&history);
            history.files.min_log = 64;
        }
        history.save(state.clone());
        if history.files.needs_compaction() {
            let base = SavedConfig::prepare(&history.disk, history.files.saved()).unwrap();
            history.files.compact(base).unwrap();
            assert!(!history.files.needs_compaction());
            compacted_at.push(removed);
        }
        assert_eq!(&history.stored(), history.states.last().unwrap());
    }
    assert!((1..8).contains(&compacted_at.len()), "{compacted_at:?}");
    assert!(compacted_at[0] > 10, "{compacted_at:?}");
    assert!(
        length(&history) < before / 4,
        "{} of {before}",
        length(&history)
    );
}

/// Adds resources of another organization.
fn with_rival(mut state: Snapshot) -> Snapshot {
    for (key, entry) in [catalogue("rival-files"), token("rival-token", 9)] {
        let key = ResourceKey {
            name: toolgate_model::ObjectName::new("rival".parse().unwrap(), key.name.id),
            ..key
        };
        state.entries.insert(key, entry);
    }
    state
}

/// Organizations that the files hold, also in what was replaced or removed.
fn organizations(history: &SavedHistory) -> Vec<String> {
    let stored = read(&history.disk).unwrap();
    stored.organizations.iter().map(Slug::to_string).collect()
}

fn compacted(history: &mut SavedHistory) {
    let base = SavedConfig::prepare(&history.disk, history.files.saved()).unwrap();
    history.files.compact(base).unwrap();
}

#[test]
fn ti_12_a_deleted_organization_is_gone_from_the_files() {
    let mut history = SavedHistory::of(vec![with_rival(small(1)), small(2)]);
    assert_eq!(organizations(&history), ["acme", "rival"]);
    assert!(history.files.needs_compaction());
    compacted(&mut history);
    assert_eq!(organizations(&history), ["acme"]);
    assert!(!history.files.needs_compaction());
    assert_eq!(&history.stored(), history.states.last().unwrap());
    // The removal of an object leaves the others of its organization.
    history.save(snapshot(3, vec![token("ci", 7)]));
    assert!(!history.files.needs_compaction());
}

#[test]
fn ti_12_an_organization_that_is_deleted_during_a_compaction_needs_another_one() {
    let mut history = SavedHistory::of(vec![with_rival(small(1))]);
    let base = SavedConfig::prepare(&history.disk, history.files.saved()).unwrap();
    history.save(small(2));
    history.files.compact(base).unwrap();
    assert_eq!(organizations(&history), ["acme", "rival"]);
    assert!(history.files.holds_deleted_organization());
    compacted(&mut history);
    assert!(!history.files.holds_deleted_organization());
    assert_eq!(organizations(&history), ["acme"]);
}

#[test]
fn ti_12_a_restart_before_the_compaction_does_not_keep_a_deleted_organization() {
    let mut history = SavedHistory::of(vec![with_rival(small(1)), small(2)]);
    history.files = restarted(&history);
    assert!(history.files.holds_deleted_organization());
    compacted(&mut history);
    history.files = restarted(&history);
    assert!(!history.files.holds_deleted_organization());
    assert_eq!(organizations(&history), ["acme"]);
}
