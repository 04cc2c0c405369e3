//! Keys that all proxies share, for token hashes and sealed ids. Fetched on connection, refreshed periodically, stored
//! sealed.

use std::{fmt, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::{task::spawn_blocking, time::sleep};
use toolgate_data_core::{
    TokenHasher,
    seal::{SealKey, Sealer},
};
use toolgate_proto::credential::v1::{
    self as pb, GetKeyringRequest, credentials_client::CredentialsClient,
};
use toolgate_runtime::{Backoff, random};
use toolgate_wire::{Wire as _, keys::Keyring};
use zeroize::Zeroizing;

use crate::{disk::Disk, handle::Shared, link::Link, options::Machine};

/// Interval at which rotated keys are fetched.
const REFRESH: Duration = Duration::from_secs(60);

const FILE: &str = "keys";

/// Shared keys, ready for use.
pub struct Keys {
    /// Hasher of bearer tokens.
    pub hasher: TokenHasher,
    /// Sealer of ids and cursors.
    pub sealer: Sealer,
    keyring: Keyring,
}

impl Keys {
    /// Creates the keys from a keyring; returns `None` if a key is unusable.
    pub fn new(keyring: Keyring) -> Option<Self> {
        let hasher = TokenHasher::new(&*keyring.token_key)?;
        let secret = |key: &toolgate_wire::keys::SealKey| SealKey {
            epoch: key.epoch,
            secret: Zeroizing::new(key.key.to_vec()),
        };
        let seal_keys: Vec<_> = keyring.seal_keys.iter().map(secret).collect();
        let sealer = Sealer::new(&seal_keys).ok()?;
        Some(Self {
            hasher,
            sealer,
            keyring,
        })
    }
}

/// Returns the stored keys.
pub(crate) fn load(disk: &Disk) -> Option<Keys> {
    let bytes = disk.load(FILE)?;
    let keyring = pb::Keyring::decode(bytes.as_slice()).ok();
    let keys = keyring
        .and_then(|keyring| Keyring::from_proto(&keyring).ok())
        .and_then(Keys::new);
    if keys.is_none() {
        disk.put_aside(FILE);
    }
    keys
}

/// Keeps the keys current until the drain has settled.
pub(crate) async fn follow(
    link: Link,
    shared: Arc<Shared>,
    disk: Option<Arc<Disk>>,
    machine: Machine,
    reconnect: (Duration, Duration),
) {
    let mut backoff = Backoff::new(reconnect.0, reconnect.1);
    loop {
        let asked = async {
            let mut client = CredentialsClient::new(link.side().await);
            client.get_keyring(GetKeyringRequest {}).await
        };
        let answer = tokio::select! {
            () = machine.drain.settled() => return,
            answer = asked => answer,
        };
        let wait = match answer {
            Ok(answer) => {
                backoff.reset();
                if take(answer.get_ref(), &shared) {
                    keep(answer.get_ref(), disk.as_ref()).await;
                }
                REFRESH
            }
            Err(status) => {
                tracing::debug!(%status, "the keyring cannot be fetched");
                backoff.next(random::number())
            }
        };
        tokio::select! {
            () = machine.drain.settled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Applies a fetched keyring. Returns `true` if it was new and usable.
fn take(answer: &pb::Keyring, shared: &Shared) -> bool {
    let keyring = match Keyring::from_proto(answer) {
        Ok(keyring) => keyring,
        Err(error) => {
            tracing::warn!(%error, "the keyring is not valid; the former one stays");
            return false;
        }
    };
    let current = shared.keys.load();
    if current
        .as_ref()
        .is_some_and(|current| current.keyring == keyring)
    {
        return false;
    }
    let Some(keys) = Keys::new(keyring) else {
        tracing::warn!("the keyring cannot be used; the former one stays");
        return false;
    };
    shared.keys.store(Some(Arc::new(keys)));
    shared.settle();
    tracing::info!("the keyring has changed");
    true
}

async fn keep(keyring: &pb::Keyring, disk: Option<&Arc<Disk>>) {
    let Some(disk) = disk.map(Arc::clone) else {
        return;
    };
    let bytes = Zeroizing::new(keyring.encode_to_vec());
    let saved = spawn_blocking(move || disk.save(FILE, &bytes));
    if let Ok(Err(error)) = saved.await {
        tracing::warn!(%error, "the keyring could not be kept");
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("keyring", &self.keyring)
            .finish_non_exhaustive()
    }
}
