//! Tests of the admin API through its router: general behaviour here, isolation of organizations and watches in
//! submodules.

use std::sync::Arc;

use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;
use toolgate_control_core::port::{SecretPurpose, StateReader as _, TokenIssuer as _};
use toolgate_model::AdminRole;
use toolgate_proto::admin::v1::{self as pb, *};
use toolgate_runtime::drain::{self, DrainTrigger};

use super::*;
use crate::memory::{self, MemoryControlApi, call};

mod consistency;
mod credential_fields;
mod dry_runs;
mod isolation;
mod local_proxy;
mod probes;
mod promotion;
mod secrets;
mod watches;

/// Starts a router over a control plane with a token of each role. The secret of each token is its id.
pub(super) fn start() -> (Router, Arc<MemoryControlApi>, DrainTrigger) {
    let (drain, trigger) = drain::new();
    let (router, control_api) = start_with(drain);
    (router, control_api, trigger)
}

fn start_with(drain: Drain) -> (Router, Arc<MemoryControlApi>) {
    let control_api = MemoryControlApi::new();
    control_api.token("acme", "viewer", AdminRole::Viewer, false);
    control_api.token("acme", "editor", AdminRole::Editor, false);
    control_api.token("acme", "admin", AdminRole::Admin, false);
    control_api.token("acme", "system", AdminRole::Admin, true);
    let control_api = Arc::new(control_api);
    let options = AdminOptions {
        pages: Router::new().fallback(async || "a page"),
        ..AdminOptions::default()
    };
    let shared: Arc<dyn ControlApi> = control_api.clone();
    (router(shared, options, drain), control_api)
}

