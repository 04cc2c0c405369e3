//! Encryption of state that clients hold for the gateway, such as session ids, cursors and request states. Uses
//! XChaCha20-Poly1305 with keys derived once per epoch and purpose. An encrypted text is bound to a gateway and a
//! principal and cannot be decrypted for others. The newest epoch encrypts; the newest [`MAX_EPOCHS`] decrypt. Secrets in
//! the store are sealed by `control-plane/vault`, and the files of a proxy are encrypted by `disk.rs` of `data-plane/sync`.

pub mod task;

use std::{fmt, sync::Arc};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use toolgate_model::{Principal, Slug};
use zeroize::Zeroizing;

/// Maximum length of an encrypted text, except for purposes with content from servers.
pub const TEXT_LIMIT: usize = 512;

/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 24;

/// Maximum number of epochs that open at one time.
pub const MAX_EPOCHS: usize = 2;

/// Purpose of an encrypted text. A text encrypted for one purpose cannot be opened for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatePurpose {
    /// Legacy session id.
    Session,
    /// List cursor.
    Cursor,
    /// `requestState` of a call suspended at the gateway.
    SuspendedCall,
    /// Id of a task.
    Task,
    /// `requestState` of a stateless server.
    ServerState,
    /// `requestState` of a call that is repeated after a URL elicitation.
    UrlElicitation,
}

impl StatePurpose {
    /// Maximum length of a text of this purpose. The length of task ids and states depends on the server.
    pub const fn limit(self) -> usize {
        match self {
            Self::Session | Self::Cursor | Self::SuspendedCall | Self::UrlElicitation => TEXT_LIMIT,
            Self::Task => 2 * TEXT_LIMIT,
            Self::ServerState => 64 * 1024,
        }
    }
}

/// Key of the keyring.
pub struct StateKey {
    /// Number of the epoch; part of every encrypted text.
    pub epoch: u32,
    /// Secret shared by all proxies.
    pub secret: Zeroizing<Vec<u8>>,
}

/// Context that an encrypted text is bound to, in addition to its purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateContext<'a> {
    /// Gateway.
    pub gateway: &'a Slug,
    /// Principal.
    pub principal: &'a Principal,
}

/// Encrypts and decrypts the state that clients hold: session ids, cursors, `requestState`, task ids. Built once per keyring
/// and shared by its clones.
#[derive(Clone)]
pub struct ClientStateCipher {
    /// Boxed, so that collecting them copies no key.
    epochs: Arc<[Box<EpochKeys>]>,
}

/// Error of an invalid keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeyring {
    /// The keyring holds no encryption key.
    #[error("the keyring holds no encryption key")]
    Empty,
    /// The key of this epoch is too short.
    #[error("encryption key {0} has fewer than 32 bytes")]
    Short(u32),
}

struct EpochKeys {
    number: u32,
    session: PurposeKey,
    cursor: PurposeKey,
    suspended_call: PurposeKey,
    task: PurposeKey,
    server_state: PurposeKey,
    url_elicitation: PurposeKey,
}

struct PurposeKey {
    cipher: XChaCha20Poly1305,
    nonces: Hmac<Sha256>,
}

const FORMAT: u8 = 1;
const HEADER_LEN: usize = 1 + 4 + NONCE_LEN;

impl ClientStateCipher {
    /// Creates a cipher from the keyring's keys, newest first. Keys beyond [`MAX_EPOCHS`] are ignored.
    pub fn new(keys: &[StateKey]) -> Result<Self, InvalidKeyring> {
        if keys.is_empty() {
            return Err(InvalidKeyring::Empty);
        }
        let epochs = keys.iter().take(MAX_EPOCHS).map(EpochKeys::derive);
        let epochs = epochs.collect::<Result<_, _>>()?;
        Ok(Self { epochs })
    }

