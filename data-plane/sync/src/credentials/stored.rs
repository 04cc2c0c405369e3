//! Stored form of the credentials, encrypted on disk.
//!
//! | version | form |
//! |---|---|
//! | 1 | a list, each by organization and id of the credential |
//! | 2 | an object with `version` and a list, each by server and principal |
//! | 3 | a credential may have `fields` instead of `header` and `value` |
//!
//! A file of version 1 is converted when it is read: each credential belongs to the servers that refer to it. A file is
//! written with the lowest version from 2 on that can express it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toolgate_data_core::{
    View,
    port::{CredentialField, FieldsCredential, HeaderCredential, UpstreamCredential},
};
use toolgate_model::{CredentialHosts, FieldPlace, ObjectName, Principal, Slug, Timestamp};
use zeroize::Zeroizing;

use crate::{
    disk::{DiskError, EncryptedDirectory},
    secret::{self, SecretBytes},
};

use super::table::{CachedCredential, CredentialEntry};

const FILE: &str = "credentials";

/// Version of a file in which every credential is one header.
const HEADERS: u32 = 2;
/// Version of a file with credentials of several headers or of query parameters.
const FIELDS: u32 = 3;

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
    /// Not empty for several headers or query parameters; `header` and `value` are empty then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<StoredField>,
}

#[derive(Serialize, Deserialize)]
struct StoredField {
    place: FieldPlace,
    name: String,
    value: SecretBytes,
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
pub(super) fn save(
    disk: &EncryptedDirectory,
    entries: Vec<CredentialEntry>,
) -> Result<(), DiskError> {
    let stored = |(server, principal, held): CredentialEntry| {
        let (header, value, fields) = match &*held.value {
            UpstreamCredential::Header(it) => (it.name.to_string(), it.value.to_vec(), Vec::new()),
            UpstreamCredential::Fields(it) => {
                let fields = it.fields.iter().map(|field| StoredField {
                    place: field.place,
                    name: field.name.to_string(),
                    value: SecretBytes(field.value.to_vec()),
                });
                (String::new(), Vec::new(), fields.collect())
            }
        };
        StoredCredential {
            server,
            principal,
            credential: held.credential,
            revision: held.revision,
            expires: held.expires,
            header,
            value: SecretBytes(value),
            hosts: held.value.hosts().clone(),
            fields,
        }
    };
    let credentials: Vec<_> = entries.into_iter().map(stored).collect();
    let several = credentials.iter().any(|it| !it.fields.is_empty());
    let file = CredentialFile {
        version: if several { FIELDS } else { HEADERS },
        credentials,
    };
    // Serialization of this type cannot fail.
    let bytes = secret::to_json(&file).unwrap_or_default();
    disk.save(FILE, &bytes)
}

/// Reads the credentials. A file that is not valid is set aside.
pub(super) fn load(disk: &EncryptedDirectory, view: &View) -> Vec<CredentialEntry> {
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
    if !(HEADERS..=FIELDS).contains(&file.version) {
        return None;
    }
    let entry = |stored: StoredCredential| {
        let cached = CachedCredential {
            credential: stored.credential,
            revision: stored.revision,
            expires: stored.expires,
            value: if stored.fields.is_empty() {
                header(&stored.header, &stored.value, stored.hosts)
            } else {
                several(stored.fields, stored.hosts)
            },
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

fn several(fields: Vec<StoredField>, hosts: CredentialHosts) -> Arc<UpstreamCredential> {
    let fields = fields.into_iter().map(|field| CredentialField {
        place: field.place,
        name: field.name.into_boxed_str(),
        value: Zeroizing::new(field.value.0.clone()),
    });
    Arc::new(UpstreamCredential::Fields(FieldsCredential {
        fields: fields.collect(),
        hosts,
    }))
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
