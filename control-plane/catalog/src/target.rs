//! Which servers are probed, and how: what the prober reads of the desired state.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{EraPolicy, Name, Server, Timeouts, snapshot::CredentialRef};
use url::Url;

/// All servers to probe. A server whose target changes is probed at once.
pub type Targets = BTreeMap<Name, Arc<Target>>;

/// One server, as far as it matters to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server.
    pub server: Name,
    /// Its endpoint.
    pub url: Url,
    /// What to present to it; the revision changes with its value.
    pub credential: Option<CredentialRef>,
    /// Which era to speak.
    pub era: EraPolicy,
    /// Limits of one request.
    pub timeouts: Timeouts,
}

impl Target {
    /// From a configured server and the store revision of the credential that it names.
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
