//! Tests of authentication: a token is valid for its gateways and its lifetime, and a refusal reveals nothing about
//! tokens or gateways.

use std::collections::BTreeSet;

use toolgate_model::{AllowList, SnapshotResource};

use super::*;
use crate::fixture::{
    GatewayFixture, NOW, authn_id, hash, insert, slug, test_servers, test_snapshot, token,
};

fn ask(world: &GatewayFixture, text: &str, revoked: &[&str]) -> Result<String, Refusal> {
    let revoked: BTreeSet<AuthnId> = revoked.iter().map(|text| authn_id(text)).collect();
    let caller = authenticate(&world.view, &hash(text), &revoked, NOW)?;
    caller.authorize_gateway(Some(world.gateway()))?;
    Ok(caller.principal().to_string())
}

#[test]
fn a_token_works_only_at_its_gateways_and_until_it_expires() {
    let mut snapshot = test_snapshot(&test_servers());
    let expired = toolgate_model::snapshot::TokenResource {
        expires: Some(NOW),
        ..token("expired")
    };
    insert(
        &mut snapshot,
        "acme",
        "expired",
        SnapshotResource::Token(expired),
    );
    let elsewhere = toolgate_model::snapshot::TokenResource {
        gateways: AllowList::Only(vec![slug("other")]),
        ..token("elsewhere")
    };
    insert(
        &mut snapshot,
        "acme",
        "elsewhere",
        SnapshotResource::Token(elsewhere),
    );
    let nowhere = toolgate_model::snapshot::TokenResource {
        gateways: AllowList::Only(Vec::new()),
        ..token("nowhere")
    };
    insert(
        &mut snapshot,
        "acme",
        "nowhere",
        SnapshotResource::Token(nowhere),
    );
    let world = GatewayFixture::of(&snapshot);
    assert_eq!(ask(&world, "all", &[]), Ok("acme/user:ada".to_owned()));
    for text in ["unknown", "expired"] {
        assert_eq!(
            ask(&world, text, &[]),
            Err(Refusal::Unauthenticated),
            "{text}"
        );
    }
    // The refusal is the same as for a gateway that does not exist.
    for text in ["elsewhere", "nowhere", "evil"] {
        assert_eq!(ask(&world, text, &[]), Err(Refusal::NoSuchPath), "{text}");
    }
    let caller = authenticate(&world.view, &hash("all"), &BTreeSet::new(), NOW).unwrap();
    assert_eq!(
        caller.authorize_gateway(None).err(),
        Some(Refusal::NoSuchPath)
    );
    assert_eq!(ask(&world, "all", &["all"]), Err(Refusal::Unauthenticated));
}

#[test]
fn bearer_tokens_are_read_strictly() {
    assert_eq!(parse_bearer_token(b"Bearer archestra_x"), Ok("archestra_x"));
    assert_eq!(
        parse_bearer_token(b"bEARER  archestra_x"),
        Ok("archestra_x")
    );
    let long = [b"Bearer ".to_vec(), vec![b'x'; TOKEN_LIMIT + 1]].concat();
    for bad in [
        &b""[..],
        b"Bearer",
        b"Bearer ",
        b"Basic x",
        b"Bearerx",
        b"Bearer a b",
        b"Bearer a\t",
        b"Bearer \xff",
        b" Bearer x",
        &long,
    ] {
        assert_eq!(
            parse_bearer_token(bad),
            Err(Refusal::Unauthenticated),
            "{bad:?}"
        );
    }
}

#[test]
fn hashes_are_hmac_sha_256() {
    // The expected value was computed with another implementation.
    assert!(TokenHasher::new(&[1; 31]).is_none());
    let hasher = TokenHasher::new(&[0x0b; 32]).unwrap();
    assert_eq!(hasher.hash("x"), hasher.hash("x"));
    assert_ne!(hasher.hash("x"), hasher.hash("y"));
    assert_ne!(
        hasher.hash("x"),
        TokenHasher::new(&[0x0c; 32]).unwrap().hash("x")
    );
    let hex: String = hasher
        .hash("Hi There")
        .0
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(
        hex,
        "198a607eb44bfbc69903a0f1cf2bbdc5ba0aa3f3d9ae3c1c7a3b1696a0b68cf7"
    );
}
