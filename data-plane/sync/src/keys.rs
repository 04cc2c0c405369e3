//! Keys that all proxies share, for token hashes and encrypted ids. Fetched on connection, refreshed periodically, stored
//! encrypted.

use std::{fmt, sync::Arc, time::Duration};

use prost::Message as _;
use tokio::{task::spawn_blocking, time::sleep};
use toolgate_data_core::{
    TokenHasher,
    client_state::{ClientStateCipher, StateKey},
};
use toolgate_mcp::cdn_loop::CdnId;
use toolgate_model::Digest;
use toolgate_proto::credential::v1::{
    self as pb, GetKeyringRequest, credentials_client::CredentialsClient,
};
use toolgate_runtime::{Backoff, random};
use toolgate_wire::{ProtoConversion as _, keys::ProxyKeyring};
use zeroize::Zeroizing;

use crate::{
    control_channels::ControlChannels, disk::EncryptedDirectory, handle::SyncState,
    options::ProxyContext,
};

/// Interval at which rotated keys are fetched.
const REFRESH: Duration = Duration::from_secs(60);

const FILE: &str = "keys";

/// Shared keys, ready for use.
pub struct SharedKeys {
    /// Hasher of bearer tokens.
    pub hasher: TokenHasher,
    /// Cipher of ids and cursors.
    pub cipher: ClientStateCipher,
    /// Id of the deployment in `CDN-Loop`.
    pub cdn_id: CdnId,
    /// Digest of the keyring. The keys themselves are not kept: the fields above hold what is derived from them.
    digest: Digest,
}

impl SharedKeys {
    /// Creates the keys from a keyring; returns `None` if a key is unusable.
    pub fn new(keyring: &ProxyKeyring) -> Option<Self> {
        let hasher = TokenHasher::new(&*keyring.token_key)?;
        let secret = |key: &toolgate_wire::keys::ClientStateKey| StateKey {
            epoch: key.epoch,
            secret: Zeroizing::new(key.key.to_vec()),
        };
        let client_state_keys: Vec<_> = keyring.client_state_keys.iter().map(secret).collect();
        let cipher = ClientStateCipher::new(&client_state_keys).ok()?;
        Some(Self {
            hasher,
            cipher,
            cdn_id: CdnId::derive(&*keyring.token_key),
            digest: keyring.digest(),
        })
    }
}

/// Returns the stored keys.
pub(crate) fn load(disk: &EncryptedDirectory) -> Option<SharedKeys> {
    let bytes = disk.load(FILE)?;
    let keyring = pb::Keyring::decode(bytes.as_slice()).ok();
    let keys = keyring
        .and_then(|keyring| ProxyKeyring::from_proto(&keyring).ok())
        .and_then(|keyring| SharedKeys::new(&keyring));
    if keys.is_none() {
        disk.quarantine(FILE);
    }
    keys
}

/// Keeps the keys current until the drain has settled.
pub(crate) async fn follow(
    channels: ControlChannels,
    shared: Arc<SyncState>,
    disk: Option<Arc<EncryptedDirectory>>,
    context: ProxyContext,
    reconnect: (Duration, Duration),
) {
    let mut backoff = Backoff::new(reconnect.0, reconnect.1);
    loop {
        let request = async {
            let mut client = CredentialsClient::new(channels.shared_channel().await);
            let keys = shared.keys.load_full();
            let known_digest = keys.map(|keys| keys.digest.0.to_vec()).unwrap_or_default();
            client.get_keyring(GetKeyringRequest { known_digest }).await
        };
        let answer = tokio::select! {
            () = context.drain.settled() => return,
            answer = request => answer,
        };
        let wait = match answer {
            Ok(answer) => {
                backoff.reset();
                if apply_keyring(answer.get_ref(), &shared) {
                    persist(answer.get_ref(), disk.as_ref()).await;
                }
                REFRESH
            }
            Err(status) => {
                tracing::debug!(%status, "the keyring cannot be fetched");
                backoff.next(random::number())
            }
        };
        tokio::select! {
            () = context.drain.settled() => return,
            () = sleep(wait) => {}
        }
    }
}

/// Applies a fetched keyring. Returns `true` if it was new and usable.
fn apply_keyring(answer: &pb::Keyring, shared: &SyncState) -> bool {
    if answer.unchanged {
        return false;
    }
    let keyring = match ProxyKeyring::from_proto(answer) {
        Ok(keyring) => keyring,
        Err(error) => {
            tracing::warn!(%error, "the keyring is not valid; the former one stays");
            return false;
        }
    };
    let current = shared.keys.load();
    if current
        .as_ref()
        .is_some_and(|current| current.digest == keyring.digest())
    {
        return false;
    }
    let Some(keys) = SharedKeys::new(&keyring) else {
        tracing::warn!("the keyring cannot be used; the former one stays");
        return false;
    };
    shared.keys.store(Some(Arc::new(keys)));
    shared.release_if_ready();
    tracing::info!("the keyring has changed");
    true
}

async fn persist(keyring: &pb::Keyring, disk: Option<&Arc<EncryptedDirectory>>) {
    let Some(disk) = disk.map(Arc::clone) else {
        return;
    };
    let bytes = Zeroizing::new(keyring.encode_to_vec());
    let saved = spawn_blocking(move || disk.save(FILE, &bytes));
    if let Ok(Err(error)) = saved.await {
        tracing::warn!(%error, "the keyring could not be kept");
    }
}

impl fmt::Debug for SharedKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKeys")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
