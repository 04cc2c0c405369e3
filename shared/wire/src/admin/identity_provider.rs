//! Conversion of identity providers and of the lists of gateways that admit their callers. Keys are checked here, so that
//! weak ones and private ones are never stored.

use toolgate_model::{
    AdmittedProvider, ClaimMapping, ClaimPath, EllipticCurve, IdentityProvider, KeyMaterial,
    RequiredClaim, SignatureAlgorithm, VerificationKey,
};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    key_material::{self, GivenNumbers},
    limits, resource_name,
};

#[cfg(test)]
mod tests;

invalid! {
    /// Error of an invalid message of an identity provider.
    InvalidIdentityProvider: "identity provider";
}

impl ProtoConversion for IdentityProvider {
    type Proto = pb::IdentityProvider;
    type Invalid = InvalidIdentityProvider;

    fn from_proto(proto: &pb::IdentityProvider) -> Result<Self, InvalidIdentityProvider> {
        let empty = pb::IdentityProviderSpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = resource_name::parse::<IdentityProvider>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let usual = ClaimMapping::default();
        let claims = ClaimMapping {
            subject: claim("spec.subject_claim", &spec.subject_claim, usual.subject)?,
            groups: claim("spec.groups_claim", &spec.groups_claim, usual.groups)?,
        };
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            issuer: issuer("spec.issuer", &spec.issuer)?,
            audiences: audiences("spec.audiences", &spec.audiences)?,
            algorithms: algorithms("spec.algorithms", &spec.algorithms)?,
            keys: keys(&spec.keys)?,
            claims,
        })
    }

    fn to_proto(&self) -> pb::IdentityProvider {
        let algorithms = self.algorithms.iter().map(|it| it.as_str().to_owned());
        pb::IdentityProvider {
            metadata: meta_to_proto(
                resource_name::format::<IdentityProvider>(&self.name),
                &self.meta,
            ),
            spec: Some(pb::IdentityProviderSpec {
                description: self.meta.description.clone(),
                issuer: self.issuer.clone(),
                audiences: self.audiences.clone(),
                algorithms: algorithms.collect(),
                keys: self.keys.iter().map(key_to_proto).collect(),
                subject_claim: self.claims.subject.as_str().to_owned(),
                groups_claim: self.claims.groups.as_str().to_owned(),
            }),
        }
    }
}

/// Validates the issuer: an absolute URL without query and fragment, kept as it is written.
pub(crate) fn issuer(field: &str, given: &str) -> Result<String, FieldViolation> {
    let text = field::required(field, given, limits::CLAIM_TEXT)?;
    let parsed = text.parse::<url::Url>().ok();
    let fits = |url: &url::Url| {
        matches!(url.scheme(), "http" | "https")
            && url.host().is_some()
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    };
    if parsed.as_ref().is_some_and(fits) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text);
    }
    let reason = "is not an issuer: use its absolute URL without query, e.g. `https://login.example.com`, as tokens have it in \
                  `iss`";
    Err(FieldViolation::new(field, reason))
}

/// Validates the audiences, of which there is at least one.
pub(crate) fn audiences(field: &str, given: &[String]) -> Result<Vec<String>, FieldViolation> {
    if given.is_empty() {
        let reason = "is required: list the value that tokens for Toolgate have in `aud`; a token for another service would \
                      be admitted otherwise";
        return Err(FieldViolation::new(field, reason));
    }
    values(field, given, limits::AUDIENCES)
}

