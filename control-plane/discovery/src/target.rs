//! Targets of probes: the part of the configuration that the prober reads.

use std::sync::Arc;

use rpds::RedBlackTreeMapSync;
use toolgate_client::ConfiguredProtocol;
use toolgate_model::{
    CallTimeouts, ChangeLog, CredentialScope, EndpointList, ObjectName, Server,
    snapshot::CredentialRef,
};

#[cfg(test)]
mod tests;

/// Servers to probe, by name. A server whose target changes is probed at once. Clones share their content, and know which
/// servers differ.
#[derive(Debug, Clone)]
pub struct ProbeTargets {
    targets: RedBlackTreeMapSync<ObjectName, Arc<ProbeTarget>>,
    changes: ChangeLog<ObjectName>,
}

/// Target of a probe: one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// Name of the server.
    pub server: ObjectName,
    /// Its endpoints in order of preference, which are expected to offer the same. The first of
    /// them that can be connected is probed.
    pub endpoints: EndpointList,
    /// Credential to present. Its revision changes with its value.
    pub credential: Option<CredentialRef>,
    /// Protocol era and version to use.
    pub protocol: ConfiguredProtocol,
    /// Timeouts of one request.
    pub timeouts: CallTimeouts,
}

impl ProbeTargets {
    /// Returns the target of `server`, if it is to be probed.
    pub fn get(&self, server: &ObjectName) -> Option<&Arc<ProbeTarget>> {
        self.targets.get(server)
    }

    /// Returns the servers to probe, in order.
    pub fn servers(&self) -> impl Iterator<Item = &ObjectName> {
        self.targets.keys()
    }

    /// Returns the number of servers to probe.
    pub fn len(&self) -> usize {
        self.targets.size()
    }

    /// Returns `true` if no server is to be probed.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Sets the target of `server`, or removes it. Returns `true` if it differs from the former one.
    pub fn set(&mut self, server: &ObjectName, target: Option<ProbeTarget>) -> bool {
        let former = self.targets.get(server).map(|target| &**target);
        if former == target.as_ref() {
            return false;
        }
        self.changes.record(server.clone());
        match target {
            Some(target) => self.targets.insert_mut(server.clone(), Arc::new(target)),
            None => {
                self.targets.remove_mut(server);
            }
        }
        true
    }

    /// Returns the servers whose targets may differ from those in `earlier`, with repetitions; `None` if these targets are
    /// not derived from `earlier`, or by too many changes.
    pub fn changed_since<'a>(
        &'a self,
        earlier: &Self,
    ) -> Option<impl Iterator<Item = &'a ObjectName> + use<'a>> {
        self.changes.since(&earlier.changes.position())
    }
}

impl Default for ProbeTargets {
    fn default() -> Self {
        Self {
            targets: RedBlackTreeMapSync::new_sync(),
            changes: ChangeLog::default(),
        }
    }
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
            endpoints: server.source.endpoints().clone(),
            credential,
            protocol: ConfiguredProtocol {
                era: server.era,
                version: server.protocol_version,
            },
            timeouts: server.timeouts,
        }
    }
}
