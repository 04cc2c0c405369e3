//! Conversion of `credential.v1`: keys shared by all proxies, and resolved credentials.

use std::fmt;

use prost::Message as _;
use toolgate_model::{CredentialHosts, Digest, FieldPlace, Timestamp};
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
    /// Keys for encrypted ids, newest first. The first one encrypts, all decrypt. Never empty.
    pub client_state_keys: Vec<ClientStateKey>,
}

/// Key for encrypted ids.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientStateKey {
    /// Number of the key, written in plaintext before the encrypted value.
    pub epoch: u32,
    /// Key bytes.
    pub key: Zeroizing<[u8; 32]>,
}

/// Resolved credential to present to a server.
#[derive(Debug, PartialEq, Eq)]
pub struct ResolvedCredential {
    /// Headers, then query parameters. Never empty.
    pub fields: Vec<ResolvedField>,
    /// Revision of the credential.
    pub revision: u64,
    /// Expiry time. `None` means valid as long as the revision is current.
    pub expires: Option<Timestamp>,
    /// Origins that the values may be sent to.
    pub hosts: CredentialHosts,
}

/// Header or query parameter of a resolved credential.
#[derive(Debug, PartialEq, Eq)]
pub struct ResolvedField {
    /// Part of the request.
    pub place: FieldPlace,
    /// Header name in lower case, or name of the query parameter before percent-encoding.
    pub name: String,
    /// Value before percent-encoding.
    pub value: PlaintextValue,
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
        let count = proto.client_state_keys.len();
        field::max_count("client_state_keys", count, limits::CLIENT_STATE_KEYS)?;
        if count == 0 {
            return Err(FieldViolation::new("client_state_keys", "is empty").into());
        }
        // A vector that grows would leave copies of the keys behind.
        let mut client_state_keys = Vec::with_capacity(count);
        for (at, given) in proto.client_state_keys.iter().enumerate() {
            let key = field::bytes32(&format!("client_state_keys[{at}].key"), &given.key)?;
            let (epoch, key) = (given.epoch, Zeroizing::new(key));
            client_state_keys.push(ClientStateKey { epoch, key });
        }
        Ok(Self {
            token_key: Zeroizing::new(field::bytes32("token_key", &proto.token_key)?),
            client_state_keys,
        })
    }

    fn to_proto(&self) -> pb::Keyring {
        let key = |key: &ClientStateKey| pb::ClientStateKey {
            epoch: key.epoch,
            key: key.key.to_vec(),
        };
        pb::Keyring {
            token_key: self.token_key.to_vec(),
            client_state_keys: self.client_state_keys.iter().map(key).collect(),
            unchanged: false,
        }
    }
}

impl ProtoConversion for ResolvedCredential {
    type Proto = pb::ResolveResponse;
    type Invalid = InvalidResolvedCredential;

    fn from_proto(proto: &pb::ResolveResponse) -> Result<Self, InvalidResolvedCredential> {
        Ok(Self {
            fields: resolved_fields(proto)?,
            revision: proto.revision,
            expires: (proto.expire_time_ms != 0).then_some(Timestamp(proto.expire_time_ms)),
            hosts: field::credential_hosts("hosts", &proto.hosts)?,
        })
    }

    fn to_proto(&self) -> pb::ResolveResponse {
        let mut message = pb::ResolveResponse {
            revision: self.revision,
            expire_time_ms: self.expires.map_or(0, |at| at.0.max(1)),
            hosts: field::credential_hosts_to_proto(&self.hosts),
            header: String::new(),
            value: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        };
        // The form of one header is known to all builds. Any other form leaves it empty, which earlier builds refuse.
        if let [only] = &*self.fields
            && only.place == FieldPlace::Header
        {
            message.header.clone_from(&only.name);
            message.value = only.value.expose().to_vec();
            return message;
        }
        for given in &self.fields {
            let list = match given.place {
                FieldPlace::Header => &mut message.headers,
                FieldPlace::Query => &mut message.query,
            };
            list.push(pb::RequestField {
                name: given.name.clone(),
                value: given.value.expose().to_vec(),
            });
        }
        message
    }
}

fn resolved_fields(proto: &pb::ResolveResponse) -> Result<Vec<ResolvedField>, FieldViolation> {
    if proto.headers.is_empty() && proto.query.is_empty() {
        field::header_value("value", &proto.value)?;
        return Ok(vec![ResolvedField {
            place: FieldPlace::Header,
            name: field::header_name("header", &proto.header)?,
            value: PlaintextValue::new(proto.value.clone()),
        }]);
    }
    if !proto.header.is_empty() || !proto.value.is_empty() {
        let reason = "is set together with `headers` or `query`";
        return Err(FieldViolation::new("header", reason));
    }
    field::request_field_counts("", proto.headers.len(), proto.query.len())?;
    let one = |place, list: &'static str| {
        move |(at, given): (usize, &pb::RequestField)| -> Result<_, FieldViolation> {
            let path = format!("{list}[{at}]");
            let name = field::request_field_name(place, &format!("{path}.name"), &given.name)?;
            field::request_field_value(place, &format!("{path}.value"), &given.value)?;
            let value = PlaintextValue::new(given.value.clone());
            Ok(ResolvedField { place, name, value })
        }
    };
    let headers = proto.headers.iter().enumerate();
    let query = proto.query.iter().enumerate();
    let fields: Result<Vec<_>, _> = headers
        .map(one(FieldPlace::Header, "headers"))
        .chain(query.map(one(FieldPlace::Query, "query")))
        .collect();
    let fields = fields?;
    let names = fields.iter().map(|field| (field.place, &*field.name));
    field::unique_request_fields("", names)?;
    Ok(fields)
}

impl fmt::Debug for ProxyKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.client_state_keys).finish()
    }
}

impl fmt::Debug for ClientStateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientStateKey(epoch {})", self.epoch)
    }
}

#[cfg(test)]
mod tests;