/// Validates names of algorithms. An empty list selects RS256.
pub(crate) fn algorithms(
    field: &str,
    given: &[String],
) -> Result<Vec<SignatureAlgorithm>, FieldViolation> {
    field::max_count(field, given.len(), SignatureAlgorithm::ALL.len())?;
    let mut found = Vec::new();
    for (at, name) in given.iter().enumerate() {
        found.push(algorithm(&format!("{field}[{at}]"), name)?);
    }
    if found.is_empty() {
        found.push(SignatureAlgorithm::RS256);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

pub(crate) fn algorithm(field: &str, name: &str) -> Result<SignatureAlgorithm, FieldViolation> {
    SignatureAlgorithm::named(name).ok_or_else(|| {
        let names = SignatureAlgorithm::ALL.map(SignatureAlgorithm::as_str);
        let given: String = name.chars().take(20).collect();
        let reason = format!(
            "`{given}` is not an algorithm with a public key: use {}",
            names.join(", ")
        );
        FieldViolation::new(field, reason)
    })
}

/// Validates a list of texts without repetitions, and sorts it.
pub(crate) fn values(
    field: &str,
    given: &[String],
    max: usize,
) -> Result<Vec<String>, FieldViolation> {
    field::max_count(field, given.len(), max)?;
    let mut found = Vec::new();
    for (at, text) in given.iter().enumerate() {
        let path = format!("{field}[{at}]");
        field::required(&path, text, limits::CLAIM_TEXT)?;
        found.push(field::line(&path, text, limits::CLAIM_TEXT)?);
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Validates the required values of a claim, of which there is at least one.
pub(crate) fn required_values(given: &[String]) -> Result<Vec<String>, FieldViolation> {
    if given.is_empty() {
        let reason = "is required: list the values of which the claim has to have one";
        return Err(FieldViolation::new("values", reason));
    }
    values("values", given, limits::REQUIRED_VALUES)
}

fn claim(field: &str, given: &str, usual: ClaimPath) -> Result<ClaimPath, FieldViolation> {
    match given {
        "" => Ok(usual),
        text => claim_path(field, text),
    }
}

pub(crate) fn claim_path(field: &str, given: &str) -> Result<ClaimPath, FieldViolation> {
    ClaimPath::new(given).map_err(|invalid| FieldViolation::new(field, invalid))
}

/// Validates the providers that a gateway admits.
pub(super) fn admitted(
    given: &[pb::AdmittedProvider],
) -> Result<Vec<AdmittedProvider>, FieldViolation> {
    let field = "spec.identity_providers";
    let found = field::each(field, given, limits::ADMITTED_PROVIDERS, |given| {
        let claims = field::each("claims", &given.claims, limits::REQUIRED_CLAIMS, |given| {
            Ok(RequiredClaim {
                claim: claim_path("claim", &given.claim)?,
                values: required_values(&given.values)?,
            })
        });
        Ok(AdmittedProvider {
            provider: field::slug("provider", &given.provider)?,
            groups: values("groups", &given.groups, limits::REQUIRED_VALUES)?,
            claims: claims?,
        })
    })?;
    for (at, admitted) in found.iter().enumerate() {
        let mut earlier = found.iter().take(at);
        if earlier.any(|it| it.provider == admitted.provider) {
            let reason = format!("`{}` is listed already: keep one entry", admitted.provider);
            return Err(FieldViolation::new(
                format!("{field}[{at}].provider"),
                reason,
            ));
        }
    }
    Ok(found)
}

pub(super) fn admitted_to_proto(given: &[AdmittedProvider]) -> Vec<pb::AdmittedProvider> {
    let claim = |given: &RequiredClaim| pb::RequiredClaim {
        claim: given.claim.as_str().to_owned(),
        values: given.values.clone(),
    };
    let one = |given: &AdmittedProvider| pb::AdmittedProvider {
        provider: given.provider.to_string(),
        groups: given.groups.clone(),
        claims: given.claims.iter().map(claim).collect(),
    };
    given.iter().map(one).collect()
}

fn keys(given: &[pb::JsonWebKey]) -> Result<Vec<VerificationKey>, FieldViolation> {
    let field = "spec.keys";
    let found = field::each(field, given, limits::PROVIDER_KEYS, key)?;
    for (at, key) in found.iter().enumerate() {
        if found.iter().take(at).any(|earlier| earlier.id == key.id) {
            let reason =
                "another key has this id: tokens name one of them; keep one, or give each its own";
            return Err(FieldViolation::new(format!("{field}[{at}].kid"), reason));
        }
    }
    Ok(found)
}

fn key(given: &pb::JsonWebKey) -> Result<VerificationKey, FieldViolation> {
    if !matches!(given.r#use.as_str(), "" | "sig") {
        let reason = "is not `sig`: list keys for signatures only";
        return Err(FieldViolation::new("use", reason));
    }
    let numbers = GivenNumbers {
        n: &given.n,
        e: &given.e,
        x: &given.x,
        y: &given.y,
    };
    let material = key_material::checked(&given.kty, &given.crv, numbers)?;
    let algorithm = match given.alg.as_str() {
        "" => None,
        name => Some(algorithm("alg", name)?),
    };
    if let Some(algorithm) = algorithm.filter(|it| !material.fits(*it)) {
        let reason = format!("a key of this type is not for {}", algorithm.as_str());
        return Err(FieldViolation::new("alg", reason));
    }
    Ok(VerificationKey {
        id: field::line("kid", &given.kid, limits::CLAIM_TEXT)?,
        algorithm,
        material,
    })
}

fn key_to_proto(given: &VerificationKey) -> pb::JsonWebKey {
    let algorithm = given.algorithm.map(SignatureAlgorithm::as_str);
    let mut key = pb::JsonWebKey {
        kid: given.id.clone(),
        alg: algorithm.unwrap_or_default().to_owned(),
        ..pb::JsonWebKey::default()
    };
    match &given.material {
        KeyMaterial::Rsa { n, e } => {
            "RSA".clone_into(&mut key.kty);
            (key.n, key.e) = (n.clone(), e.clone());
        }
        KeyMaterial::Ec { curve, x, y } => {
            "EC".clone_into(&mut key.kty);
            key.crv = match curve {
                EllipticCurve::P256 => "P-256".to_owned(),
                EllipticCurve::P384 => "P-384".to_owned(),
            };
            (key.x, key.y) = (x.clone(), y.clone());
        }
        KeyMaterial::Ed25519 { x } => {
            "OKP".clone_into(&mut key.kty);
            "Ed25519".clone_into(&mut key.crv);
            key.x.clone_from(x);
        }
    }
    key
}
