//! Where the plane's configuration comes from: sync in a proxy, a fixed one in a test.

use std::{collections::BTreeSet, sync::Arc};

use tokio::sync::watch::Receiver;
use toolgate_data_core::{
    Sealer, TokenHasher, View,
    port::{Credentials, Revoked},
};
use toolgate_model::{Slug, TokenHash, Version};
use toolgate_sync::{Keys, Membership, SyncHandle};

/// What is served, and the keys for it. Its readers neither wait nor lock.
pub trait Source: Credentials + Revoked + Clone + Send + Sync + 'static {
    /// Its keys.
    type Keys: KeySet;

    /// The view of now.
    fn view(&self) -> Arc<View>;

    /// The keys of now; none before there were any.
    fn keys(&self) -> Option<Arc<Self::Keys>>;

    /// Changes with every view.
    fn changes(&self) -> Receiver<Version>;

    /// The revoked tokens, as often as they change: without waiting for a view.
    fn revocations(&self) -> Receiver<Arc<BTreeSet<TokenHash>>>;

    /// The id of this proxy.
    fn proxy_id(&self) -> &Slug;

    /// Who this proxy is among its neighbours, once it has joined them.
    fn membership(&self) -> Receiver<Option<Membership>>;
}

/// The keys that all proxies of a deployment share.
pub trait KeySet: Send + Sync + 'static {
    /// Hashes bearer tokens.
    fn hasher(&self) -> &TokenHasher;

    /// Seals and opens ids and cursors.
    fn sealer(&self) -> &Sealer;
}

impl Source for SyncHandle {
    type Keys = Keys;

    fn view(&self) -> Arc<View> {
        self.current()
    }

    fn keys(&self) -> Option<Arc<Keys>> {
        Self::keys(self)
    }

    fn changes(&self) -> Receiver<Version> {
        self.version()
    }

    fn revocations(&self) -> Receiver<Arc<BTreeSet<TokenHash>>> {
        Self::revocations(self)
    }

    fn proxy_id(&self) -> &Slug {
        Self::proxy_id(self)
    }

    fn membership(&self) -> Receiver<Option<Membership>> {
        Self::membership(self)
    }
}

impl KeySet for Keys {
    fn hasher(&self) -> &TokenHasher {
        &self.hasher
    }

    fn sealer(&self) -> &Sealer {
        &self.sealer
    }
}
