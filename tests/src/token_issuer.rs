//! Issuer of JSON Web Tokens with keys of its own, as an external identity provider is one.

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use crate::clock;

/// Issuer whose tokens are signed with ECDSA on P-256.
pub struct TokenIssuer {
    issuer: String,
    keys: Vec<(String, KeyPair)>,
}

impl std::fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenIssuer")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

impl TokenIssuer {
    /// Creates an issuer with one key of this id.
    pub fn new(issuer: &str, key: &str) -> Result<Self> {
        let mut issuer = Self {
            issuer: issuer.to_owned(),
            keys: Vec::new(),
        };
        issuer.add_key(key)?;
        Ok(issuer)
    }

    /// Adds a key.
    pub fn add_key(&mut self, id: &str) -> Result<()> {
        self.keys.push((id.to_owned(), KeyPair::generate()?));
        Ok(())
    }

    /// Removes a key.
    pub fn remove_key(&mut self, id: &str) {
        self.keys.retain(|(known, _)| known != id);
    }

    /// Returns the public keys as the members of a JSON Web Key Set.
    pub fn public_keys(&self) -> Result<Vec<Value>> {
        let keys = self.keys.iter().map(|(id, key)| {
            let point = key.der_bytes();
            let (x, y) = point
                .strip_prefix(&[4])
                .and_then(|point| point.split_at_checked(32))
                .context("an uncompressed point")?;
            let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            Ok(json!({
                "kid": id, "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                "x": number(x), "y": number(y),
            }))
        });
        keys.collect()
    }

    /// Returns the public key of this id as a PEM text.
    pub fn public_pem(&self, id: &str) -> Result<String> {
        let mut keys = self.keys.iter();
        let (_, key) = keys.find(|(known, _)| known == id).context("no such key")?;
        Ok(key.public_key_pem())
    }

    /// Returns a manifest of the identity provider `name` with its public keys.
    pub fn manifest(&self, name: &str, audience: &str) -> Result<String> {
        let document = json!({
            "apiVersion": "toolgate/v1",
            "kind": "IdentityProvider",
            "metadata": {"name": name},
            "spec": {
                "issuer": self.issuer, "audiences": [audience], "algorithms": ["ES256"],
                "keys": self.public_keys()?,
            },
        });
        Ok(document.to_string())
    }

    /// Returns claims that are valid for an hour, with these changes.
    #[must_use]
    pub fn claims(&self, audience: &str, subject: &str, changes: &Value) -> Value {
        let now = clock::unix_seconds();
        let mut claims = json!({
            "iss": self.issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 3_600,
        });
        if let (Some(claims), Some(changes)) = (claims.as_object_mut(), changes.as_object()) {
            claims.extend(changes.clone());
        }
        claims
    }

    /// Signs claims with the key of this id.
    pub fn sign(&self, key: &str, claims: &Value) -> Result<String> {
        let mut keys = self.keys.iter();
        let (id, pair) = keys.find(|(id, _)| id == key).context("no such key")?;
        let header = Header {
            kid: Some(id.clone()),
            ..Header::new(Algorithm::ES256)
        };
        let key = EncodingKey::from_ec_der(pair.serialized_der());
        Ok(encode(&header, claims, &key)?)
    }
}
