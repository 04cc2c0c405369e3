//! Conversion of `credential.v1`: keys shared by all proxies, and resolved credentials.

use std::fmt;

use prost::Message as _;
use toolgate_model::{CredentialHosts, Digest, Timestamp};
use toolgate_proto::credential::v1 as pb;
use zeroize::Zeroizing;

use crate::{
    PlaintextValue, ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits,
};

invalid! {
    /// Error of an invalid keyring message.
    InvalidKeyring: "keyring";
    /// Error of an invalid resolved credential message.
    InvalidResolvedCredential: "resolved credential";
}

/// Keys shared by all proxies. Overwritten in memory when dropped.
#[derive(PartialEq, Eq)]
pub struct ProxyKeyring {
    /// HMAC-SHA-256 key of token hashes.
    pub token_key: Zeroizing<[u8; 32]>,
    /// Keys for sealed ids, newest first. The first one seals, all open. Never empty.
    pub seal_keys: Vec<SealKey>,
}

/// Key for sealed ids.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey {
    /// Number of the key, written in plaintext before the sealed value.
    pub epoch: u32,
    /// Key bytes.
    pub key: Zeroizing<[u8; 32]>,
}

/// Resolved credential to present to a server.
#[derive(Debug, PartialEq, Eq)]
pub struct ResolvedCredential {
    /// Header name in lower case.
    pub header: String,
    /// Header value.
    pub value: PlaintextValue,
    /// Revision of the credential.
    pub revision: u64,
    /// Expiry time. `None` means valid as long as the revision is current.
    pub expires: Option<Timestamp>,
    /// Origins that the header may be sent to.
    pub hosts: CredentialHosts,
}

impl ProxyKeyring {
    /// Returns the digest by which a proxy says that it has this keyring. The keys have 256 random bits each, so that it
    /// reveals none of them.
    pub fn digest(&self) -> Digest {
        Digest::of_bytes(&Zeroizing::new(self.to_proto().encode_to_vec()))
    }
}

impl ProtoConversion for ProxyKeyring {
    type Proto = pb::Keyring;
    type Invalid = InvalidKeyring;

    fn from_proto(proto: &pb::Keyring) -> Result<Self, InvalidKeyring> {
        let count = proto.seal_keys.len();
        field::max_count("seal_keys", count, limits::SEAL_KEYS)?;
        if count == 0 {
            return Err(FieldViolation::new("seal_keys", "is empty").into());
        }
        // A vector that grows would leave copies of the keys behind.
        let mut seal_keys = Vec::with_capacity(count);
        for (at, given) in proto.seal_keys.iter().enumerate() {
            let key = field::bytes32(&format!("seal_keys[{at}].key"), &given.key)?;
            let (epoch, key) = (given.epoch, Zeroizing::new(key));
            seal_keys.push(SealKey { epoch, key });
        }
        Ok(Self {
            token_key: Zeroizing::new(field::bytes32("token_key", &proto.token_key)?),
            seal_keys,
        })
    }

    fn to_proto(&self) -> pb::Keyring {
        let key = |key: &SealKey| pb::SealKey {
            epoch: key.epoch,
            key: key.key.to_vec(),
        };
        pb::Keyring {
            token_key: self.token_key.to_vec(),
            seal_keys: self.seal_keys.iter().map(key).collect(),
            unchanged: false,
        }
    }
}

impl ProtoConversion for ResolvedCredential {
    type Proto = pb::ResolveResponse;
    type Invalid = InvalidResolvedCredential;

    fn from_proto(proto: &pb::ResolveResponse) -> Result<Self, InvalidResolvedCredential> {
        field::header_value("value", &proto.value)?;
        Ok(Self {
            header: field::header_name("header", &proto.header)?,
            value: PlaintextValue::new(proto.value.clone()),
            revision: proto.revision,
            expires: (proto.expire_time_ms != 0).then_some(Timestamp(proto.expire_time_ms)),
            hosts: field::credential_hosts("hosts", &proto.hosts)?,
        })
    }

    fn to_proto(&self) -> pb::ResolveResponse {
        pb::ResolveResponse {
            header: self.header.clone(),
            value: self.value.expose().to_vec(),
            revision: self.revision,
            expire_time_ms: self.expires.map_or(0, |at| at.0.max(1)),
            hosts: field::credential_hosts_to_proto(&self.hosts),
        }
    }
}

impl fmt::Debug for ProxyKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.seal_keys).finish()
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey(epoch {})", self.epoch)
    }
}

#[cfg(test)]
mod tests;
