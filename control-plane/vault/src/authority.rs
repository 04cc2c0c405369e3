//! Certificate authority for connections between control planes and proxies. A deployment has one; its key is
//! stored sealed. Control planes get server certificates, proxies get certificates that are valid for a day. The
//! content of a certificate is decided here and never taken from the request.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SerialNumber,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::OffsetDateTime;
use toolgate_model::{Slug, Timestamp};
use toolgate_runtime::{random, tls::peer_server_name};
use zeroize::Zeroizing;

use crate::identity;

/// Lifetime of a proxy certificate. A proxy renews it after two thirds of the lifetime.
pub const PROXY_CERTIFICATE_TTL: Duration = Duration::from_secs(24 * 3600);
/// Lifetime of a control plane certificate. A control plane requests a new one at every start and before expiry.
pub const SERVER_CERTIFICATE_TTL: Duration = Duration::from_secs(30 * 24 * 3600);
/// Lifetime of the CA certificate.
pub const CA_CERTIFICATE_TTL: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Tolerated clock difference between two machines.
const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// Certificate authority that issues certificates.
pub struct LocalAuthority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Serialized authority. It contains the private key and is stored sealed.
pub struct SerializedAuthority {
    /// CA certificate, DER.
    pub certificate: Vec<u8>,
    /// Private key, PKCS#8 DER.
    pub key: Zeroizing<Vec<u8>>,
}

/// Issued certificate with its chain.
pub struct SignedCertificate {
    /// Certificate chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Expiry time.
    pub not_after: Timestamp,
}

/// Error of issuing a certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The request is not a valid PKCS#10 request, or is not signed with its own key.
    #[error("the certificate request is not valid: {0}")]
    BadRequest(String),
    /// The key or certificate of the authority is unusable.
    #[error("the certificate authority cannot be used: {0}")]
    Unusable(String),
}

impl LocalAuthority {
    /// Creates an authority that is valid from `now` on.
    pub fn create(now: Timestamp) -> Result<SerializedAuthority, AuthorityError> {
        let key = KeyPair::generate().map_err(unusable)?;
        let mut params = params("Toolgate authority", now, CA_CERTIFICATE_TTL);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(unusable)?;
        Ok(SerializedAuthority {
            certificate: certificate.der().to_vec(),
            key: Zeroizing::new(key.serialize_der()),
        })
    }

    /// Opens a serialized authority.
    pub fn open(kept: &SerializedAuthority) -> Result<Self, AuthorityError> {
        let certificate = CertificateDer::from(kept.certificate.clone());
        let key = PrivatePkcs8KeyDer::from(kept.key.to_vec());
        let key = KeyPair::try_from(&key).map_err(unusable)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(unusable)?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// Returns the CA certificate, which proxies trust.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the CA certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        let body = base64_lines(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    }

    /// Issues a server certificate with a new key for a control plane that is reached under these names (DNS names
    /// or IP addresses).
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(SignedCertificate, PrivateKeyDer<'static>), AuthorityError> {
        let key = KeyPair::generate().map_err(unusable)?;
        let mut params = params("Toolgate control plane", now, SERVER_CERTIFICATE_TTL);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = names
            .iter()
            .map(|name| subject_alt_name(name))
            .collect::<Result<_, _>>()?;
        let issued = self.sign(&params, &key, now.after(SERVER_CERTIFICATE_TTL))?;
        Ok((issued, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// Issues a certificate for the proxy `id`: a client certificate towards control planes and peers, and a server
    /// certificate towards peers. Only the public key of the request (PKCS#10 DER) is used.
    pub fn issue_proxy(
        &self,
        id: &Slug,
        csr_der: &[u8],
        now: Timestamp,
    ) -> Result<SignedCertificate, AuthorityError> {
        let bad = |error: rcgen::Error| AuthorityError::BadRequest(error.to_string());
        let request = CertificateSigningRequestParams::from_der(&csr_der.into()).map_err(bad)?;
        let mut params = params("Toolgate proxy", now, PROXY_CERTIFICATE_TTL);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ClientAuth,
            ExtendedKeyUsagePurpose::ServerAuth,
        ];
        let name = identity::proxy_uri(id).try_into().map_err(bad)?;
        let host = peer_server_name(id.as_str()).try_into().map_err(bad)?;
        params.subject_alt_names = vec![SanType::URI(name), SanType::DnsName(host)];
        self.sign(
            &params,
            &request.public_key,
            now.after(PROXY_CERTIFICATE_TTL),
        )
    }

    fn sign(
        &self,
        params: &CertificateParams,
        key: &impl PublicKeyData,
        not_after: Timestamp,
    ) -> Result<SignedCertificate, AuthorityError> {
        let leaf = params.signed_by(key, &self.issuer).map_err(unusable)?;
        let chain = vec![leaf.der().clone(), self.certificate.clone()];
        Ok(SignedCertificate { chain, not_after })
    }
}

fn params(name: &str, now: Timestamp, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serial_number = Some(SerialNumber::from_slice(&random::bytes::<16>()));
    params.not_before = date(Timestamp(
        now.0.saturating_sub(CLOCK_SKEW.as_millis() as u64),
    ));
    params.not_after = date(now.after(life));
    params.use_authority_key_identifier_extension = true;
    params
}

fn date(at: Timestamp) -> OffsetDateTime {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn subject_alt_name(name: &str) -> Result<SanType, AuthorityError> {
    if let Ok(address) = name.parse() {
        return Ok(SanType::IpAddress(address));
    }
    let bad = |error: rcgen::Error| AuthorityError::BadRequest(format!("`{name}`: {error}"));
    Ok(SanType::DnsName(name.to_owned().try_into().map_err(bad)?))
}

fn unusable(error: rcgen::Error) -> AuthorityError {
    AuthorityError::Unusable(error.to_string())
}

fn base64_lines(der: &[u8]) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(64);
    lines
        .flat_map(|line| line.iter().copied().chain([b'\n']))
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests;
