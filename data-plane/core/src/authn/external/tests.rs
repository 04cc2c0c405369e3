//! Tests of callers of identity providers: who is admitted, at which gateway, until when; and that what was admitted ends with
//! the provider, its key, or its requirement.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use toolgate_model::{
    ClaimPath, EllipticCurve, KeyMaterial, RequiredClaim, SignatureAlgorithm, Snapshot,
    SnapshotResource,
};

use super::*;
use crate::{
    View,
    authn::authenticate::authenticate_jwt,
    fixture::{NOW, gateway, hash, insert, slug, test_servers, test_snapshot},
    notify::view_change,
};

/// Verifier by which a signature is the digest of the key, the algorithm and the signed text.
struct DigestSignatures;

impl SignatureVerifier for DigestSignatures {
    fn is_valid(
        &self,
        key: &VerificationKey,
        algorithm: SignatureAlgorithm,
        signed: &str,
        signature: &str,
    ) -> bool {
        sign(&key.material, algorithm, signed) == signature
    }
}

fn sign(material: &KeyMaterial, algorithm: SignatureAlgorithm, signed: &str) -> String {
    URL_SAFE_NO_PAD.encode(Digest::of(&(material, algorithm, signed)).0)
}

fn rsa(id: &str) -> VerificationKey {
    VerificationKey {
        id: id.to_owned(),
        algorithm: None,
        material: KeyMaterial::Rsa {
            n: format!("modulus of {id}"),
            e: "AQAB".to_owned(),
        },
    }
}

fn ec(id: &str) -> VerificationKey {
    VerificationKey {
        id: id.to_owned(),
        algorithm: None,
        material: KeyMaterial::Ec {
            curve: EllipticCurve::P256,
            x: id.to_owned(),
            y: id.to_owned(),
        },
    }
}

const ISSUER: &str = "https://login.example.com";

fn issuer() -> TrustedIssuer {
    TrustedIssuer {
        provider: slug("corp"),
        uid: Uid::of(&"corp"),
        issuer: ISSUER.to_owned(),
        audiences: vec!["toolgate".to_owned(), "https://mcp.example.com".to_owned()],
        algorithms: vec![SignatureAlgorithm::RS256, SignatureAlgorithm::ES256],
        keys: vec![rsa("a"), rsa("b"), ec("c")],
        subject: ClaimPath::new("sub").unwrap(),
        required: Vec::new(),
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "toolgate", "sub": "ada", "exp": 1_600, "iat": 990,
        "groups": ["dev", "mcp"], "realm": {"roles": ["user"]},
    })
}

/// Returns a token with this header and these claims, signed with `key`.
fn signed(key: &VerificationKey, header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let algorithm = header["alg"].as_str().and_then(SignatureAlgorithm::named);
    let algorithm = algorithm.unwrap_or(SignatureAlgorithm::RS256);
    let signature = sign(&key.material, algorithm, &text);
    format!("{text}.{signature}")
}

fn token_of(claims: &Value) -> String {
    signed(
        &rsa("a"),
        &json!({"alg": "RS256", "kid": "a", "typ": "at+jwt"}),
        claims,
    )
}

fn snapshot(gateways: &[(&str, &[TrustedIssuer])]) -> Snapshot {
    let mut snapshot = test_snapshot(&test_servers());
    for (id, issuers) in gateways {
        let mut resource = gateway(&test_servers());
        resource.identity_providers = issuers.to_vec();
        insert(
            &mut snapshot,
            "acme",
            id,
            SnapshotResource::Gateway(resource),
        );
    }
    snapshot
}

fn view(issuers: &[TrustedIssuer]) -> View {
    View::build(&snapshot(&[("main", issuers)]), None).0
}

fn caller_at(view: &View, gateway: &str, token: &str) -> Result<Caller, TokenFault> {
    let gateway = view.gateway(gateway).map(|gateway| &**gateway);
    let answer = authenticate_jwt(gateway, token, &hash(token), &DigestSignatures, NOW);
    answer.map_err(|refusal| {
        let Refusal::InvalidToken(fault) = refusal else {
            panic!("{refusal:?}");
        };
        fault
    })
}

