//! Tests of the types of identity providers: which key serves which algorithm, and where a claim is found.

use serde_json::json;

use super::*;

#[test]
fn a_key_serves_the_algorithms_of_its_type_only() {
    let ec = |curve| KeyMaterial::Ec {
        curve,
        x: String::new(),
        y: String::new(),
    };
    let keys = [
        (
            KeyMaterial::Rsa {
                n: String::new(),
                e: String::new(),
            },
            "RS256 RS384 RS512 PS256 PS384 PS512",
        ),
        (ec(EllipticCurve::P256), "ES256"),
        (ec(EllipticCurve::P384), "ES384"),
        (KeyMaterial::Ed25519 { x: String::new() }, "EdDSA"),
    ];
    for (material, served) in keys {
        let all = SignatureAlgorithm::ALL.into_iter();
        let fits: Vec<_> = all.filter(|it| material.fits(*it)).collect();
        let names: Vec<_> = fits.iter().map(|it| it.as_str()).collect();
        assert_eq!(names.join(" "), served);
        for only in SignatureAlgorithm::ALL {
            let key = VerificationKey {
                id: String::new(),
                algorithm: Some(only),
                material: material.clone(),
            };
            let fits: Vec<_> = SignatureAlgorithm::ALL
                .into_iter()
                .filter(|it| key.fits(*it))
                .collect();
            assert!(fits.iter().all(|it| *it == only), "{only:?}: {fits:?}");
        }
    }
    for name in ["none", "HS256", "rs256", "ES512", ""] {
        assert_eq!(SignatureAlgorithm::named(name), None, "{name}");
    }
}

#[test]
fn a_claim_is_a_member_or_a_pointer_into_nested_members() {
    let claims = json!({
        "sub": "ada",
        "https://example.com/groups": ["a"],
        "realm_access": {"roles": ["b"]},
    });
    let value = |path: &str| ClaimPath::new(path).unwrap().of(&claims).cloned();
    assert_eq!(value("sub"), Some(json!("ada")));
    assert_eq!(value("https://example.com/groups"), Some(json!(["a"])));
    assert_eq!(value("/realm_access/roles"), Some(json!(["b"])));
    assert_eq!(value("/realm_access/groups"), None);
    assert_eq!(value("realm_access.roles"), None);
    let long = "x".repeat(ClaimPath::LIMIT + 1);
    for bad in ["", "/", "a\nb", &long] {
        assert_eq!(ClaimPath::new(bad), Err(InvalidClaimPath), "{bad:?}");
    }
}
