//! Stored form of the credentials, sealed on disk.
//!
//! | version | form |
//! |---|---|
//! | 1 | a list, each by organization and id of the credential |
//! | 2 | an object with `version` and a list, each by server and principal |
//!
//! A file of version 1 is converted when it is read: each credential belongs to the servers that refer to it. The next
//! change writes version 2.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toolgate_data_core::{
    View,
    port::{HeaderCredential, UpstreamCredential},
};
use toolgate_model::{CredentialHosts, ObjectName, Principal, Slug, Timestamp};
use zeroize::Zeroizing;

use crate::{
    disk::{DiskError, SealedDirectory},
    secret::SecretBytes,
};

use super::table::{CachedCredential, CredentialEntry};

const FILE: &str = "credentials";

/// Version written by this build.
const VERSION: u32 = 2;

/// Content of the file.
#[derive(Serialize, Deserialize)]
struct CredentialFile {
    version: u32,
    credentials: Vec<StoredCredential>,
}

#[derive(Serialize, Deserialize)]
struct StoredCredential {
    server: ObjectName,
    principal: Option<Principal>,
    credential: Slug,
    revision: u64,
    expires: Option<Timestamp>,
    header: String,
    value: SecretBytes,
    /// Left out by builds that did not know it.
    #[serde(default)]
    hosts: CredentialHosts,
}

/// Entry of a file of version 1.
#[derive(Deserialize)]
struct FirstVersionCredential {
    org: Slug,
    id: Slug,
    revision: u64,
    expires: Option<Timestamp>,
    header: String,
    value: SecretBytes,
}

/// Writes the credentials.
pub(super) fn save(disk: &SealedDirectory, entries: Vec<CredentialEntry>) -> Result<(), DiskError> {
    let stored = |(server, principal, held): CredentialEntry| {
        let UpstreamCredential::Header(header) = &*held.value;
        StoredCredential {
            server,
            principal,
            credential: held.credential,
            revision: held.revision,
            expires: held.expires,
            header: header.name.to_string(),
            value: SecretBytes(header.value.to_vec()),
            hosts: header.hosts.clone(),
        }
    };
    let file = CredentialFile {
        version: VERSION,
        credentials: entries.into_iter().map(stored).collect(),
    };
    // Serialization of this type cannot fail.
    let bytes = serde_json::to_vec(&file)
        .map(Zeroizing::new)
        .unwrap_or_default();
    disk.save(FILE, &bytes)
}

/// Reads the credentials. A file that is not valid is set aside.
pub(super) fn load(disk: &SealedDirectory, view: &View) -> Vec<CredentialEntry> {
    let Some(bytes) = disk.load(FILE) else {
        return Vec::new();
    };
    match parse(&bytes, view) {
        Some(entries) => entries,
        None => {
            disk.quarantine(FILE);
            Vec::new()
        }
    }
}

fn parse(bytes: &[u8], view: &View) -> Option<Vec<CredentialEntry>> {
    if bytes.first() == Some(&b'[') {
        let first: Vec<FirstVersionCredential> = serde_json::from_slice(bytes).ok()?;
        return Some(migrated(&first, view));
    }
    let file: CredentialFile = serde_json::from_slice(bytes).ok()?;
    if file.version != VERSION {
        return None;
    }
    let entry = |stored: StoredCredential| {
        let cached = CachedCredential {
            credential: stored.credential,
            revision: stored.revision,
            expires: stored.expires,
            value: header(&stored.header, &stored.value, stored.hosts),
        };
        (stored.server, stored.principal, cached)
    };
    Some(file.credentials.into_iter().map(entry).collect())
}

/// Assigns credentials of the first version to the servers that refer to them. At that time all were shared.
fn migrated(first: &[FirstVersionCredential], view: &View) -> Vec<CredentialEntry> {
    let entry = |server: &ObjectName, id: &Slug| {
        let of_server =
            |stored: &&FirstVersionCredential| stored.org == server.org && stored.id == *id;
        let stored = first.iter().find(of_server)?;
        let cached = CachedCredential {
            credential: stored.id.clone(),
            revision: stored.revision,
            expires: stored.expires,
            value: header(&stored.header, &stored.value, CredentialHosts::default()),
        };
        Some((server.clone(), None, cached))
    };
    view.servers()
        .filter_map(|server| entry(&server.name, &server.credential.as_ref()?.id))
        .collect()
}

fn header(name: &str, value: &SecretBytes, hosts: CredentialHosts) -> Arc<UpstreamCredential> {
    Arc::new(UpstreamCredential::Header(HeaderCredential {
        name: name.into(),
        value: Zeroizing::new(value.0.clone()),
        hosts,
    }))
}

#[cfg(test)]
mod tests;
