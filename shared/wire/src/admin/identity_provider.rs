//! Conversion of identity providers and of the lists of gateways that admit their callers. Keys are checked here, so that
//! weak ones and private ones are never stored.

use toolgate_model::{
    AdmittedProvider, ClaimMapping, ClaimPath, EllipticCurve, FetchedKeys, IdentityProvider,
    KeyMaterial, RequiredClaim, SignatureAlgorithm, VerificationKey,
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
            keys: keys("spec.keys", &spec.keys)?,
            jwks_url: jwks_url(spec)?,
            claims,
            fetched: fetched(proto.status.as_ref())?,
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
                jwks_url: self.jwks_url.clone().unwrap_or_default(),
            }),
            status: fetched_to_proto(&self.fetched),
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

/// Validates the URL of the key set; `None` if it is empty.
fn jwks_url(spec: &pb::IdentityProviderSpec) -> Result<Option<String>, FieldViolation> {
    let (field, given) = ("spec.jwks_url", spec.jwks_url.as_str());
    if given.is_empty() {
        return Ok(None);
    }
    if !spec.keys.is_empty() {
        let reason = "must be empty together with `keys`: list the keys, or have them fetched";
        return Err(FieldViolation::new(field, reason));
    }
    let text = field::bounded(field, given, limits::URL)?;
    let url = text.parse::<url::Url>().ok();
    let fits = |url: &url::Url| {
        let scheme = matches!(url.scheme(), "http" | "https");
        scheme && url.host().is_some() && url.username().is_empty() && url.password().is_none()
    };
    if url.as_ref().is_some_and(fits) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(Some(text));
    }
    let reason = "is not an absolute http or https URL";
    Err(FieldViolation::new(field, reason))
}

fn fetched(given: Option<&pb::IdentityProviderStatus>) -> Result<FetchedKeys, FieldViolation> {
    let Some(given) = given else {
        return Ok(FetchedKeys::default());
    };
    let time = |field: &str, given| field::timestamp(field, given).map(Option::unwrap_or_default);
    Ok(FetchedKeys {
        keys: keys("status.keys", &given.keys)?,
        fetched: time("status.fetch_time", given.fetch_time.as_ref())?,
        // Text of the control plane, which no one can correct: it is cut, and never refused.
        problem: match given.problem.replace(char::is_control, " ") {
            text if text.is_empty() => None,
            text => Some(toolgate_model::text::truncated(&text, limits::REASON).to_owned()),
        },
        problem_since: time(
            "status.problem_since_time",
            given.problem_since_time.as_ref(),
        )?,
        problem_updated: time(
            "status.problem_update_time",
            given.problem_update_time.as_ref(),
        )?,
    })
}

fn fetched_to_proto(given: &FetchedKeys) -> Option<pb::IdentityProviderStatus> {
    (*given != FetchedKeys::default()).then(|| pb::IdentityProviderStatus {
        keys: given.keys.iter().map(key_to_proto).collect(),
        fetch_time: field::to_known_timestamp(given.fetched),
        problem: given.problem.clone().unwrap_or_default(),
        problem_since_time: field::to_known_timestamp(given.problem_since),
        problem_update_time: field::to_known_timestamp(given.problem_updated),
    })
}

/// Reads a JSON Web Key Set of a provider: the usable keys, at most `limit`, which may be none. Keys for other purposes, of other
/// types or of no sufficient strength are left out, as providers list them as well.
pub fn key_set(text: &[u8], limit: usize) -> Result<Vec<VerificationKey>, &'static str> {
    let set: serde_json::Value =
        serde_json::from_slice(text).map_err(|_malformed| "is not JSON")?;
    let members = set.get("keys").and_then(serde_json::Value::as_array);
    let members = members.ok_or("has no list `keys`")?;
    let usable = members.iter().filter_map(|member| {
        let text = |name: &str| match member.get(name) {
            None => Some(String::new()),
            Some(value) => value.as_str().map(str::to_owned),
        };
        let given = pb::JsonWebKey {
            kid: text("kid")?,
            kty: text("kty")?,
            alg: text("alg")?,
            r#use: text("use")?,
            crv: text("crv")?,
            n: text("n")?,
            e: text("e")?,
            x: text("x")?,
            y: text("y")?,
        };
        key(&given).ok()
    });
    let all: Vec<VerificationKey> = usable.collect();
    let is_named_once = |key: &&VerificationKey| {
        let same = all.iter().filter(|other| other.id == key.id);
        key.id.is_empty() || same.count() == 1
    };
    // Of two keys with one id, none could be chosen.
    let mut found: Vec<VerificationKey> = all.iter().filter(is_named_once).cloned().collect();
    // A provider that lists the same keys in another order has not changed them.
    found.sort_by_cached_key(|key| (key.id.clone(), format!("{:?}", key.material)));
    found.dedup();
    found.truncate(limit);
    Ok(found)
}

fn keys(field: &str, given: &[pb::JsonWebKey]) -> Result<Vec<VerificationKey>, FieldViolation> {
    let found = field::each(field, given, limits::PROVIDER_KEYS, key)?;
    for (at, key) in found.iter().enumerate() {
        let mut earlier = found.iter().take(at);
        if !key.id.is_empty() && earlier.any(|earlier| earlier.id == key.id) {
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