fn fault_of(token: &str) -> Option<TokenFault> {
    caller_at(&view(&[issuer()]), "main", token).err()
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_verified_token_stands_for_a_subject_of_the_provider_until_it_expires() {
    let view = view(&[issuer()]);
    let caller = caller_at(&view, "main", &token_of(&claims())).unwrap();
    assert_eq!(caller.principal().to_string(), "acme/idp:corp:ada");
    assert_eq!(caller.authn().kind, AuthnKind::IdentityProvider);
    let until = Timestamp(1_600_000).after(CLOCK_SKEW);
    assert_eq!(caller.authn().expires, Some(until));
    assert!(caller.may_enter(view.gateway("main").unwrap()));
    // A later token of the same subject is the same principal, and another proof.
    let later = caller_at(&view, "main", &token_of(&with("iat", json!(991)))).unwrap();
    assert_eq!(later.principal(), caller.principal());
    assert_ne!(later.authn().id, caller.authn().id);
    // A provider made again under the same name has other principals.
    let again = TrustedIssuer {
        uid: Uid::of(&"again"),
        ..issuer()
    };
    let view = self::view(&[again]);
    let other = caller_at(&view, "main", &token_of(&claims())).unwrap();
    assert_ne!(other.principal().identity(), caller.principal().identity());
}

#[test]
fn oa06_a_token_is_for_one_of_the_audiences() {
    for good in [
        json!("toolgate"),
        json!("https://mcp.example.com"),
        json!(["other", "toolgate"]),
    ] {
        assert_eq!(fault_of(&token_of(&with("aud", good))), None);
    }
    for bad in [
        json!("Toolgate"),
        json!("toolgate "),
        json!("toolgate other"),
        json!("https://mcp.example.com/"),
        json!([]),
        json!(["other"]),
        json!(["toolgate", 1]),
        json!({"toolgate": true}),
        json!(null),
    ] {
        let fault = fault_of(&token_of(&with("aud", bad.clone())));
        assert_eq!(fault, Some(TokenFault::Audience), "{bad}");
    }
    assert_eq!(
        fault_of(&token_of(&without("aud"))),
        Some(TokenFault::Audience)
    );
}

#[test]
fn oa06_a_token_for_a_gateway_is_of_no_use_at_another_one() {
    let other = TrustedIssuer {
        issuer: "https://other.example".to_owned(),
        ..issuer()
    };
    let snapshot = snapshot(&[
        ("main", &[issuer()]),
        ("same", &[issuer()]),
        ("other", &[other]),
        ("closed", &[]),
    ]);
    let (view, _) = View::build(&snapshot, None);
    let token = token_of(&claims());
    let caller = caller_at(&view, "main", &token).unwrap();
    // A caller that one gateway admitted may not enter another gateway, even if that gateway trusts the same issuer.
    for id in ["same", "other", "closed"] {
        assert!(!caller.may_enter(view.gateway(id).unwrap()), "{id}");
        assert!(!view_change::is_served(
            &view,
            &slug(id),
            &caller.authn().id
        ));
    }
    assert!(view_change::is_served(
        &view,
        &slug("main"),
        &caller.authn().id
    ));
    // A gateway that does not exist, and a gateway that does not trust the issuer, give the same answer.
    for id in ["other", "closed", "absent"] {
        let fault = caller_at(&view, id, &token).unwrap_err();
        assert_eq!(fault, TokenFault::UnknownIssuer, "{id}");
    }
    let keys = ["main", "same", "other"].map(|id| {
        let gateway = view.gateway(id).unwrap();
        gateway.verdict_key(&hash(&token)).unwrap()
    });
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
}

#[test]
fn oa07_without_a_valid_signature_the_answer_does_not_tell_what_a_gateway_trusts() {
    let snapshot = snapshot(&[("main", &[issuer()]), ("closed", &[])]);
    let (view, _) = View::build(&snapshot, None);
    let whole = token_of(&claims());
    let (text, _) = whole.rsplit_once('.').unwrap();
    let header = |algorithm: &str, key: &str| json!({"alg": algorithm, "kid": key});
    let forged = [
        format!("{text}.AAAA"),
        signed(&rsa("a"), &header("HS256", "a"), &claims()),
        signed(&rsa("a"), &header("RS256", "z"), &claims()),
        token_of(&with("iss", json!("https://eve.example"))),
    ];
    let mut answers = std::collections::BTreeSet::new();
    let mut kinds = std::collections::BTreeSet::new();
    for token in &forged {
        for id in ["main", "closed", "absent"] {
            let fault = caller_at(&view, id, token).unwrap_err();
            kinds.insert(fault.kind());
            answers.insert((fault.status(), fault.error(), fault.description()));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert_eq!(
        kinds.len(),
        4,
        "logs and metrics have the reason: {kinds:?}"
    );
}

#[test]
fn oa07_the_key_and_the_algorithm_are_those_of_the_issuer() {
    let token = |key: &VerificationKey, header: Value| signed(key, &header, &claims());
    let cases = [
        (token(&rsa("b"), json!({"alg": "RS256", "kid": "b"})), None),
        (token(&ec("c"), json!({"alg": "ES256", "kid": "c"})), None),
        // Without an id: one key fits, two keys fit.
        (token(&ec("c"), json!({"alg": "ES256"})), None),
        (
            token(&rsa("a"), json!({"alg": "RS256"})),
            Some(TokenFault::UnknownKey),
        ),
        (
            token(&rsa("a"), json!({"alg": "RS256", "kid": "z"})),
            Some(TokenFault::UnknownKey),
        ),
        (
            token(&rsa("a"), json!({"alg": "RS256", "kid": "b"})),
            Some(TokenFault::Signature),
        ),
        (
            token(&rsa("a"), json!({"alg": "RS256", "kid": "c"})),
            Some(TokenFault::UnknownKey),
        ),
        (
            token(&rsa("a"), json!({"alg": "PS256", "kid": "a"})),
            Some(TokenFault::Algorithm),
        ),
        (
            token(&rsa("a"), json!({"alg": "none", "kid": "a"})),
            Some(TokenFault::Algorithm),
        ),
        (
            token(&rsa("a"), json!({"alg": "HS256", "kid": "a"})),
            Some(TokenFault::Algorithm),
        ),
    ];
    for (token, expected) in cases {
        assert_eq!(fault_of(&token), expected, "{token}");
    }
    let whole = token_of(&claims());
    let forged = token_of(&with("sub", json!("eve")));
    let (signed, _) = forged.rsplit_once('.').unwrap();
    let (_, signature) = whole.rsplit_once('.').unwrap();
    assert_eq!(
        fault_of(&format!("{signed}.{signature}")),
        Some(TokenFault::Signature)
    );
    for iss in [
        "https://login.example.com/",
        "https://LOGIN.example.com",
        "https://eve.example",
    ] {
        let fault = fault_of(&token_of(&with("iss", json!(iss))));
        assert_eq!(fault, Some(TokenFault::UnknownIssuer), "{iss}");
    }
}

#[test]
fn oa07_a_token_is_valid_for_a_bounded_time() {
    let fault = |name: &str, seconds: i64| fault_of(&token_of(&with(name, json!(seconds))));
    // It is second 1,000.
    assert_eq!(fault("exp", 971), None);
    assert_eq!(fault("exp", 970), Some(TokenFault::Expired));
    assert_eq!(
        fault_of(&token_of(&without("exp"))),
        Some(TokenFault::Expired)
    );
    assert_eq!(fault("exp", 1_000 + 31 * 86_400), None);
    assert_eq!(fault("exp", 1_001 + 31 * 86_400), Some(TokenFault::Expired));
    assert_eq!(fault("exp", i64::MAX), Some(TokenFault::Malformed));
    assert_eq!(fault("nbf", 1_030), None);
    assert_eq!(fault("nbf", 1_031), Some(TokenFault::NotYetValid));
    assert_eq!(fault("iat", 1_030), None);
    assert_eq!(fault("iat", 1_031), Some(TokenFault::NotYetValid));
}

#[test]
fn a_subject_is_a_short_text_without_spaces() {
    for bad in [
        json!(""),
        json!(1),
        json!(["ada"]),
        json!("a\nb"),
        json!("a b"),
        json!("x".repeat(201)),
    ] {
        let fault = fault_of(&token_of(&with("sub", bad.clone())));
        assert_eq!(fault, Some(TokenFault::Subject), "{bad}");
    }
    assert_eq!(
        fault_of(&token_of(&without("sub"))),
        Some(TokenFault::Subject)
    );
    let mapped = TrustedIssuer {
        subject: ClaimPath::new("/realm/id").unwrap(),
        ..issuer()
    };
    let token = token_of(&with("realm", json!({"id": "ada@example.com"})));
    let caller = caller_at(&view(&[mapped]), "main", &token).unwrap();
    assert_eq!(
        caller.principal().to_string(),
        "acme/idp:corp:ada@example.com"
    );
}

#[test]
fn a_caller_has_one_value_of_each_required_claim() {
    let required = |claim: &str, values: &[&str]| RequiredClaim {
        claim: ClaimPath::new(claim).unwrap(),
        values: values.iter().map(|it| (*it).to_owned()).collect(),
    };
    let fault = |required: &[RequiredClaim]| {
        let issuer = TrustedIssuer {
            required: required.to_vec(),
            ..issuer()
        };
        caller_at(&view(&[issuer]), "main", &token_of(&claims())).err()
    };
    let (groups, roles) = (
        required("groups", &["ops", "mcp"]),
        required("/realm/roles", &["user"]),
    );
    assert_eq!(fault(&[groups.clone(), roles.clone()]), None);
    for missing in [
        required("groups", &["ops"]),
        required("groups", &["MCP", "mc", "dev,mcp"]),
        required("department", &["x"]),
        required("realm", &["user"]),
        required("exp", &["1600"]),
    ] {
        let found = fault(&[groups.clone(), missing.clone()]);
        assert_eq!(found, Some(TokenFault::Requirement), "{missing:?}");
    }
}

#[test]
fn of_two_providers_with_one_issuer_either_admits() {
    let mobile = TrustedIssuer {
        provider: slug("mobile"),
        uid: Uid::of(&"mobile"),
        audiences: vec!["mobile".to_owned()],
        ..issuer()
    };
    let view = view(&[issuer(), mobile]);
    let token = token_of(&with("aud", json!("mobile")));
    let caller = caller_at(&view, "main", &token).unwrap();
    assert_eq!(caller.principal().to_string(), "acme/idp:mobile:ada");
    // The reason is that of the provider that came closest.
    let token = token_of(&with("exp", json!(1)));
    assert_eq!(
        caller_at(&view, "main", &token).unwrap_err(),
        TokenFault::Expired
    );
}

#[test]
fn oa08_what_was_admitted_ends_with_the_provider_the_key_or_the_requirement() {
    let before = view(&[issuer()]);
    let id = caller_at(&before, "main", &token_of(&claims()))
        .unwrap()
        .authn()
        .id;
    let changed = |issuers: &[TrustedIssuer]| {
        let (after, _) = View::build(&snapshot(&[("main", issuers)]), Some(&before));
        let is_served = view_change::is_served(&after, &slug("main"), &id);
        assert_eq!(after.is_known(&id), is_served);
        is_served
    };
    let of = |change: fn(&mut TrustedIssuer)| {
        let mut issuer = issuer();
        change(&mut issuer);
        [issuer]
    };
    assert!(changed(&[issuer()]));
    // A rotation adds a key, and later removes the one before.
    assert!(changed(&of(|it| it.keys.push(rsa("d")))));
    assert!(changed(&of(|it| it.keys.retain(|key| key.id == "a"))));
    assert!(!changed(&of(|it| it.keys.retain(|key| key.id != "a"))));
    assert!(!changed(&[]));
    assert!(!changed(&of(|it| it.audiences = vec!["other".to_owned()])));
    assert!(!changed(&of(
        |it| it.algorithms = vec![SignatureAlgorithm::ES256]
    )));
    assert!(!changed(&of(|it| {
        it.required.push(RequiredClaim {
            claim: ClaimPath::new("groups").unwrap(),
            values: vec!["ops".to_owned()],
        });
    })));
    let key = |view: &View| view.gateway("main").unwrap().verdict_key(&hash("x"));
    let (after, _) = View::build(
        &snapshot(&[("main", &of(|it| it.keys.clear()))]),
        Some(&before),
    );
    assert_ne!(
        key(&before),
        key(&after),
        "no verdict is used after a change"
    );
    // The id of an API token is none of an anchor.
    assert!(!before.is_known(&AuthnId([7; 32])));
}
