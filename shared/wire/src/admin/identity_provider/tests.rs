//! Tests of identity providers: weak and private keys, shared secrets, and providers without an audience are rejected with
//! the field named.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::*;
use crate::InvalidMessage as _;

fn number(length: usize) -> String {
    URL_SAFE_NO_PAD.encode(vec![0x9c; length])
}

fn rsa() -> pb::JsonWebKey {
    pb::JsonWebKey {
        kid: "a".to_owned(),
        kty: "RSA".to_owned(),
        n: number(256),
        e: "AQAB".to_owned(),
        ..Default::default()
    }
}

fn spec() -> pb::IdentityProviderSpec {
    pb::IdentityProviderSpec {
        issuer: "https://login.example.com/acme/".to_owned(),
        audiences: vec!["toolgate".to_owned()],
        keys: vec![rsa()],
        ..Default::default()
    }
}

fn read(spec: pb::IdentityProviderSpec) -> Result<IdentityProvider, InvalidIdentityProvider> {
    IdentityProvider::from_proto(&pb::IdentityProvider {
        metadata: Some(pb::Metadata {
            name: "organizations/acme/identityproviders/corp".to_owned(),
            ..Default::default()
        }),
        spec: Some(spec),
        status: None,
    })
}

fn rejected_field(change: impl FnOnce(&mut pb::IdentityProviderSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    read(spec).unwrap_err().field().to_owned()
}

#[test]
fn what_is_left_out_has_the_usual_value() {
    let read = read(spec()).unwrap();
    assert_eq!(read.issuer, "https://login.example.com/acme/");
    assert_eq!(read.algorithms, [SignatureAlgorithm::RS256]);
    assert_eq!(read.claims, ClaimMapping::default());
    assert_eq!(read.claims.subject.as_str(), "sub");
}

#[test]
fn a_provider_has_an_audience_and_an_issuer_as_tokens_name_it() {
    assert_eq!(rejected_field(|it| it.audiences.clear()), "spec.audiences");
    assert_eq!(
        rejected_field(|it| it.audiences.push(String::new())),
        "spec.audiences[1]"
    );
    for bad in [
        "",
        "login.example.com",
        "ftp://a.example",
        "https://a.example/?x=1",
        "https://a.example/#x",
        "https://user@a.example",
        "https://a.example/ ",
    ] {
        let field = rejected_field(|it| bad.clone_into(&mut it.issuer));
        assert_eq!(field, "spec.issuer", "{bad:?}");
    }
}

#[test]
fn oa07_shared_secrets_and_weak_keys_are_never_stored() {
    for name in ["none", "HS256", "HS512", "rs256", "ES512", ""] {
        let field = rejected_field(|it| it.algorithms = vec![name.to_owned()]);
        assert_eq!(field, "spec.algorithms[0]", "{name:?}");
    }
    type Change = fn(&mut pb::JsonWebKey);
    let bad: [(&str, Change); 12] = [
        ("kty", |key| "oct".clone_into(&mut key.kty)),
        ("kty", |key| key.kty.clear()),
        ("crv", |key| "P-256".clone_into(&mut key.crv)),
        ("crv", |key| {
            "EC".clone_into(&mut key.kty);
            "P-521".clone_into(&mut key.crv);
        }),
        // 1024 bits.
        ("n", |key| key.n = number(128)),
        // 2047 bits.
        ("n", |key| {
            key.n = URL_SAFE_NO_PAD.encode([&[0x7f][..], &[0x9c; 255]].concat());
        }),
        ("n", |key| {
            key.n = URL_SAFE_NO_PAD.encode([&[0][..], &[0x9c; 256]].concat());
        }),
        ("n", |key| key.n.push('=')),
        ("e", |key| "Aw".clone_into(&mut key.e)),
        ("use", |key| "enc".clone_into(&mut key.r#use)),
        ("alg", |key| "HS256".clone_into(&mut key.alg)),
        ("alg", |key| "ES256".clone_into(&mut key.alg)),
    ];
    for (field, change) in bad {
        let mut key = rsa();
        change(&mut key);
        let found = rejected_field(|it| it.keys = vec![key]);
        assert_eq!(found, format!("spec.keys[0].{field}"));
    }
    // Tokens name a key by its id.
    let twice = rejected_field(|it| it.keys = vec![rsa(), rsa()]);
    assert_eq!(twice, "spec.keys[1].kid");
}

#[test]
fn a_gateway_lists_a_provider_once_and_requires_values_that_exist() {
    let entry = |provider: &str| pb::AdmittedProvider {
        provider: provider.to_owned(),
        ..Default::default()
    };
    assert_eq!(admitted(&[entry("a"), entry("b")]).unwrap().len(), 2);
    let twice = admitted(&[entry("a"), entry("b"), entry("a")]).unwrap_err();
    assert_eq!(twice.field, "spec.identity_providers[2].provider");
    let claims = vec![pb::RequiredClaim {
        claim: "department".to_owned(),
        values: Vec::new(),
    }];
    let no_value = admitted(&[pb::AdmittedProvider {
        claims,
        ..entry("a")
    }]);
    // A claim without values could be read as one without a requirement.
    assert_eq!(
        no_value.unwrap_err().field,
        "spec.identity_providers[0].claims[0].values"
    );
}

#[test]
fn oa_08_the_usable_keys_of_a_key_set_are_kept_whatever_their_order() {
    let rsa = |kid: Option<&str>, fill: u8| {
        let n = URL_SAFE_NO_PAD.encode(vec![fill; 256]);
        let mut key = serde_json::json!({ "kty": "RSA", "n": n, "e": "AQAB", "x5t": "other" });
        if let Some(kid) = kid {
            key["kid"] = kid.into();
        }
        key
    };
    let left_out = [
        serde_json::json!({ "kty": "oct", "kid": "secret", "k": "c2VjcmV0" }),
        serde_json::json!({ "kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB" }),
        serde_json::json!({ "kty": "RSA", "kid": 7, "n": number(256), "e": "AQAB" }),
        serde_json::json!({ "kty": "RSA", "use": "enc", "n": number(256), "e": "AQAB" }),
        serde_json::json!("text"),
        // Tokens that name this id could be of either.
        rsa(Some("twice"), 0x91),
        rsa(Some("twice"), 0x92),
    ];
    let kept = [rsa(Some("b"), 0x81), rsa(None, 0x82), rsa(None, 0x83)];
    let mut all: Vec<_> = left_out.into_iter().chain(kept).collect();
    let read = |keys: &[serde_json::Value], limit| {
        let set = serde_json::json!({ "keys": keys }).to_string();
        key_set(set.as_bytes(), limit).unwrap()
    };
    let found = read(&all, 16);
    let ids: Vec<_> = found.iter().map(|key| key.id.as_str()).collect();
    assert_eq!(ids, ["", "", "b"]);
    all.reverse();
    assert_eq!(read(&all, 16), found, "another order is no change");
    assert_eq!(
        read(&all, 2),
        found[..2],
        "the same ones are within the limit"
    );
    assert_eq!(read(&[], 16), []);
    for bad in ["{", "[]", "{\"keys\":{}}"] {
        assert!(key_set(bad.as_bytes(), 16).is_err(), "{bad}");
    }
}
