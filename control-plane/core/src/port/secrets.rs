//! Ports of cryptography: sealed values, tokens, page cursors and certificates.

use std::{borrow::Cow, fmt};

use toolgate_model::{
    Credential, CredentialKind, Digest, FieldPlace, ObjectName, SealedBlob, SealedField, Slug,
    Timestamp, TokenHash,
};

/// Encrypts values before they are stored.
pub trait SecretSealer: Send + Sync + 'static {
    /// Encrypts `plain` and binds the result to `context` (organization, kind, id, field).
    fn seal_secret(
        &self,
        context: &EncryptionContext,
        plain: &[u8],
    ) -> Result<SealedBlob, SealError>;

    /// Decrypts a value that was sealed with the same `context`.
    fn open_secret(
        &self,
        context: &EncryptionContext,
        sealed: &SealedBlob,
    ) -> Result<PlaintextSecret, SealError>;
}

/// Encryption context of a sealed value (additional authenticated data). A value opens only in its own context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncryptionContext {
    /// Organization id, or `_system`.
    pub org: String,
    /// Kind of the object, e.g. `credential`; `key` for keys of the deployment.
    pub kind: &'static str,
    /// Id of the object.
    pub id: String,
    /// Field of the object, e.g. `value`.
    pub field: Cow<'static, str>,
}

impl EncryptionContext {
    /// Returns the context of a credential's value.
    pub fn credential_value(name: &ObjectName) -> Self {
        Self {
            org: name.org.to_string(),
            kind: "credential",
            id: name.id.to_string(),
            field: "value".into(),
        }
    }

    /// Returns the context of the value of one header or query parameter of a credential that has several.
    pub fn credential_field(name: &ObjectName, place: FieldPlace, field: &str) -> Self {
        let place = match place {
            FieldPlace::Header => "header",
            FieldPlace::Query => "query",
        };
        Self {
            field: format!("{place}/{field}").into(),
            ..Self::credential_value(name)
        }
    }
}

/// Sealed value of a credential, with the context that it opens in.
pub struct SealedCredentialField<'a> {
    /// Context of the value.
    pub context: EncryptionContext,
    /// Part of the request.
    pub place: FieldPlace,
    /// Name of the header or query parameter.
    pub name: &'a str,
    /// Sealed value.
    pub value: &'a SealedBlob,
}

/// Returns the sealed values of a credential: of its headers, then of its query parameters.
pub fn sealed_credential_fields(credential: &Credential) -> Vec<SealedCredentialField<'_>> {
    match &credential.kind {
        CredentialKind::StaticHeader { header, value } => vec![SealedCredentialField {
            context: EncryptionContext::credential_value(&credential.name),
            place: FieldPlace::Header,
            name: header,
            value,
        }],
        CredentialKind::RequestFields(fields) => {
            let one = |field: &'_ SealedField| {
                EncryptionContext::credential_field(&credential.name, field.place, &field.name)
            };
            let fields = fields.iter().map(|field| SealedCredentialField {
                context: one(field),
                place: field.place,
                name: &field.name,
                value: &field.value,
            });
            fields.collect()
        }
    }
}

/// Decrypted secret: no `Debug`, no `Clone`, zeroed on drop by the type of the adapter.
pub type PlaintextSecret = Box<dyn AsRef<[u8]> + Send + Sync>;

/// Error of sealing or opening a value. Contains nothing of the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The key of this id is not available.
    #[error("sealed with key `{0}`, which this process does not have")]
    UnknownKey(String),
    /// Wrong context, or an altered or truncated value.
    #[error("the sealed value does not belong here or has been altered")]
    Mismatch,
}

/// Creates secrets, and recognizes them by a keyed hash. Every purpose has its own key.
pub trait TokenIssuer: Send + Sync + 'static {
    /// Returns the keyed hash of `secret`.
    fn hash(&self, purpose: SecretPurpose, secret: &[u8]) -> TokenHash;

    /// Creates a secret, with `hash(purpose, secret)`.
    fn mint_secret(&self, purpose: SecretPurpose) -> MintedSecret;
}

/// Purposes of secrets. Every purpose can be minted; values that are only signed have [`CursorSigner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SecretPurpose {
    /// Bearer token, `archestra_…`. Proxies know the key of its hash.
    Bearer,
    /// Join token.
    Join,
}

/// Newly created secret.
pub struct MintedSecret {
    /// The secret, shown once. ASCII.
    pub secret: PlaintextSecret,
    /// Keyed hash of the secret; this is stored.
    pub hash: TokenHash,
    /// First characters of the secret, for recognition.
    pub hint: String,
}

impl fmt::Debug for MintedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintedSecret({}…)", self.hint)
    }
}

/// Signs values that callers hand back, such as page tokens.
pub trait CursorSigner: Send + Sync + 'static {
    /// Returns the keyed digest of `value`. Its key belongs to this use alone.
    fn sign(&self, value: &[u8]) -> Digest;
}

/// Issues the certificates of proxies and recognizes them.
pub trait CertificateAuthority: Send + Sync + 'static {
    /// Issues a certificate for the public key in the request of this proxy. Names and extensions in the request are
    /// ignored.
    fn issue(&self, proxy: &Slug, csr_der: &[u8]) -> Result<IssuedCertificate, IssueError>;

    /// Returns the proxy that a client certificate (DER, with a verified chain) names; `None` if it names no proxy.
    fn proxy_of_certificate(&self, certificate_der: &[u8]) -> Option<Slug>;

    /// Returns the certificate of the authority that issued the control plane's own certificate, in PEM.
    fn authority_pem(&self) -> String;
}

/// Certificate issued to a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuedCertificate {
    /// Certificate chain, leaf first, DER.
    pub chain: Vec<Vec<u8>>,
    /// Certificate of the authority, DER.
    pub authority: Vec<u8>,
    /// Expiry of the leaf certificate.
    pub not_after: Timestamp,
}

/// Error of a certificate request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The bytes are not a certificate request, or its signature is invalid.
    #[error("csr_der: {0}; send a PKCS#10 request in DER")]
    InvalidRequest(String),
    /// The authority is unavailable.
    #[error("certificates cannot be issued now: {0}")]
    Unavailable(String),
}
