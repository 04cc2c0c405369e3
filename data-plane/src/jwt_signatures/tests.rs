//! Tests of the verification of signatures, with tokens and keys of another implementation (the `crypto` module of Node.js).

use serde_json::Value;
use toolgate_model::EllipticCurve;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn key(vectors: &Value, name: &str) -> VerificationKey {
    let number = |member: &str| vectors["keys"][name][member].as_str().unwrap().to_owned();
    let ec = |curve| KeyMaterial::Ec {
        curve,
        x: number("x"),
        y: number("y"),
    };
    let material = match name {
        "rsa" => KeyMaterial::Rsa {
            n: number("n"),
            e: number("e"),
        },
        "p256" => ec(EllipticCurve::P256),
        "p384" => ec(EllipticCurve::P384),
        _ => KeyMaterial::Ed25519 { x: number("x") },
    };
    VerificationKey {
        id: name.to_owned(),
        algorithm: None,
        material,
    }
}

fn is_valid(key: &VerificationKey, algorithm: SignatureAlgorithm, token: &str) -> bool {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    JwtSignatures.is_valid(key, algorithm, signed, signature)
}

#[test]
fn each_algorithm_verifies_its_own_signatures_with_its_own_key_only() {
    let vectors = vectors();
    for algorithm in SignatureAlgorithm::ALL {
        let token = vectors["tokens"][algorithm.as_str()].as_str().unwrap();
        for name in ["rsa", "p256", "p384", "ed25519"] {
            let key = key(&vectors, name);
            for tried in SignatureAlgorithm::ALL {
                let expected = tried == algorithm && key.fits(algorithm);
                assert_eq!(
                    is_valid(&key, tried, token),
                    expected,
                    "{name} {tried:?} {algorithm:?}"
                );
            }
        }
    }
}

#[test]
fn oa_07_altered_texts_and_signatures_are_not_valid() {
    let vectors = vectors();
    for (algorithm, name) in [
        (SignatureAlgorithm::RS256, "rsa"),
        (SignatureAlgorithm::PS256, "rsa"),
        (SignatureAlgorithm::ES256, "p256"),
        (SignatureAlgorithm::ES384, "p384"),
        (SignatureAlgorithm::EdDSA, "ed25519"),
    ] {
        let key = key(&vectors, name);
        let token = vectors["tokens"][algorithm.as_str()].as_str().unwrap();
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert!(JwtSignatures.is_valid(&key, algorithm, signed, signature));
        // Zeros verify everything for an implementation that does not check the range of the numbers.
        let zeros = "A".repeat(signature.len());
        let half = &signature[..signature.len() / 2];
        for bad in ["", "AAAA", &zeros, half, &format!("{signature}AAAA"), "%%%"] {
            assert!(
                !JwtSignatures.is_valid(&key, algorithm, signed, bad),
                "{name} {bad}"
            );
        }
        let altered = format!("{signed}A");
        assert!(!JwtSignatures.is_valid(&key, algorithm, &altered, signature));
    }
    // A signature in the form of DER is none of a token.
    let token = vectors["der"].as_str().unwrap();
    assert!(!is_valid(
        &key(&vectors, "p256"),
        SignatureAlgorithm::ES256,
        token
    ));
}

#[test]
fn a_key_that_is_none_verifies_nothing() {
    let vectors = vectors();
    let token = vectors["tokens"]["ES256"].as_str().unwrap();
    let mut bad = key(&vectors, "p256");
    if let KeyMaterial::Ec { x, .. } = &mut bad.material {
        // Not on the curve.
        "A".repeat(43).clone_into(x);
    }
    assert!(!is_valid(&bad, SignatureAlgorithm::ES256, token));
}
