//! Targets of probes: the part of the configuration that the prober reads.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{EraPolicy, Name, Server, Timeouts, snapshot::CredentialRef};
use url::Url;

/// Servers to probe. A server whose target changes is probed at once.
pub type Targets = BTreeMap<Name, Arc<Target>>;

/// Target of a probe: one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Name of the server.
    pub server: Name,
    /// URL of its MCP endpoint.
    pub url: Url,
    /// Credential to present. Its revision changes with its value.
    pub credential: Option<CredentialRef>,
    /// Protocol era to use.
    pub era: EraPolicy,
    /// Timeouts of one request.
    pub timeouts: Timeouts,
}

impl Target {
    /// Builds the target from a configured server and the store revision of its credential.
    pub fn of(server: &Server, credential_revision: Option<u64>) -> Self {
        let credential = server.credential.clone().map(|id| CredentialRef {
            id,
            revision: credential_revision.unwrap_or_default(),
        });
        Self {
            server: server.name.clone(),
            url: server.url.clone(),
            credential,
            era: server.era,
            timeouts: server.timeouts,
        }
    }
}
