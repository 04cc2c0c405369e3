//! Source of a proxy's configuration: the control plane's pushes, or a fixed configuration in tests.

use std::{collections::BTreeSet, num::NonZeroU32, sync::Arc};

use tokio::sync::watch::Receiver;
use toolgate_data_core::{
    AuthnId, ClientStateCipher, TokenHasher, View,
    port::{CredentialResolver, RevocationList},
};
use toolgate_mcp::cdn_loop::CdnId;
use toolgate_model::{ServerHealth, Slug, Version};
use toolgate_sync::{CallLog, FleetMembership, SharedKeys, SyncHandle};

/// Configuration and keys of a proxy. Readers neither wait nor lock.
pub trait ConfigSource:
    CredentialResolver + RevocationList + Clone + Send + Sync + 'static
{
    /// Type of the keys.
    type Keys: KeySet;

    /// Returns the current view.
    fn view(&self) -> Arc<View>;

    /// Returns the current keys, or `None` before the first ones arrived.
    fn keys(&self) -> Option<Arc<Self::Keys>>;

    /// Returns a receiver that changes with every view.
    fn changes(&self) -> Receiver<Version>;

    /// Returns a receiver of the revoked proofs, which changes ahead of the view.
    fn revocations(&self) -> Receiver<Arc<BTreeSet<AuthnId>>>;

    /// Returns the number of proxies that serve together, this one included. Rate limits are divided by it.
    fn serving_proxies(&self) -> NonZeroU32;

    /// Returns the id of this proxy.
    fn proxy_id(&self) -> &Slug;

    /// Returns the region of this proxy, or an empty string.
    fn region(&self) -> &str;

    /// Returns a receiver of this proxy's fleet identity; `None` until it has joined.
    fn membership(&self) -> Receiver<Option<FleetMembership>>;

    /// Hands over the health of the servers that fail or have failed lately.
    fn report_health(&self, servers: Vec<ServerHealth>);

    /// Returns the log of requests.
    fn call_log(&self) -> &Arc<CallLog>;
}

/// Keys that all proxies of a deployment share.
pub trait KeySet: Send + Sync + 'static {
    /// Returns the hasher of bearer tokens.
    fn hasher(&self) -> &TokenHasher;

    /// Returns the cipher of ids and cursors.
    fn cipher(&self) -> &ClientStateCipher;

    /// Returns the id of the deployment in `CDN-Loop`.
    fn cdn_id(&self) -> &CdnId;
}

impl ConfigSource for SyncHandle {
    type Keys = SharedKeys;

    fn view(&self) -> Arc<View> {
        self.current()
    }

    fn keys(&self) -> Option<Arc<SharedKeys>> {
        Self::keys(self)
    }

    fn changes(&self) -> Receiver<Version> {
        self.version()
    }

    fn revocations(&self) -> Receiver<Arc<BTreeSet<AuthnId>>> {
        Self::revocations(self)
    }

    fn serving_proxies(&self) -> NonZeroU32 {
        Self::serving_proxies(self)
    }

    fn proxy_id(&self) -> &Slug {
        Self::proxy_id(self)
    }

    fn region(&self) -> &str {
        Self::region(self)
    }

    fn membership(&self) -> Receiver<Option<FleetMembership>> {
        Self::membership(self)
    }

    fn report_health(&self, servers: Vec<ServerHealth>) {
        Self::report_health(self, servers);
    }

    fn call_log(&self) -> &Arc<CallLog> {
        Self::call_log(self)
    }
}

impl KeySet for SharedKeys {
    fn hasher(&self) -> &TokenHasher {
        &self.hasher
    }

    fn cipher(&self) -> &ClientStateCipher {
        &self.cipher
    }

    fn cdn_id(&self) -> &CdnId {
        &self.cdn_id
    }
}
