//! Verification of the signatures of JSON Web Tokens, by the cryptography that TLS uses as well (aws-lc).

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use toolgate_data_core::port::SignatureVerifier;
use toolgate_model::{KeyMaterial, SignatureAlgorithm, VerificationKey};

/// Verifier of signatures with public keys.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JwtSignatures;

impl SignatureVerifier for JwtSignatures {
    fn is_valid(
        &self,
        key: &VerificationKey,
        algorithm: SignatureAlgorithm,
        signed: &str,
        signature: &str,
    ) -> bool {
        // A key of another type would be refused below as well.
        let decoded = key.fits(algorithm).then(|| decoding_key(&key.material));
        let Some(Ok(decoded)) = decoded else {
            return false;
        };
        let verified = crypto::verify(signature, signed.as_bytes(), &decoded, name(algorithm));
        verified.unwrap_or(false)
    }
}

fn decoding_key(material: &KeyMaterial) -> Result<DecodingKey, jsonwebtoken::errors::Error> {
    match material {
        KeyMaterial::Rsa { n, e } => DecodingKey::from_rsa_components(n, e),
        KeyMaterial::Ec { x, y, .. } => DecodingKey::from_ec_components(x, y),
        KeyMaterial::Ed25519 { x } => DecodingKey::from_ed_components(x),
    }
}

const fn name(algorithm: SignatureAlgorithm) -> Algorithm {
    match algorithm {
        SignatureAlgorithm::RS256 => Algorithm::RS256,
        SignatureAlgorithm::RS384 => Algorithm::RS384,
        SignatureAlgorithm::RS512 => Algorithm::RS512,
        SignatureAlgorithm::PS256 => Algorithm::PS256,
        SignatureAlgorithm::PS384 => Algorithm::PS384,
        SignatureAlgorithm::PS512 => Algorithm::PS512,
        SignatureAlgorithm::ES256 => Algorithm::ES256,
        SignatureAlgorithm::ES384 => Algorithm::ES384,
        SignatureAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

#[cfg(test)]
mod tests;
