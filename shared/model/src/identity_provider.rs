//! External identity providers: issuers of JSON Web Tokens (RFC 7519) that prove the identity of callers. A provider has
//! keys of its own (RFC 7517); a gateway lists the providers whose callers it admits.

use serde::{Deserialize, Serialize};

use crate::{ObjectMeta, ObjectName, Slug, Timestamp, Uid};

#[cfg(test)]
mod tests;

/// Identity provider of an organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityProvider {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Value of the claim `iss`, compared as it is written.
    pub issuer: String,
    /// Values of the claim `aud`, of which a token has to name one. Sorted, not empty.
    pub audiences: Vec<String>,
    /// Algorithms that tokens may be signed with. Sorted, not empty.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Public keys of the provider, as listed by an operator.
    pub keys: Vec<VerificationKey>,
    /// URL of the key set of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// Claims that callers are known by.
    pub claims: ClaimMapping,
    /// Keys that were fetched.
    #[serde(default)]
    pub fetched: FetchedKeys,
}

/// Keys of an identity provider that the control plane has fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchedKeys {
    /// Keys in use. They stay in use while the provider cannot be reached, for a limited time.
    pub keys: Vec<VerificationKey>,
    /// Time at which these keys were fetched first. Zero if none ever were.
    pub fetched: Timestamp,
    /// Error of the last attempt, if it failed.
    pub problem: Option<String>,
    /// Start of the problem. Zero without one.
    pub problem_since: Timestamp,
    /// Time of the text of the problem. Zero without one.
    #[serde(default)]
    pub problem_updated: Timestamp,
}

/// Source of the keys of an identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeySource<'a> {
    /// Listed by an operator.
    Listed,
    /// Key set at this URL.
    KeySet(&'a str),
    /// Key set that the OpenID configuration of this issuer names.
    Discovery(&'a str),
}

/// Claims of tokens that callers are known by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClaimMapping {
    /// Claim with the identity of the caller.
    pub subject: ClaimPath,
    /// Claim with the groups of the caller.
    pub groups: ClaimPath,
}

/// Claim of a token: the name of a member, or a JSON pointer (RFC 6901) to a member of nested objects, which starts with `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClaimPath(String);

/// Error of text that is no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is not a claim: use its name, e.g. `groups`, or a JSON pointer, e.g. `/realm_access/roles`, of 1 to {limit} characters",
    limit = ClaimPath::LIMIT
)]
pub struct InvalidClaimPath;

/// Algorithm of a signature with a public key (RFC 7518, RFC 8037). Algorithms with a shared secret, and `none`, do not exist
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SignatureAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA with P-256 and SHA-256.
    ES256,
    /// ECDSA with P-384 and SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// Public key that verifies signatures.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VerificationKey {
    /// Id of the key (`kid`). Empty if it has none.
    pub id: String,
    /// The only algorithm that the key may be used with, if the provider names one.
    pub algorithm: Option<SignatureAlgorithm>,
    /// Numbers of the key.
    pub material: KeyMaterial,
}

/// Numbers of a public key, each in base64url without padding as in a JSON Web Key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum KeyMaterial {
    /// RSA.
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// Point of an elliptic curve.
    Ec {
        /// Curve.
        curve: EllipticCurve,
        /// First coordinate.
        x: String,
        /// Second coordinate.
        y: String,
    },
    /// Ed25519.
    Ed25519 {
        /// Public key.
        x: String,
    },
}

/// Elliptic curve of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EllipticCurve {
    /// P-256.
    P256,
    /// P-384.
    P384,
}

/// Identity provider whose callers a gateway admits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmittedProvider {
    /// Provider of the gateway's organization.
    pub provider: Slug,
    /// Groups of which a caller has to have one. Empty if none is required.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Further claims that a caller has to have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<RequiredClaim>,
}

/// Claim that a token has to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RequiredClaim {
    /// Claim: a string, or a list of strings.
    pub claim: ClaimPath,
    /// Values of which the claim has to have one.
    pub values: Vec<String>,
}

/// Identity provider as a gateway of the snapshot trusts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustedIssuer {
    /// Id of the provider.
    pub provider: Slug,
    /// Identity of the provider: one made later under the same name is another one.
    pub uid: Uid,
    /// Value of the claim `iss`.
    pub issuer: String,
    /// Values of the claim `aud`, of which a token has to name one.
    pub audiences: Vec<String>,
    /// Algorithms that tokens may be signed with.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// Public keys of the provider.
    pub keys: Vec<VerificationKey>,
    /// Claim with the identity of the caller.
    pub subject: ClaimPath,
    /// Claims that a caller has to have, groups included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<RequiredClaim>,
}

impl IdentityProvider {
    /// Returns the source of the keys.
    pub fn key_source(&self) -> KeySource<'_> {
        match &self.jwks_url {
            _ if !self.keys.is_empty() => KeySource::Listed,
            Some(url) => KeySource::KeySet(url),
            None => KeySource::Discovery(&self.issuer),
        }
    }

    /// Returns the keys that tokens are verified with.
    pub fn keys_in_use(&self) -> &[VerificationKey] {
        match self.key_source() {
            KeySource::Listed => &self.keys,
            KeySource::KeySet(_) | KeySource::Discovery(_) => &self.fetched.keys,
        }
    }
}

impl ClaimPath {
    /// Maximum length in bytes.
    pub const LIMIT: usize = 256;

    /// Creates a claim from its text.
    pub fn new(text: impl Into<String>) -> Result<Self, InvalidClaimPath> {
        let text = text.into();
        let is_plain = !text.chars().any(char::is_control);
        if text.is_empty() || text == "/" || text.len() > Self::LIMIT || !is_plain {
            return Err(InvalidClaimPath);
        }
        Ok(Self(text))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the value of the claim among `claims`, which are an object.
    pub fn of<'a>(&self, claims: &'a serde_json::Value) -> Option<&'a serde_json::Value> {
        match self.0.starts_with('/') {
            true => claims.pointer(&self.0),
            false => claims.get(&self.0),
        }
    }
}

impl TryFrom<String> for ClaimPath {
    type Error = InvalidClaimPath;

    fn try_from(text: String) -> Result<Self, InvalidClaimPath> {
        Self::new(text)
    }
}

impl From<ClaimPath> for String {
    fn from(path: ClaimPath) -> Self {
        path.0
    }
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            subject: ClaimPath("sub".to_owned()),
            groups: ClaimPath("groups".to_owned()),
        }
    }
}

impl SignatureAlgorithm {
    /// All algorithms.
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    /// Returns the name in `alg`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// Returns the algorithm of this name, which is compared with its case.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }
}

impl VerificationKey {
    /// Returns `true` if the key may verify signatures of this algorithm.
    pub fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm) && self.material.fits(algorithm)
    }
}

impl KeyMaterial {
    /// Returns `true` if the algorithm uses keys of this type.
    pub fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        match algorithm {
            RS256 | RS384 | RS512 | PS256 | PS384 | PS512 => matches!(self, Self::Rsa { .. }),
            ES256 => matches!(
                self,
                Self::Ec {
                    curve: EllipticCurve::P256,
                    ..
                }
            ),
            ES384 => matches!(
                self,
                Self::Ec {
                    curve: EllipticCurve::P384,
                    ..
                }
            ),
            EdDSA => matches!(self, Self::Ed25519 { .. }),
        }
    }
}
