//! Targets of probes: the part of the configuration that the prober reads.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_client::ConfiguredProtocol;
use toolgate_model::{CallTimeouts, CredentialScope, ObjectName, Server, snapshot::CredentialRef};
use url::Url;

/// Servers to probe. A server whose target changes is probed at once.
pub type ProbeTargets = BTreeMap<ObjectName, Arc<ProbeTarget>>;

/// Target of a probe: one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Name of the server.
    pub server: ObjectName,
    /// URL of its first endpoint. The others are expected to offer the same.
    pub url: Url,
    /// Credential to present. Its revision changes with its value.
    pub credential: Option<CredentialRef>,
    /// Protocol era and version to use.
    pub protocol: ConfiguredProtocol,
    /// Timeouts of one request.
    pub timeouts: CallTimeouts,
}

impl ProbeTarget {
    /// Builds the target from a configured server and the store revision of its credential.
    pub fn of(server: &Server, credential_revision: Option<u64>) -> Self {
        let credential = server.credential.clone().map(|id| CredentialRef {
            id,
            revision: credential_revision.unwrap_or_default(),
            // A probe is made for all principals.
            scope: CredentialScope::Shared,
        });
        Self {
            server: server.name.clone(),
            url: server.source.endpoints().first().url.clone(),
            credential,
            protocol: ConfiguredProtocol {
                era: server.era,
                version: server.protocol_version,
            },
            timeouts: server.timeouts,
        }
    }
}
