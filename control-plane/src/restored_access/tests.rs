//! Tests of the access that is withdrawn when a restored store is adopted.

use toolgate_control_core::{JoinToken, restored};
use toolgate_model::{AllowList, Timestamp, TokenHash};

use super::*;
use crate::fixture::{WritePathFixture, gateway, memory, name, ready, server, slug, token};

fn join_token(expires: Timestamp, number: u8) -> JoinToken {
    JoinToken {
        hash: TokenHash([number; 32]),
        region: String::new(),
        expires,
    }
}

#[tokio::test]
async fn roles_at_the_admin_api_that_the_copy_brings_back_are_withdrawn() {
    let plane = ready(memory()).await;
    let role = |id: &str, role| Token { role, ..token(id) };
    let system = |id: &str| Token {
        system: true,
        ..role(id, AdminRole::Admin)
    };
    let revoked = role("revoked", AdminRole::Admin);
    for token in [
        role("deployer", AdminRole::Editor),
        role("root", AdminRole::Admin),
        role("client", AdminRole::None),
        revoked.clone(),
        system("bootstrap"),
        system("bootstrap-2"),
    ] {
        plane.create(token.into()).await.unwrap();
    }
    let revoke = Command::RevokeToken(revoked.name.clone());
    let seen = plane.run(revoke).await.unwrap().revision;
    plane.writer.state_at(seen).await;

    let kept = name("bootstrap-2");
    let access = withdraw(&plane.writer, Some(&kept)).await.unwrap();
    assert_eq!(
        access.roles,
        [
            (name("deployer"), AdminRole::Editor),
            (name("root"), AdminRole::Admin)
        ]
    );
    assert_eq!(access.system_tokens, [name("bootstrap")]);
    let state = plane.writer.current();
    let of = |id: &str| state.tokens.get(&name(id)).unwrap();
    for (id, lost) in [("deployer", "editor"), ("root", "admin")] {
        assert_eq!(of(id).role, AdminRole::None);
        assert!(of(id).revoked.is_none(), "it still opens its gateways");
        assert_eq!(restored::lost_role(of(id)), Some(lost));
    }
    assert_eq!(restored::lost_role(of("client")), None);
    assert!(of("bootstrap").revoked.is_some());
    assert_eq!(of("bootstrap-2").role, AdminRole::Admin);
    assert!(of("bootstrap-2").revoked.is_none());
    let lines = access.lines().join("\n");
    for words in [
        "acme/deployer",
        "editor",
        "`toolgate edit token organizations/acme/tokens/root`",
    ] {
        assert!(lines.contains(words), "{words}: {lines}");
    }
    // A token that is given its role back is no longer told of.
    let mut again = Token::clone(of("deployer"));
    again.role = AdminRole::Editor;
    assert_eq!(restored::lost_role(&again), None);
    // Adopting the store twice changes nothing more.
    let twice = withdraw(&plane.writer, Some(&kept)).await.unwrap();
    let still_open = access.gateway_tokens.clone();
    assert_eq!(
        twice,
        RestoredAccess {
            gateway_tokens: still_open,
            ..RestoredAccess::default()
        }
    );
}

#[tokio::test]
async fn tokens_for_gateways_that_the_copy_brings_back_are_named_with_their_gateways() {
    let plane = ready(memory()).await;
    let gateways = |ids: &[&str]| AllowList::Only(ids.iter().map(|id| slug(id)).collect());
    let opening = |id: &str, gateways| Token {
        gateways,
        ..token(id)
    };
    plane.create(server("files").into()).await.unwrap();
    for id in ["mail", "news"] {
        plane.create(gateway(id, "files").into()).await.unwrap();
    }
    let mut seen = 0;
    for token in [
        opening("all", AllowList::All),
        opening("two", gateways(&["mail", "news"])),
        opening("none", gateways(&[])),
        opening("revoked", AllowList::All),
    ] {
        seen = plane.create(token.into()).await.unwrap().revision;
    }
    let revoke = Command::RevokeToken(name("revoked"));
    seen = plane.run(revoke).await.unwrap().revision.max(seen);
    plane.writer.state_at(seen).await;
    let access = withdraw(&plane.writer, None).await.unwrap();
    let named = [
        (name("all"), "all gateways".to_owned()),
        (name("two"), "gateways mail news".to_owned()),
    ];
    assert_eq!(access.gateway_tokens, named);
    let told = access.lines().join("\n");
    for words in [
        "acme/all (all gateways)",
        "acme/two (gateways mail news)",
        "`toolgate token revoke organizations/",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // `doctor` names them after the new epoch, until they are looked at.
    let now = plane.writer.clock.now();
    let to_check = |plane: &WritePathFixture| {
        let state = plane.writer.current();
        let tokens = restored::tokens_to_check(&state, now);
        let ids = tokens.iter().map(|token| token.name.id.to_string());
        ids.collect::<Vec<_>>()
    };
    assert!(to_check(&plane).is_empty(), "not restored");
    let epoch = plane
        .writer
        .write(&Command::BumpEpoch, &context(&plane.writer))
        .await
        .unwrap();
    plane.writer.state_at(epoch.revision).await;
    assert_eq!(to_check(&plane), ["all", "two"]);
    let revoke = Command::RevokeToken(name("all"));
    let seen = plane.run(revoke).await.unwrap().revision;
    plane.writer.state_at(seen).await;
    plane.create(token("new").into()).await.unwrap();
    assert_eq!(to_check(&plane), ["two"]);
}

#[tokio::test]
async fn join_tokens_of_the_copy_are_void() {
    let plane = ready(memory()).await;
    let later = plane
        .writer
        .clock
        .now()
        .after(std::time::Duration::from_secs(600));
    let context = context(&plane.writer);
    for number in 1..=3 {
        let create = Command::CreateJoinToken(join_token(later, number));
        let created = plane.writer.write(&create, &context).await.unwrap();
        plane.writer.state_at(created.revision).await;
    }
    let access = withdraw(&plane.writer, None).await.unwrap();
    assert_eq!(access.join_tokens, 3);
    assert!(plane.writer.current().join_tokens.is_empty());
}

#[tokio::test]
async fn without_a_token_of_the_operator_no_system_token_is_revoked() {
    let plane = ready(memory()).await;
    let bootstrap = Token {
        system: true,
        role: AdminRole::Admin,
        ..token("bootstrap")
    };
    let seen = plane.create(bootstrap.into()).await.unwrap().revision;
    plane.writer.state_at(seen).await;
    let access = withdraw(&plane.writer, None).await.unwrap();
    assert_eq!(access, RestoredAccess::default());
}
