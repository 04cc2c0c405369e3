//! Conversion of the identity providers that a gateway trusts.

use toolgate_model::{
    EllipticCurve, KeyMaterial, RequiredClaim, SignatureAlgorithm, TrustedIssuer, VerificationKey,
};
use toolgate_proto::push::v1 as pb;

use crate::{
    admin::identity_provider::{
        algorithm, algorithms, audiences, claim_path, issuer, required_values,
    },
    field,
    invalid::FieldViolation,
    key_material::{self, GivenNumbers},
    limits,
};

pub(super) fn checked(given: &pb::TrustedIssuer) -> Result<TrustedIssuer, FieldViolation> {
    let uid = field::uid("uid", &given.uid)?;
    let required = |given: &pb::RequiredClaim| {
        Ok(RequiredClaim {
            claim: claim_path("claim", &given.claim)?,
            values: required_values(&given.values)?,
        })
    };
    let most = limits::REQUIRED_CLAIMS + 1;
    Ok(TrustedIssuer {
        provider: field::slug("provider", &given.provider)?,
        uid: uid.unwrap_or_default(),
        issuer: issuer("issuer", &given.issuer)?,
        audiences: audiences("audiences", &given.audiences)?,
        algorithms: algorithms("algorithms", &given.algorithms)?,
        keys: field::each("keys", &given.keys, limits::PROVIDER_KEYS, key)?,
        subject: claim_path("subject_claim", &given.subject_claim)?,
        required: field::each("required", &given.required, most, required)?,
    })
}

pub(super) fn to_proto(given: &TrustedIssuer) -> pb::TrustedIssuer {
    let algorithms = given.algorithms.iter().map(|it| it.as_str().to_owned());
    let required = given.required.iter().map(|given| pb::RequiredClaim {
        claim: given.claim.as_str().to_owned(),
        values: given.values.clone(),
    });
    pb::TrustedIssuer {
        provider: given.provider.to_string(),
        uid: match given.uid.is_nil() {
            true => String::new(),
            false => given.uid.to_string(),
        },
        issuer: given.issuer.clone(),
        audiences: given.audiences.clone(),
        algorithms: algorithms.collect(),
        keys: given.keys.iter().map(key_to_proto).collect(),
        subject_claim: given.subject.as_str().to_owned(),
        required: required.collect(),
    }
}

fn key(given: &pb::VerificationKey) -> Result<VerificationKey, FieldViolation> {
    let (first, second) = (given.first.as_str(), given.second.as_str());
    let rsa = GivenNumbers {
        n: first,
        e: second,
        ..GivenNumbers::default()
    };
    let point = GivenNumbers {
        x: first,
        y: second,
        ..GivenNumbers::default()
    };
    let (kty, crv, numbers) = match given.r#type.as_str() {
        "RSA" => ("RSA", "", rsa),
        "Ed25519" => ("OKP", "Ed25519", point),
        curve => ("EC", curve, point),
    };
    Ok(VerificationKey {
        id: field::line("id", &given.id, limits::CLAIM_TEXT)?,
        algorithm: match given.algorithm.as_str() {
            "" => None,
            name => Some(algorithm("algorithm", name)?),
        },
        material: key_material::checked(kty, crv, numbers)?,
    })
}

fn key_to_proto(given: &VerificationKey) -> pb::VerificationKey {
    let (kind, first, second) = match &given.material {
        KeyMaterial::Rsa { n, e } => ("RSA", n.clone(), e.clone()),
        KeyMaterial::Ec { curve, x, y } => {
            let curve = match curve {
                EllipticCurve::P256 => "P-256",
                EllipticCurve::P384 => "P-384",
            };
            (curve, x.clone(), y.clone())
        }
        KeyMaterial::Ed25519 { x } => ("Ed25519", x.clone(), String::new()),
    };
    let algorithm = given.algorithm.map(SignatureAlgorithm::as_str);
    pb::VerificationKey {
        id: given.id.clone(),
        algorithm: algorithm.unwrap_or_default().to_owned(),
        r#type: kind.to_owned(),
        first,
        second,
    }
}
