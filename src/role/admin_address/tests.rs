//! Tests of the address file of `up`.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

use super::AdminAddressFile;
use crate::cli::client::admin::{ADDRESS_FILE, AdminCommandOptions, AdminConnectionOptions};

fn options(data_dir: PathBuf, addr: Option<&str>) -> AdminCommandOptions {
    AdminCommandOptions {
        addr: addr.map(str::to_owned),
        token: None,
        connection: AdminConnectionOptions {
            organization: "default".to_owned(),
            ca: None,
            data_dir,
        },
    }
}

#[test]
fn commands_use_the_address_file_of_a_running_process_unless_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let here = |addr| options(folder.path().to_owned(), addr).address();
    let file = folder.path().join(ADDRESS_FILE);
    fs::write(&file, "http://127.0.0.1:1").unwrap();

    let posted = AdminAddressFile::create(folder.path(), "http://0.0.0.0:9400").unwrap();
    assert_eq!(here(None), "http://127.0.0.1:9400");
    assert_eq!(here(Some("http://127.0.0.1:2")), "http://127.0.0.1:2");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    drop(posted);
    assert!(!file.exists());
    assert_eq!(here(None), "http://127.0.0.1:7400");
}