pub(super) fn create_server(id: &str) -> CreateServerRequest {
    CreateServerRequest {
        parent: "organizations/acme".into(),
        server_id: id.into(),
        server: Some(pb::Server {
            spec: Some(ServerSpec {
                url: "https://example.com/mcp".into(),
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn made(router: &Router, id: &str) -> pb::Server {
    let answer = call(
        router,
        "Servers/CreateServer",
        Some("editor"),
        &create_server(id),
    )
    .await;
    answer.read()
}

fn update(server: pb::Server, paths: &[&str]) -> UpdateServerRequest {
    UpdateServerRequest {
        server: Some(server),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        ..Default::default()
    }
}

fn version(server: &pb::Server) -> String {
    server.metadata.clone().unwrap_or_default().resource_version
}

async fn get(router: &Router, id: &str) -> memory::CallResponse {
    let name = format!("organizations/acme/servers/{id}");
    call(
        router,
        "Servers/GetServer",
        Some("viewer"),
        &GetServerRequest { name },
    )
    .await
}

#[tokio::test]
async fn a_created_object_is_readable_immediately_and_cannot_be_created_twice() {
    let (router, _desk, _trigger) = start();
    let created = made(&router, "git").await;
    assert!(!version(&created).is_empty());
    assert_eq!(get(&router, "git").await.read::<pb::Server>(), created);
    let again = call(
        &router,
        "Servers/CreateServer",
        Some("editor"),
        &create_server("git"),
    )
    .await;
    assert_eq!(again.code, Code::AlreadyExists);
    let details = again.status.get_error_details();
    let resource = details.resource_info().unwrap();
    assert_eq!(resource.resource_name, "organizations/acme/servers/git");
}

#[tokio::test]
async fn a_stale_write_is_aborted_and_a_write_without_a_revision_is_rejected() {
    let (router, _desk, _trigger) = start();
    let first = made(&router, "git").await;
    let mut ours = first.clone();
    if let Some(metadata) = &mut ours.metadata {
        metadata.display_name = "ours".into();
    }
    let theirs = ours.clone();
    let answer = call(
        &router,
        "Servers/UpdateServer",
        Some("editor"),
        &update(ours, &[]),
    )
    .await;
    let current: pb::Server = answer.read();
    assert_ne!(version(&current), version(&first));
    let stale = call(
        &router,
        "Servers/UpdateServer",
        Some("editor"),
        &update(theirs.clone(), &[]),
    )
    .await;
    assert_eq!(stale.code, Code::Aborted, "{:?}", stale.status);
    let details = stale.status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "STALE");
    assert_eq!(
        info.metadata.get("current_version"),
        Some(&version(&current))
    );
    assert_eq!(info.metadata.get("given_version"), Some(&version(&first)));
    let mut ahead = theirs.clone();
    if let Some(metadata) = &mut ahead.metadata {
        metadata.resource_version = "999999".into();
    }
    let update_ahead = update(ahead, &[]);
    let future = call(
        &router,
        "Servers/UpdateServer",
        Some("editor"),
        &update_ahead,
    )
    .await;
    assert_eq!(future.code, Code::Aborted, "{:?}", future.status);
    let details = future.status.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "STALE");
    assert_eq!(info.metadata["given_version"], "999999");
    assert_eq!(info.metadata["current_version"], version(&current));
    for given in ["", "07", "-1", "x"] {
        let mut blind = theirs.clone();
        if let Some(metadata) = &mut blind.metadata {
            metadata.resource_version = given.into();
        }
        let refused = call(
            &router,
            "Servers/UpdateServer",
            Some("editor"),
            &update(blind, &[]),
        )
        .await;
        assert_eq!(refused.code, Code::InvalidArgument);
        let details = refused.status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "server.metadata.resource_version");
    }
}

#[tokio::test]
async fn writers_that_retry_after_an_abort_lose_no_update() {
    let (router, _desk, _trigger) = start();
    made(&router, "git").await;
    let mut writers = Vec::new();
    for _writer in 0..8 {
        let router = router.clone();
        writers.push(async move {
            for _round in 0..10 {
                loop {
                    let mut server: pb::Server = get(&router, "git").await.read();
                    let count = server.spec.as_ref().map(|spec| spec.description.clone());
                    let count: u32 = count.unwrap_or_default().parse().unwrap_or(0);
                    if let Some(spec) = &mut server.spec {
                        spec.description = (count + 1).to_string();
                    }
                    let request = update(server, &["spec.description"]);
                    let answer =
                        call(&router, "Servers/UpdateServer", Some("editor"), &request).await;
                    if answer.code == Code::Ok {
                        break;
                    }
                    assert_eq!(answer.code, Code::Aborted);
                }
            }
        });
    }
    futures_util::future::join_all(writers).await;
    let server: pb::Server = get(&router, "git").await.read();
    assert_eq!(server.spec.unwrap().description, "80");
}

#[tokio::test]
async fn a_field_mask_changes_only_its_paths_and_an_unknown_path_is_rejected_by_name() {
    let (router, _desk, _trigger) = start();
    let first = made(&router, "git").await;
    let mut given = first.clone();
    if let (Some(metadata), Some(spec)) = (&mut given.metadata, &mut given.spec) {
        metadata.display_name = "Git".into();
        spec.url = "https://other.example/mcp".into();
        spec.description = "ignored".into();
    }
    let request = update(given.clone(), &["spec.url", "metadata.display_name"]);
    let answer = call(&router, "Servers/UpdateServer", Some("editor"), &request).await;
    let spec = answer.read::<pb::Server>().spec.unwrap();
    assert_eq!(
        (spec.url.as_str(), spec.description.as_str()),
        ("https://other.example/mcp", "")
    );
    for path in [
        "spec.nope",
        "status",
        "metadata.name",
        "metadata.resource_version",
        "",
        "spec..url",
    ] {
        let answer = call(
            &router,
            "Servers/UpdateServer",
            Some("editor"),
            &update(given.clone(), &[path]),
        )
        .await;
        assert_eq!(answer.code, Code::InvalidArgument, "{path}");
        let details = answer.status.get_error_details();
        let violation = &details.bad_request().unwrap().field_violations[0];
        assert_eq!(violation.field, "update_mask");
        assert!(
            violation.description.contains(&format!("`{path}`")),
            "{violation:?}"
        );
    }
}

#[tokio::test]
async fn an_invalid_field_is_rejected_with_its_path_and_a_remedy() {
    let (router, _desk, _trigger) = start();
    let mut request = create_server("git");
    if let Some(spec) = request
        .server
        .as_mut()
        .and_then(|server| server.spec.as_mut())
    {
        spec.url = "gopher://example.com".into();
    }
    let answer = call(&router, "Servers/CreateServer", Some("editor"), &request).await;
    assert_eq!(answer.code, Code::InvalidArgument);
    let details = answer.status.get_error_details();
    assert_eq!(
        details.bad_request().unwrap().field_violations[0].field,
        "spec.url"
    );
    assert!(answer.status.message().contains("https://example.com/mcp"));
    for (id, field) in [
        ("", "server_id"),
        ("Git", "server_id"),
        ("a/b", "server_id"),
    ] {
        let answer = call(
            &router,
            "Servers/CreateServer",
            Some("editor"),
            &create_server(id),
        )
        .await;
        let details = answer.status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            field,
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_dry_run_validates_fully_and_writes_nothing() {
    let (router, control_api, _trigger) = start();
    let before = control_api.published().state.revision();
    let mut request = create_server("git");
    request.dry_run = true;
    let answer = call(&router, "Servers/CreateServer", Some("editor"), &request).await;
    let server: pb::Server = answer.read();
    assert_eq!(
        server.metadata.unwrap().name,
        "organizations/acme/servers/git"
    );
    let token = CreateTokenRequest {
        parent: "organizations/acme".into(),
        token_id: "ci".into(),
        dry_run: true,
        ..Default::default()
    };
    let answer = call(&router, "Tokens/CreateToken", Some("admin"), &token).await;
    assert_eq!(answer.read::<CreateTokenResponse>().secret, "");
    assert_eq!(control_api.published().state.revision(), before);
    assert_eq!(get(&router, "git").await.code, Code::NotFound);
    let bad = CreateGatewayRequest {
        parent: "organizations/acme".into(),
        gateway_id: "tools".into(),
        gateway: Some(pb::Gateway {
            spec: Some(GatewaySpec {
                bindings: vec![Binding {
                    server: "nowhere".into(),
                    all_tools: true,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        dry_run: true,
        ..Default::default()
    };
    let answer = call(&router, "Gateways/CreateGateway", Some("editor"), &bad).await;
    assert_eq!(answer.code, Code::InvalidArgument, "{:?}", answer.status);
}

#[tokio::test]
async fn a_repeated_request_id_returns_the_same_result_and_its_reuse_is_rejected() {
    let (router, control_api, _trigger) = start();
    let mut request = create_server("git");
    request.request_id = "r1".into();
    let first: pb::Server = call(&router, "Servers/CreateServer", Some("editor"), &request)
        .await
        .read();
    let revision = control_api.published().state.revision();
    let again: pb::Server = call(&router, "Servers/CreateServer", Some("editor"), &request)
        .await
        .read();
    assert_eq!(again, first);
    assert_eq!(control_api.published().state.revision(), revision);
    request.server_id = "other".into();
    let reused = call(&router, "Servers/CreateServer", Some("editor"), &request).await;
    assert_eq!(reused.code, Code::InvalidArgument);
    assert_eq!(
        reused
            .status
            .get_error_details()
            .error_info()
            .unwrap()
            .reason,
        "REQUEST_REUSED"
    );
}

#[tokio::test]
async fn deleting_a_server_in_use_is_rejected_naming_the_gateway() {
    let (router, _desk, _trigger) = start();
    made(&router, "git").await;
    let gateway = CreateGatewayRequest {
        parent: "organizations/acme".into(),
        gateway_id: "tools".into(),
        gateway: Some(pb::Gateway {
            spec: Some(GatewaySpec {
                bindings: vec![Binding {
                    server: "git".into(),
                    all_tools: true,
                    ..Default::default()
                }],
                ..Default::default()
            }),
            ..Default::default()
        }),
        ..Default::default()
    };
    let answer = call(&router, "Gateways/CreateGateway", Some("editor"), &gateway).await;
    let status = answer.read::<pb::Gateway>().status.unwrap();
    assert_eq!(status.path, "/v1/mcp/tools");
    assert!(status.problems[0].contains("git"), "{status:?}");
    let delete = DeleteServerRequest {
        name: "organizations/acme/servers/git".into(),
        ..Default::default()
    };
    let answer = call(&router, "Servers/DeleteServer", Some("editor"), &delete).await;
    assert_eq!(answer.code, Code::FailedPrecondition);
    let details = answer.status.get_error_details();
    let violation = &details.precondition_failure().unwrap().violations[0];
    assert_eq!(violation.subject, "organizations/acme/gateways/tools");
}

#[tokio::test]
async fn pages_return_every_object_once_in_order() {
    let (router, _desk, _trigger) = start();
    for id in ["a", "b", "c", "d", "e"] {
        made(&router, id).await;
    }
    let mut seen = Vec::new();
    let mut page_token = String::new();
    loop {
        let list = ListServersRequest {
            parent: "organizations/acme".into(),
            page_size: 2,
            page_token,
        };
        let page = call(&router, "Servers/ListServers", Some("viewer"), &list).await;
        let page: ListServersResponse = page.read();
        assert!(page.servers.len() <= 2);
        seen.extend(page.servers.into_iter().map(|s| s.metadata.unwrap().name));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let expected = ["a", "b", "c", "d", "e"].map(|id| format!("organizations/acme/servers/{id}"));
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_message_over_four_mebibytes_is_refused() {
    let (router, _desk, _trigger) = start();
    let mut request = create_server("git");
    request.request_id = "x".repeat(MAX_MESSAGE);
    let answer = call(&router, "Servers/CreateServer", Some("editor"), &request).await;
    assert!(
        matches!(answer.code, Code::OutOfRange | Code::ResourceExhausted),
        "{:?}",
        answer.status
    );
}

#[tokio::test]
async fn grpc_web_and_static_pages_are_served_on_the_same_port() {
    let (router, _desk, _trigger) = start();
    let message = ListOrganizationsRequest::default().encode_to_vec();
    let path = "/toolgate.admin.v1.Organizations/ListOrganizations";
    let mut request = memory::request(path, Some("viewer"), &message);
    *request.version_mut() = http::Version::HTTP_11;
    let web = http::HeaderValue::from_static("application/grpc-web+proto");
    request.headers_mut().insert(CONTENT_TYPE, web.clone());
    let answer = memory::send(&router, request).await;
    assert_eq!(
        answer
            .read::<ListOrganizationsResponse>()
            .organizations
            .len(),
        1
    );
    // Rejections by the access control are readable for a browser as well.
    let mut request = memory::request(path, None, &message);
    *request.version_mut() = http::Version::HTTP_11;
    request.headers_mut().insert(CONTENT_TYPE, web);
    let answer = memory::send(&router, request).await;
    assert_eq!(answer.code, Code::Unauthenticated);
    let request = http::Request::get(path)
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = memory::send(&router, request).await;
    assert!(answer.raw.ends_with(b"a page"));
}

#[tokio::test]
async fn reflection_of_both_versions_requires_read_permission() {
    let (router, _desk, _trigger) = start();
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services: ""
        let list = [0x3a, 0x00];
        let answer = memory::send(&router, memory::request(&path, None, &list)).await;
        assert_eq!(answer.code, Code::Unauthenticated);
        let answer = memory::send(&router, memory::request(&path, Some("viewer"), &list)).await;
        let listed = String::from_utf8_lossy(&answer.raw).contains("toolgate.admin.v1.Gateways");
        assert!(listed, "{version}");
    }
}
