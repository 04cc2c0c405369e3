//! Proptest strategies for identity providers and the gateways that admit their callers.

use proptest::{collection, option, prelude::*};
use toolgate_model::*;

use super::{meta, name, slug, timestamp};

/// Generates what a gateway requires of the callers of a provider.
pub(super) fn admitted() -> impl Strategy<Value = AdmittedProvider> {
    let claim = (claim_path(), claim_values(1));
    let claim = claim.prop_map(|(claim, values)| RequiredClaim { claim, values });
    let claims = collection::vec(claim, 0..3);
    (slug(), claim_values(0), claims).prop_map(|(provider, groups, claims)| AdmittedProvider {
        provider,
        groups,
        claims,
    })
}

/// Generates sorted values, `least` of them or more.
fn claim_values(least: usize) -> impl Strategy<Value = Vec<String>> {
    let values = collection::btree_set("\\PC{1,20}", least..4);
    values.prop_map(|values| values.into_iter().collect())
}

fn claim_path() -> impl Strategy<Value = ClaimPath> {
    "/?[a-z:._]{1,20}".prop_map(|text| ClaimPath::new(text).unwrap())
}

fn number(length: usize) -> impl Strategy<Value = String> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    collection::vec(0x80..=0xff_u8, length).prop_map(|bytes| URL_SAFE_NO_PAD.encode(bytes))
}

fn verification_keys() -> impl Strategy<Value = Vec<VerificationKey>> {
    let rsa = number(256).prop_map(|n| KeyMaterial::Rsa {
        n,
        e: "AQAB".to_owned(),
    });
    let ec = |curve, length| {
        (number(length), number(length)).prop_map(move |(x, y)| KeyMaterial::Ec { curve, x, y })
    };
    let material = prop_oneof![
        rsa,
        ec(EllipticCurve::P256, 32),
        ec(EllipticCurve::P384, 48),
        number(32).prop_map(|x| KeyMaterial::Ed25519 { x })
    ];
    let key = (material, any::<bool>()).prop_map(|(material, is_bound)| {
        let mut all = SignatureAlgorithm::ALL.into_iter();
        let algorithm = all.find(|it| is_bound && material.fits(*it));
        (material, algorithm)
    });
    collection::btree_map("\\PC{0,10}", key, 0..3).prop_map(|keys| {
        let keys = keys.into_iter();
        let key = |(id, (material, algorithm))| VerificationKey {
            id,
            algorithm,
            material,
        };
        keys.map(key).collect()
    })
}

fn algorithms() -> impl Strategy<Value = Vec<SignatureAlgorithm>> {
    proptest::sample::subsequence(SignatureAlgorithm::ALL.to_vec(), 1..4)
}

pub(crate) fn identity_provider() -> impl Strategy<Value = IdentityProvider> {
    let issuer = "https://[a-z]{1,10}\\.example(/[a-zA-Z0-9]{0,8}){0,2}";
    let claims = (claim_path(), claim_path());
    let claims = claims.prop_map(|(subject, groups)| ClaimMapping { subject, groups });
    let accepted = (issuer, claim_values(1), algorithms());
    let problem = (option::of("[a-z ]{1,10}"), timestamp(), timestamp());
    let fetched = (verification_keys(), timestamp(), problem);
    let fetched = fetched.prop_map(|(keys, fetched, (problem, since, updated))| FetchedKeys {
        keys,
        fetched,
        problem,
        problem_since: since,
        problem_updated: updated,
    });
    let url = option::of("https://[a-z]{1,10}\\.example/[a-z]{0,8}");
    let keys = (verification_keys(), url, fetched);
    (name(), meta(), accepted, keys, claims).prop_map(
        |(name, meta, (issuer, audiences, algorithms), (keys, url, fetched), claims)| {
            IdentityProvider {
                jwks_url: url.filter(|_| keys.is_empty()),
                fetched,
                name,
                meta,
                issuer,
                audiences,
                algorithms,
                keys,
                claims,
            }
        },
    )
}

pub(crate) fn trusted_issuer() -> impl Strategy<Value = TrustedIssuer> {
    let required = (claim_path(), claim_values(1));
    let required = required.prop_map(|(claim, values)| RequiredClaim { claim, values });
    let required = collection::vec(required, 0..3);
    (identity_provider(), required).prop_map(|(provider, required)| TrustedIssuer {
        provider: provider.name.id,
        uid: provider.meta.uid,
        issuer: provider.issuer,
        audiences: provider.audiences,
        algorithms: provider.algorithms,
        keys: provider.keys,
        subject: provider.claims.subject,
        required,
    })
}