    /// Encrypts `plain`. The nonce must never be reused.
    pub fn encrypt(
        &self,
        purpose: StatePurpose,
        context: StateContext<'_>,
        nonce: &[u8; NONCE_LEN],
        plain: &[u8],
    ) -> String {
        let Some(epoch) = self.epochs.first() else {
            return String::new();
        };
        let aad = associated_data(purpose, context, epoch.number);
        let payload = Payload {
            msg: plain,
            aad: &aad,
        };
        let cipher = &epoch.key(purpose).cipher;
        // Encryption only fails for a plaintext above 256 GiB. An empty text cannot be opened.
        let Ok(encrypted) = cipher.encrypt(&XNonce::from(*nonce), payload) else {
            return String::new();
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + encrypted.len());
        bytes.push(FORMAT);
        bytes.extend_from_slice(&epoch.number.to_be_bytes());
        bytes.extend_from_slice(nonce);
        bytes.extend_from_slice(&encrypted);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Encrypts `plain` deterministically: the nonce is a keyed hash of the whole input. Used for texts that must be
    /// stable, such as cursors.
    pub fn encrypt_stable(
        &self,
        purpose: StatePurpose,
        context: StateContext<'_>,
        plain: &[u8],
    ) -> String {
        let Some(epoch) = self.epochs.first() else {
            return String::new();
        };
        let mut mac = epoch.key(purpose).nonces.clone();
        mac.update(&associated_data(purpose, context, epoch.number));
        mac.update(plain);
        let tag: [u8; 32] = mac.finalize().into_bytes().into();
        let mut nonce = [0; NONCE_LEN];
        nonce.copy_from_slice(&tag[..NONCE_LEN]);
        self.encrypt(purpose, context, &nonce, plain)
    }

    /// Decrypts a text. Returns `None` on any error.
    pub fn decrypt(
        &self,
        purpose: StatePurpose,
        context: StateContext<'_>,
        text: &str,
    ) -> Option<Vec<u8>> {
        if text.len() > purpose.limit() {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, encrypted) = bytes.split_at_checked(HEADER_LEN)?;
        let (&format, head) = head.split_first()?;
        let (number, nonce) = head.split_first_chunk::<4>()?;
        let nonce: [u8; NONCE_LEN] = nonce.try_into().ok()?;
        let number = u32::from_be_bytes(*number);
        if format != FORMAT {
            return None;
        }
        let epoch = self.epochs.iter().find(|epoch| epoch.number == number)?;
        let aad = associated_data(purpose, context, number);
        let payload = Payload {
            msg: encrypted,
            aad: &aad,
        };
        let cipher = &epoch.key(purpose).cipher;
        cipher.decrypt(&XNonce::from(nonce), payload).ok()
    }
}

impl EpochKeys {
    fn derive(key: &StateKey) -> Result<Box<Self>, InvalidKeyring> {
        if key.secret.len() < 32 {
            return Err(InvalidKeyring::Short(key.epoch));
        }
        let derived = Hkdf::<Sha256>::new(Some(b"toolgate seal v1"), &key.secret);
        let purpose = |cipher: &[u8], nonces: &[u8]| {
            PurposeKey::derive(&derived, cipher, nonces).ok_or(InvalidKeyring::Short(key.epoch))
        };
        // The labels are part of the format: a key that is derived from another label opens no text in use.
        Ok(Box::new(Self {
            number: key.epoch,
            session: purpose(b"session", b"session nonce")?,
            cursor: purpose(b"cursor", b"cursor nonce")?,
            suspended_call: purpose(b"parked", b"parked nonce")?,
            task: purpose(b"task", b"task nonce")?,
            server_state: purpose(b"state", b"state nonce")?,
            url_elicitation: purpose(b"visit", b"visit nonce")?,
        }))
    }

    fn key(&self, purpose: StatePurpose) -> &PurposeKey {
        match purpose {
            StatePurpose::Session => &self.session,
            StatePurpose::Cursor => &self.cursor,
            StatePurpose::SuspendedCall => &self.suspended_call,
            StatePurpose::Task => &self.task,
            StatePurpose::ServerState => &self.server_state,
            StatePurpose::UrlElicitation => &self.url_elicitation,
        }
    }
}

impl PurposeKey {
    fn derive(from: &Hkdf<Sha256>, cipher: &[u8], nonces: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        from.expand(cipher, key.as_mut()).ok()?;
        let cipher = XChaCha20Poly1305::new_from_slice(key.as_ref()).ok()?;
        from.expand(nonces, key.as_mut()).ok()?;
        let nonces = <Hmac<Sha256> as KeyInit>::new_from_slice(key.as_ref()).ok()?;
        Some(Self { cipher, nonces })
    }
}

/// Associated data of the encryption. Each part is preceded by its length, so that no two contexts have the same
/// bytes.
fn associated_data(purpose: StatePurpose, context: StateContext<'_>, epoch: u32) -> Vec<u8> {
    // These bytes are part of the format, like the labels of the keys.
    let purpose: &[u8] = match purpose {
        StatePurpose::Session => b"session",
        StatePurpose::Cursor => b"cursor",
        StatePurpose::SuspendedCall => b"parked",
        StatePurpose::Task => b"task",
        StatePurpose::ServerState => b"state",
        StatePurpose::UrlElicitation => b"visit",
    };
    let principal = context.principal.identity();
    let parts = [
        purpose,
        &epoch.to_be_bytes(),
        context.gateway.as_str().as_bytes(),
        principal.as_bytes(),
    ];
    let mut aad = Vec::with_capacity(128);
    for part in parts {
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        aad.extend_from_slice(&length.to_be_bytes());
        aad.extend_from_slice(part);
    }
    aad
}

impl fmt::Debug for ClientStateCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let epochs = self.epochs.iter().map(|epoch| epoch.number);
        f.debug_list().entries(epochs).finish()
    }
}

impl fmt::Debug for StateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateKey(epoch {})", self.epoch)
    }
}

#[cfg(test)]
mod tests;
