//! Sealing of secrets before they are stored, by envelope encryption: each value has its own data key, which is wrapped by
//! the key-encryption key. Both layers are XChaCha20-Poly1305 with random 192-bit nonces, so no nonce counter has to be
//! stored. Both layers authenticate the [`EncryptionContext`] of the value and the id of the wrapping key.

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use toolgate_control_core::port::{EncryptionContext, PlaintextSecret, SealError, SecretSealer};
use toolgate_model::SealedBlob;
use toolgate_runtime::random;
use zeroize::Zeroizing;

use crate::KeyEncryptionKeys;

const NONCE_BYTES: usize = 24;

/// Envelope encryption as the [`SecretSealer`] of a control plane.
pub struct EnvelopeSealer {
    keys: KeyEncryptionKeys,
}

/// Plaintext that is zeroed on drop.
struct ZeroizingBytes(Zeroizing<Vec<u8>>);

impl EnvelopeSealer {
    /// Creates a sealer that seals with the newest key and opens with any key.
    pub fn new(keys: KeyEncryptionKeys) -> Self {
        Self { keys }
    }

    /// Returns `true` if `sealed` is wrapped with a key that is not the newest one.
    pub fn needs_reseal(&self, sealed: &SealedBlob) -> bool {
        self.keys.newest().is_none_or(|(id, _)| id != sealed.key_id)
    }
}

impl SecretSealer for EnvelopeSealer {
    fn seal_secret(
        &self,
        context: &EncryptionContext,
        plain: &[u8],
    ) -> Result<SealedBlob, SealError> {
        let unknown = || SealError::UnknownKey("none".to_owned());
        let (key_id, wrapping) = self.keys.newest().ok_or_else(unknown)?;
        let aad = associated_bytes(context, key_id);
        let data_key = Zeroizing::new(random::bytes::<32>());
        Ok(SealedBlob {
            key_id: key_id.to_owned(),
            wrapped_key: encrypt(wrapping, &aad, &*data_key)?,
            ciphertext: encrypt(&data_key, &aad, plain)?,
        })
    }

    fn open_secret(
        &self,
        context: &EncryptionContext,
        sealed: &SealedBlob,
    ) -> Result<PlaintextSecret, SealError> {
        let unknown = || SealError::UnknownKey(sealed.key_id.chars().take(40).collect());
        let wrapping = self.keys.find(&sealed.key_id).ok_or_else(unknown)?;
        let aad = associated_bytes(context, &sealed.key_id);
        let data_key = decrypt(wrapping, &aad, &sealed.wrapped_key)?;
        let data_key = data_key
            .as_slice()
            .try_into()
            .map_err(|_| SealError::Mismatch)?;
        Ok(Box::new(ZeroizingBytes(decrypt(
            data_key,
            &aad,
            &sealed.ciphertext,
        )?)))
    }
}

impl AsRef<[u8]> for ZeroizingBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Encodes each part with its length, so that different contexts have different encodings.
fn associated_bytes(context: &EncryptionContext, key_id: &str) -> Vec<u8> {
    let parts = [
        context.org.as_str(),
        context.kind,
        &context.id,
        &context.field,
        key_id,
    ];
    let mut bytes = Vec::with_capacity(128);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        bytes.extend_from_slice(part.as_bytes());
    }
    bytes
}

fn encrypt(key: &[u8; 32], aad: &[u8], msg: &[u8]) -> Result<Vec<u8>, SealError> {
    let nonce: [u8; NONCE_BYTES] = random::bytes();
    let cipher = XChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt(&XNonce::from(nonce), Payload { msg, aad });
    // Encryption only fails for a plaintext above 256 GiB.
    let sealed = sealed.map_err(|_| SealError::Mismatch)?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn decrypt(key: &[u8; 32], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
    let (nonce, msg) = sealed
        .split_first_chunk::<NONCE_BYTES>()
        .ok_or(SealError::Mismatch)?;
    let cipher = XChaCha20Poly1305::new(key.into());
    let plain = cipher.decrypt(&XNonce::from(*nonce), Payload { msg, aad });
    plain.map(Zeroizing::new).map_err(|_| SealError::Mismatch)
}

#[cfg(test)]
mod tests;
