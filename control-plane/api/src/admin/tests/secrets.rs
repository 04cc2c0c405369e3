//! Tests that a secret is accepted, or returned once, and appears in no other response.

use toolgate_control_core::port::{EncryptionContext, SecretSealer as _};

use super::*;

#[tokio::test]
async fn a_token_secret_is_shown_once_and_grants_only_its_role() {
    let (router, _desk, _trigger) = start();
    let request = CreateTokenRequest {
        parent: "organizations/acme".into(),
        token_id: "ci".into(),
        token: Some(pb::Token {
            spec: Some(TokenSpec {
                admin_role: AdminRole::Viewer as i32,
                ..Default::default()
            }),
            status: Some(TokenStatus {
                system: true,
                ..Default::default()
            }),
            ..Default::default()
        }),
        request_id: "r1".into(),
        ..Default::default()
    };
    let first = call(&router, "Tokens/CreateToken", Some("admin"), &request).await;
    let first: CreateTokenResponse = first.read();
    assert!(first.secret.starts_with("minted"));
    assert!(
        !first.token.unwrap().status.unwrap().system,
        "a caller made a system token"
    );
    let again = call(&router, "Tokens/CreateToken", Some("admin"), &request).await;
    assert_eq!(again.read::<CreateTokenResponse>().secret, "");
    let get = GetTokenRequest {
        name: "organizations/acme/tokens/ci".into(),
    };
    let read = call(&router, "Tokens/GetToken", Some(&first.secret), &get).await;
    assert_eq!(read.code, Code::Ok);
    assert!(!String::from_utf8_lossy(&read.raw).contains(&first.secret));
    let revoke = RevokeTokenRequest {
        name: get.name.clone(),
        ..Default::default()
    };
    let revoked = call(&router, "Tokens/RevokeToken", Some("admin"), &revoke).await;
    assert!(revoked.read::<pb::Token>().status.unwrap().revoked);
    let read = call(&router, "Tokens/GetToken", Some(&first.secret), &get).await;
    assert_eq!(read.code, Code::Unauthenticated);
    assert_eq!(
        read.status.get_error_details().error_info().unwrap().reason,
        "REVOKED_TOKEN"
    );
}

#[tokio::test]
async fn an_organization_admin_cannot_revoke_the_system_token() {
    let (router, _desk, _trigger) = start();
    let name = "organizations/acme/tokens/system".to_owned();
    let revoke = RevokeTokenRequest {
        name: name.clone(),
        ..Default::default()
    };
    let answer = call(&router, "Tokens/RevokeToken", Some("admin"), &revoke).await;
    assert_eq!(answer.code, Code::PermissionDenied);
    let delete = DeleteTokenRequest {
        name,
        ..Default::default()
    };
    let answer = call(&router, "Tokens/DeleteToken", Some("admin"), &delete).await;
    assert_eq!(answer.code, Code::PermissionDenied);
}

