//! Validation of public keys as they are written in JSON Web Keys (RFC 7518, section 6): type, curve, size, and numbers in
//! base64url without padding, each in its only spelling.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use toolgate_model::{EllipticCurve, KeyMaterial};

use crate::invalid::FieldViolation;

/// Sizes of the modulus of an RSA key, in bytes: 2048 to 8192 bits.
const MODULUS: std::ops::RangeInclusive<usize> = 256..=1024;

/// Exponent of RSA keys, 65537. Practically all keys have it, and smaller ones have been broken.
const EXPONENT: &str = "AQAB";

/// Members of a key with its numbers, empty if they are not set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GivenNumbers<'a> {
    pub(crate) n: &'a str,
    pub(crate) e: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Validates a key of type `kty` on the curve `crv`.
pub(crate) fn checked(
    kty: &str,
    crv: &str,
    given: GivenNumbers<'_>,
) -> Result<KeyMaterial, FieldViolation> {
    match (kty, crv) {
        ("RSA", "") => rsa(given),
        ("EC", "P-256") => ec(EllipticCurve::P256, given),
        ("EC", "P-384") => ec(EllipticCurve::P384, given),
        ("OKP", "Ed25519") => {
            number("x", given.x, 32)?;
            Ok(KeyMaterial::Ed25519 {
                x: given.x.to_owned(),
            })
        }
        ("RSA" | "EC" | "OKP", _) => {
            let reason = "is not a curve of this type: use P-256 or P-384 for EC, Ed25519 for OKP, none for RSA";
            Err(FieldViolation::new("crv", reason))
        }
        _ => {
            let reason = "is not a type of public keys: use RSA, EC or OKP; a shared secret (oct) is not accepted";
            Err(FieldViolation::new("kty", reason))
        }
    }
}

fn rsa(given: GivenNumbers<'_>) -> Result<KeyMaterial, FieldViolation> {
    let modulus = decoded("n", given.n)?;
    let is_large = modulus.first().is_some_and(|byte| *byte >= 0x80) || modulus.len() > 256;
    if !MODULUS.contains(&modulus.len()) || !is_large || modulus.first() == Some(&0) {
        let reason = "is not the modulus of a key of 2048 to 8192 bits: use a stronger key";
        return Err(FieldViolation::new("n", reason));
    }
    if given.e != EXPONENT {
        let reason = format!("is not the usual exponent: use a key with `{EXPONENT}` (65537)");
        return Err(FieldViolation::new("e", reason));
    }
    Ok(KeyMaterial::Rsa {
        n: given.n.to_owned(),
        e: given.e.to_owned(),
    })
}

fn ec(curve: EllipticCurve, given: GivenNumbers<'_>) -> Result<KeyMaterial, FieldViolation> {
    let length = match curve {
        EllipticCurve::P256 => 32,
        EllipticCurve::P384 => 48,
    };
    number("x", given.x, length)?;
    number("y", given.y, length)?;
    Ok(KeyMaterial::Ec {
        curve,
        x: given.x.to_owned(),
        y: given.y.to_owned(),
    })
}

fn number(field: &str, given: &str, length: usize) -> Result<(), FieldViolation> {
    let found = decoded(field, given)?.len();
    if found == length {
        return Ok(());
    }
    let reason = format!("has {found} bytes instead of {length}");
    Err(FieldViolation::new(field, reason))
}

fn decoded(field: &str, given: &str) -> Result<Vec<u8>, FieldViolation> {
    if given.is_empty() {
        return Err(FieldViolation::new(field, "is required: set it"));
    }
    // Also bounds the work: two thousand bytes are far beyond every key.
    let bytes = (given.len() <= 2 * 1024).then(|| URL_SAFE_NO_PAD.decode(given));
    bytes.and_then(Result::ok).ok_or_else(|| {
        FieldViolation::new(
            field,
            "is not base64url without padding: copy it from the key set",
        )
    })
}
