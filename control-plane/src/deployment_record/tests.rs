//! Tests of the evidence of an earlier deployment.

use std::{fs, path::PathBuf};

use super::*;

struct TestFolder {
    _folder: tempfile::TempDir,
    record: PathBuf,
    admin_token: PathBuf,
    key: PathBuf,
}

impl TestFolder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (record, admin_token, key) = (path("deployment"), path("admin-token"), path("key"));
        Self {
            _folder: folder,
            record,
            admin_token,
            key,
        }
    }

    fn files(&self) -> DeploymentFiles<'_> {
        DeploymentFiles {
            record: &self.record,
            admin_token: &self.admin_token,
            key: &self.key,
        }
    }
}

fn change(epoch: u64, revision: u64) -> ServedChange {
    ServedChange {
        epoch,
        revision,
        ..ServedChange::default()
    }
}

#[test]
fn each_file_that_a_deployment_leaves_is_evidence_of_it() {
    let folder = TestFolder::new();
    assert_eq!(folder.files().earlier(), None, "an empty folder");
    for file in [&folder.key, &folder.admin_token] {
        fs::write(file, "secret").unwrap();
        let earlier = folder.files().earlier().unwrap();
        assert_eq!(
            (&earlier.file, earlier.latest),
            (file, Ok(ServedChange::default()))
        );
    }
    folder.files().note(change(7, 19));
    let earlier = folder.files().earlier().unwrap();
    assert_eq!(
        (&earlier.file, earlier.latest),
        (&folder.record, Ok(change(7, 19)))
    );
    fs::write(&folder.record, "epoch 7\n").unwrap();
    assert_eq!(folder.files().earlier().unwrap().latest, Ok(change(7, 0)));
}

#[test]
fn a_damaged_record_is_evidence_and_no_other_file_takes_its_place() {
    let folder = TestFolder::new();
    for file in [None, Some(&folder.key), Some(&folder.admin_token)] {
        if let Some(file) = file {
            fs::write(file, "secret").unwrap();
        }
        for damaged in ["damaged", "", "epoch", "epoch 7\nrevision 12x\n"] {
            fs::write(&folder.record, damaged).unwrap();
            let earlier = folder.files().earlier().unwrap();
            assert_eq!(earlier.file, folder.record);
            let told = earlier.latest.unwrap_err().to_string();
            for words in [&*folder.record.display().to_string(), "`--new-epoch`"] {
                assert!(told.contains(words), "{words}: {told}");
            }
        }
    }
    fs::write(&folder.record, "x".repeat(5_000)).unwrap();
    assert!(folder.files().earlier().unwrap().latest.is_err());
    fs::remove_file(&folder.record).unwrap();
    fs::create_dir(&folder.record).unwrap();
    assert!(folder.files().earlier().unwrap().latest.is_err());
}

#[test]
fn an_interrupted_first_start_is_no_evidence() {
    let folder = TestFolder::new();
    folder.files().note_beginning();
    fs::write(&folder.key, "secret").unwrap();
    assert_eq!(folder.files().earlier(), None);
    folder.files().note(change(1, 5));
    folder.files().note_beginning();
    assert_eq!(
        folder.files().earlier().unwrap().latest,
        Ok(change(1, 5)),
        "kept"
    );
}