#[tokio::test]
async fn a_credential_value_is_stored_sealed_and_never_returned() {
    let (router, control_api, _trigger) = start();
    let header = |value: &str| pb::Credential {
        spec: Some(CredentialSpec {
            description: String::new(),
            hosts: vec!["https://git.example.com".into()],
            kind: Some(credential_spec::Kind::StaticHeader(StaticHeader {
                header: "Authorization".into(),
                value: value.into(),
            })),
        }),
        ..Default::default()
    };
    let mut request = CreateCredentialRequest {
        parent: "organizations/acme".into(),
        credential_id: "git".into(),
        credential: Some(header("")),
        ..Default::default()
    };
    let none = call(
        &router,
        "Credentials/CreateCredential",
        Some("admin"),
        &request,
    )
    .await;
    assert_eq!(none.code, Code::InvalidArgument);
    request.credential = Some(header("Bearer s3cret"));
    let made = call(
        &router,
        "Credentials/CreateCredential",
        Some("admin"),
        &request,
    )
    .await;
    let list = ListCredentialsRequest {
        parent: "organizations/acme".into(),
        ..Default::default()
    };
    let listed = call(
        &router,
        "Credentials/ListCredentials",
        Some("viewer"),
        &list,
    )
    .await;
    assert_eq!(
        listed.read::<ListCredentialsResponse>().credentials.len(),
        1
    );
    let mut made_credential: pb::Credential = made.read();
    if let Some(metadata) = &mut made_credential.metadata {
        metadata.display_name = "renamed".into();
    }
    let update = UpdateCredentialRequest {
        credential: Some(made_credential),
        ..Default::default()
    };
    let updated = call(
        &router,
        "Credentials/UpdateCredential",
        Some("admin"),
        &update,
    )
    .await;
    assert_eq!(updated.code, Code::Ok, "{:?}", updated.status);
    for answer in [&made, &listed, &updated] {
        assert!(!String::from_utf8_lossy(&answer.raw).contains("s3cret"));
    }
    let state = Arc::clone(&control_api.published().state);
    let (name, stored) = state.credentials.iter().next().unwrap();
    let toolgate_model::CredentialKind::StaticHeader { value, .. } = &stored.kind else {
        panic!("one header");
    };
    let opened = control_api
        .open_secret(&EncryptionContext::credential_value(name), value)
        .unwrap();
    assert_eq!((*opened).as_ref(), b"Bearer s3cret");
}

fn bound_to(hosts: &[&str]) -> CreateCredentialRequest {
    CreateCredentialRequest {
        parent: "organizations/acme".into(),
        credential_id: "gh".into(),
        credential: Some(pb::Credential {
            spec: Some(CredentialSpec {
                hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
                kind: Some(credential_spec::Kind::StaticHeader(StaticHeader {
                    header: "Authorization".into(),
                    value: "Bearer s3cret".into(),
                })),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[tokio::test]
async fn a_credential_is_created_only_with_origins_that_bind_it() {
    let (router, _control_api, _trigger) = start();
    for (hosts, expected) in [
        (&[][..], "spec.hosts: is required"),
        (
            &["https://api.example.com/mcp"],
            "spec.hosts[0]: `https://api.example.com/mcp` contains more",
        ),
    ] {
        let request = bound_to(hosts);
        let refused = call(
            &router,
            "Credentials/CreateCredential",
            Some("admin"),
            &request,
        )
        .await;
        assert_eq!(refused.code, Code::InvalidArgument);
        let message = refused.status.message().to_owned();
        assert!(message.starts_with(expected), "{message}");
        assert!(
            message.contains("e.g. `https://api.example.com`"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_server_uses_a_credential_only_by_an_admin_and_only_within_its_hosts() {
    let (router, _control_api, _trigger) = start();
    let request = bound_to(&["https://api.example.com"]);
    let made = call(
        &router,
        "Credentials/CreateCredential",
        Some("admin"),
        &request,
    )
    .await;
    assert_eq!(made.code, Code::Ok, "{:?}", made.status);
    for (caller, url, expected) in [
        (
            "editor",
            "https://api.example.com/mcp",
            Code::PermissionDenied,
        ),
        ("editor", "https://evil.test/mcp", Code::PermissionDenied),
        ("admin", "https://evil.test/mcp", Code::InvalidArgument),
        ("admin", "https://api.example.com/mcp", Code::Ok),
    ] {
        let request = pb::CreateServerRequest {
            parent: "organizations/acme".into(),
            server_id: "git".into(),
            server: Some(pb::Server {
                spec: Some(pb::ServerSpec {
                    url: url.into(),
                    credential: "gh".into(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
            ..Default::default()
        };
        let answer = call(&router, "Servers/CreateServer", Some(caller), &request).await;
        assert_eq!(answer.code, expected, "{caller} {url}: {:?}", answer.status);
        if expected != Code::Ok {
            let status = answer.status;
            assert!(
                status.message().starts_with("spec.credential: "),
                "{status:?}"
            );
        }
    }
}
