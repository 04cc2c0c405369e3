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

#[test]
fn each_file_that_a_deployment_leaves_is_evidence_of_it() {
    let folder = TestFolder::new();
    assert_eq!(folder.files().earlier(), None, "an empty folder");
    for file in [&folder.key, &folder.admin_token] {
        fs::write(file, "secret").unwrap();
        let earlier = folder.files().earlier().unwrap();
        assert_eq!((&earlier.file, earlier.epoch), (file, 0));
    }
    folder.files().note_epoch(7);
    let earlier = folder.files().earlier().unwrap();
    assert_eq!((&earlier.file, earlier.epoch), (&folder.record, 7));
    fs::write(&folder.record, "damaged").unwrap();
    assert_eq!(folder.files().earlier().unwrap().file, folder.admin_token);
}

#[test]
fn an_interrupted_first_start_is_no_evidence() {
    let folder = TestFolder::new();
    folder.files().note_beginning();
    fs::write(&folder.key, "secret").unwrap();
    assert_eq!(folder.files().earlier(), None);
    folder.files().note_epoch(1);
    folder.files().note_beginning();
    assert_eq!(folder.files().earlier().unwrap().epoch, 1, "kept");
}
