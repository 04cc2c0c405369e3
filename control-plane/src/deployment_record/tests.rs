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

fn change(epoch: u64, revision: Revision) -> LatestChange {
    LatestChange { epoch, revision }
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
            (file, LatestChange::default())
        );
    }
    folder.files().note(change(7, 19));
    let earlier = folder.files().earlier().unwrap();
    assert_eq!(
        (&earlier.file, earlier.latest),
        (&folder.record, change(7, 19))
    );
    fs::write(&folder.record, "epoch 7\n").unwrap();
    assert_eq!(folder.files().earlier().unwrap().latest, change(7, 0));
    for damaged in ["damaged", "", "epoch"] {
        fs::write(&folder.record, damaged).unwrap();
        assert_eq!(folder.files().earlier().unwrap().file, folder.admin_token);
        fs::rename(&folder.admin_token, folder.key.with_extension("kept")).unwrap();
        assert_eq!(folder.files().earlier().unwrap().file, folder.record);
        fs::rename(folder.key.with_extension("kept"), &folder.admin_token).unwrap();
    }
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
        change(1, 5),
        "kept"
    );
}
