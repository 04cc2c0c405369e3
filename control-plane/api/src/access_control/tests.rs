//! Tests of every method in the descriptor set with every wrong identity. A method without an access rule fails the
//! first test.

use std::{collections::BTreeSet, io, task::Poll};

use axum::Router;
use bytes::Bytes;
use futures_util::stream;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind as FieldKind, MessageDescriptor, Value};
use tonic::Code;
use toolgate_actor::ActorSystem;
use toolgate_model::{AdminRole, Timestamp};
use toolgate_runtime::drain;

use super::*;
use crate::{
    admin::{self, AdminOptions},
    control_api::ControlApi,
    fleet,
    memory::{self, MemoryControlApi, START},
    rights::METHOD_RULES,
};

mod bearer_tokens;

fn pool() -> DescriptorPool {
    DescriptorPool::decode(toolgate_proto::DESCRIPTORS).unwrap()
}

/// Returns all Toolgate methods, named as in the table.
fn methods(pool: &DescriptorPool) -> Vec<(String, MessageDescriptor)> {
    let services = pool.services();
    let methods = services.flat_map(|service| {
        let name = service.full_name().to_owned();
        let methods = service.methods().collect::<Vec<_>>();
        methods
            .into_iter()
            .map(move |method| (format!("{name}/{}", method.name()), method.input()))
    });
    methods.collect()
}

#[test]
fn the_rights_table_has_exactly_one_row_per_method() {
    let methods = methods(&pool());
    let declared: BTreeSet<&str> = methods.iter().map(|(name, _)| name.as_str()).collect();
    assert!(declared.len() > 35, "{declared:?}");
    let listed: BTreeSet<&str> = METHOD_RULES.iter().map(|row| row.method).collect();
    assert_eq!(listed.len(), METHOD_RULES.len(), "a method is listed twice");
    let ours: BTreeSet<&str> = listed
        .iter()
        .copied()
        .filter(|m| m.starts_with("toolgate."))
        .collect();
    assert_eq!(declared, ours);
    for row in METHOD_RULES {
        let open = row.access == AccessRule::Public;
        assert_eq!(
            open,
            row.method.starts_with("grpc.health."),
            "{}",
            row.method
        );
    }
}

/// Creates a control plane with two organizations and tokens of every sort. The secret of each token is its id.
fn control_api() -> Arc<MemoryControlApi> {
    let control_api = MemoryControlApi::new();
    control_api.organization("rival");
    for (org, secret, role) in [
        ("acme", "mcp-only", AdminRole::None),
        ("acme", "viewer", AdminRole::Viewer),
        ("acme", "editor", AdminRole::Editor),
        ("acme", "admin", AdminRole::Admin),
        ("acme", "revoked", AdminRole::Admin),
        ("rival", "rival-admin", AdminRole::Admin),
    ] {
        control_api.token(org, secret, role, false);
    }
    let soon = Some(Timestamp(START.0 + 1000));
    control_api.token_until("acme", "expired", AdminRole::Admin, false, soon);
    control_api.token("acme", "system", AdminRole::Admin, true);
    let name = toolgate_model::ObjectName::new("acme".parse().unwrap(), "revoked".parse().unwrap());
    let revoke = toolgate_control_core::Command::RevokeToken(name);
    control_api.command(revoke).unwrap();
    control_api.clock.advance(Duration::from_secs(2));
    Arc::new(control_api)
}

/// Builds a request that names objects of `acme`, filled in by field name.
fn plausible(method: &str, descriptor: &MessageDescriptor) -> Vec<u8> {
    let service = method
        .split('/')
        .next()
        .and_then(|s| s.rsplit('.').next())
        .unwrap();
    let name = match service {
        "Organizations" => "organizations/acme".to_owned(),
        "Proxies" => "proxies/p1".to_owned(),
        other => format!("organizations/acme/{}/x", other.to_lowercase()),
    };
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let value = match (field.name(), field.kind()) {
            ("parent", _) => Value::String("organizations/acme".into()),
            ("name", _) => Value::String(name.clone()),
            ("gateway", FieldKind::String) => Value::String("organizations/acme/gateways/x".into()),
            // As the certificate names it.
            ("proxy_id", _) => Value::String("p1".into()),
            (id, FieldKind::String) if id.ends_with("_id") && id != "request_id" => {
                Value::String("fresh".into())
            }
            (_, FieldKind::Message(object)) if object.get_field_by_name("metadata").is_some() => {
                let mut inner = DynamicMessage::new(object.clone());
                if method.contains("/Update") {
                    let metadata = object.get_field_by_name("metadata").unwrap();
                    let mut value =
                        DynamicMessage::new(metadata.kind().as_message().unwrap().clone());
                    value.set_field_by_name("name", Value::String(name.clone()));
                    value.set_field_by_name("resource_version", Value::String("1".into()));
                    inner.set_field(&metadata, Value::Message(value));
                }
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, value);
    }
    message.encode_to_vec()
}

const Y: bool = true;
const N: bool = false;

/// Access to the methods of `toolgate.admin.v1`, written by hand: by a token of the organization without a role, with
/// the role viewer, editor and admin, and by the system token. Not derived from the tables that it checks.
#[rustfmt::skip]
const ADMIN_MATRIX: &[(&str, [bool; 5])] = &[
    //                                 none viewer editor admin system
    ("Organizations/CreateOrganization", [N, N, N, N, Y]),
    ("Organizations/GetOrganization", [N, Y, Y, Y, Y]),
    ("Organizations/ListOrganizations", [N, Y, Y, Y, Y]),
    ("Organizations/UpdateOrganization", [N, N, N, Y, Y]),
    ("Organizations/DeleteOrganization", [N, N, N, N, Y]),
    ("Gateways/CreateGateway", [N, N, Y, Y, Y]),
    ("Gateways/GetGateway", [N, Y, Y, Y, Y]),
    ("Gateways/ListGateways", [N, Y, Y, Y, Y]),
    ("Gateways/UpdateGateway", [N, N, Y, Y, Y]),
    ("Gateways/DeleteGateway", [N, N, Y, Y, Y]),
    ("Servers/CreateServer", [N, N, Y, Y, Y]),
    ("Servers/GetServer", [N, Y, Y, Y, Y]),
    ("Servers/ListServers", [N, Y, Y, Y, Y]),
    ("Servers/UpdateServer", [N, N, Y, Y, Y]),
    ("Servers/DeleteServer", [N, N, Y, Y, Y]),
    ("Credentials/CreateCredential", [N, N, N, Y, Y]),
    ("Credentials/GetCredential", [N, Y, Y, Y, Y]),
    ("Credentials/ListCredentials", [N, Y, Y, Y, Y]),
    ("Credentials/UpdateCredential", [N, N, N, Y, Y]),
    ("Credentials/DeleteCredential", [N, N, N, Y, Y]),
    ("IdentityProviders/CreateIdentityProvider", [N, N, N, Y, Y]),
    ("IdentityProviders/GetIdentityProvider", [N, Y, Y, Y, Y]),
    ("IdentityProviders/ListIdentityProviders", [N, Y, Y, Y, Y]),
    ("IdentityProviders/UpdateIdentityProvider", [N, N, N, Y, Y]),
    ("IdentityProviders/DeleteIdentityProvider", [N, N, N, Y, Y]),
    ("Tokens/CreateToken", [N, N, N, Y, Y]),
    ("Tokens/GetToken", [N, Y, Y, Y, Y]),
    ("Tokens/ListTokens", [N, Y, Y, Y, Y]),
    ("Tokens/UpdateToken", [N, N, N, Y, Y]),
    ("Tokens/DeleteToken", [N, N, N, Y, Y]),
    ("Tokens/RevokeToken", [N, N, N, Y, Y]),
    ("Proxies/GetProxy", [N, N, N, N, Y]),
    ("Proxies/ListProxies", [N, N, N, N, Y]),
    ("Proxies/DeleteProxy", [N, N, N, N, Y]),
    ("Proxies/CreateJoinToken", [N, N, N, N, Y]),
    ("Catalogues/GetCatalogue", [N, Y, Y, Y, Y]),
    ("Catalogues/ListCatalogues", [N, Y, Y, Y, Y]),
    ("Catalogues/RefreshCatalogue", [N, N, Y, Y, Y]),
    ("Versions/ListVersions", [N, N, N, N, Y]),
    ("Deployment/GetStatus", [N, Y, Y, Y, Y]),
    ("Calls/TailCalls", [N, N, Y, Y, Y]),
    ("Watch/Watch", [N, Y, Y, Y, Y]),
];

/// Access to the methods for proxies: without a certificate, and with one. No token gives access.
const FLEET_MATRIX: &[(&str, [bool; 2])] = &[
    ("toolgate.push.v1.Fleet/Join", [Y, N]),
    ("toolgate.push.v1.Fleet/Renew", [N, Y]),
    ("toolgate.push.v1.Push/Subscribe", [N, Y]),
    ("toolgate.push.v1.Push/Revocations", [N, Y]),
    ("toolgate.push.v1.Push/Report", [N, Y]),
    ("toolgate.push.v1.Push/Calls", [N, Y]),
    ("toolgate.credential.v1.Credentials/Resolve", [N, Y]),
    ("toolgate.credential.v1.Credentials/GetKeyring", [N, Y]),
];

/// Returns the row of a method of the admin API.
fn admin_access(method: &str) -> [bool; 5] {
    let id = method.strip_prefix("toolgate.admin.v1.").unwrap_or(method);
    let mut rows = ADMIN_MATRIX.iter();
    let row = rows.find(|(listed, _)| *listed == id);
    row.unwrap_or_else(|| panic!("{method} is missing in the matrix"))
        .1
}

/// Returns the row of a method for proxies.
fn fleet_access(method: &str) -> [bool; 2] {
    let mut rows = FLEET_MATRIX.iter();
    let row = rows.find(|(listed, _)| *listed == method);
    row.unwrap_or_else(|| panic!("{method} is missing in the matrix"))
        .1
}

#[test]
fn the_matrix_written_by_hand_has_exactly_one_row_per_method() {
    let declared: Vec<String> = methods(&pool()).into_iter().map(|(name, _)| name).collect();
    let admin = ADMIN_MATRIX
        .iter()
        .map(|(id, _)| format!("toolgate.admin.v1.{id}"));
    let fleet = FLEET_MATRIX.iter().map(|(method, _)| (*method).to_owned());
    let mut listed: Vec<String> = admin.chain(fleet).collect();
    listed.sort();
    let mut sorted = declared;
    sorted.sort();
    assert_eq!(listed, sorted);
}

#[test]
fn a_viewer_changes_nothing_and_no_role_reaches_the_deployment() {
    for (method, [none, viewer, editor, admin, system]) in ADMIN_MATRIX {
        assert!(!none && *system, "{method}");
        assert!(
            viewer <= editor && editor <= admin,
            "{method}: roles include lower ones"
        );
        let (_service, verb) = method.split_once('/').unwrap();
        let reads = ["Get", "List", "Watch"]
            .iter()
            .any(|verb_of| verb.starts_with(verb_of));
        assert!(!viewer || reads, "{method}");
    }
    assert!(
        !admin_access("Tokens/RevokeToken")[1],
        "a viewer revokes no token"
    );
}

/// Returns the expected error of an identity with or without access.
const fn unless(allowed: bool) -> Option<Code> {
    match allowed {
        true => None,
        false => Some(Code::PermissionDenied),
    }
}

/// Returns the expected status of another organization's admin on objects of `acme`.
fn for_rival(method: &str) -> Code {
    match (admin_access(method)[3], method) {
        (false, _) => Code::PermissionDenied,
        // Succeeds without any object of `acme`: see the test of lists.
        (true, "toolgate.admin.v1.Organizations/ListOrganizations") => Code::Ok,
        // Shows the faults of the caller's own organization: see the test of isolation.
        (true, "toolgate.admin.v1.Deployment/GetStatus") => Code::Ok,
        (true, _) => Code::NotFound,
    }
}

fn admin_router(control_api: &Arc<MemoryControlApi>) -> (Router, drain::DrainTrigger) {
    let (drain, trigger) = drain::new();
    let control_api: Arc<dyn ControlApi> = control_api.clone();
    (
        admin::router(control_api, AdminOptions::default(), drain),
        trigger,
    )
}

#[tokio::test]
async fn every_admin_method_rejects_every_wrong_identity() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    let pool = pool();
    let mut walked = 0;
    for (method, descriptor) in methods(&pool) {
        let row = rights::method_rule(&format!("/{method}")).unwrap();
        if row.listener != ListenerKind::Admin {
            continue;
        }
        let [none, viewer, editor, admin, system] = admin_access(&method);
        let long = "x".repeat(4000);
        let mut cases = vec![
            (None, Some(Code::Unauthenticated)),
            (Some("garbage"), Some(Code::Unauthenticated)),
            (Some(long.as_str()), Some(Code::Unauthenticated)),
            (Some("expired"), Some(Code::Unauthenticated)),
            (Some("revoked"), Some(Code::Unauthenticated)),
            (Some("rival-admin"), Some(for_rival(&method))),
        ];
        for (token, allowed) in [
            ("mcp-only", none),
            ("viewer", viewer),
            ("editor", editor),
            ("admin", admin),
            ("system", system),
        ] {
            cases.push((Some(token), unless(allowed)));
        }
        for (token, expected) in cases {
            let bytes = plausible(&method, &descriptor);
            let answer = memory::send(
                &router,
                memory::request(&format!("/{method}"), token, &bytes),
            )
            .await;
            match expected {
                Some(code) => assert_eq!(
                    answer.code, code,
                    "{method} as {token:?}: {:?}",
                    answer.status
                ),
                None => assert!(
                    !matches!(answer.code, Code::Unauthenticated | Code::PermissionDenied),
                    "{method} as {token:?}: {:?}",
                    answer.status
                ),
            }
            assert_ne!(answer.code, Code::Unimplemented, "{method}");
            walked += 1;
        }
    }
    assert!(walked > 300, "{walked}");
}

#[tokio::test]
async fn a_proxy_certificate_is_anonymous_at_the_admin_listener() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    for (method, descriptor) in methods(&pool()) {
        let path = format!("/{method}");
        let row = rights::method_rule(&path).unwrap();
        let mut request = memory::request(&path, None, &plausible(&method, &descriptor));
        request
            .extensions_mut()
            .insert(ConnectionPeer::Proxy("p1".parse().unwrap()));
        let expected = match row.listener {
            ListenerKind::Admin => Code::Unauthenticated,
            ListenerKind::Fleet => Code::Unimplemented,
            ListenerKind::Both => continue,
        };
        assert_eq!(
            memory::send(&router, request).await.code,
            expected,
            "{method}"
        );
    }
}

#[tokio::test]
async fn the_fleet_listener_accepts_certificates_and_ignores_tokens() {
    let control_api = control_api();
    let (drain, _trigger) = drain::new();
    let actors = ActorSystem::start(1).unwrap();
    let router = fleet::router(
        control_api.clone(),
        crate::CallReaders::default(),
        actors,
        toolgate_runtime::Readiness::new(),
        &toolgate_runtime::Metrics::new(),
        drain,
    );
    for (method, descriptor) in methods(&pool()) {
        let path = format!("/{method}");
        let row = rights::method_rule(&path).unwrap();
        let bytes = plausible(&method, &descriptor);
        if row.listener == ListenerKind::Admin {
            let answer =
                memory::send(&router, memory::request(&path, Some("system"), &bytes)).await;
            assert_eq!(answer.code, Code::Unimplemented, "{method}");
            continue;
        }
        let [anonymous, proxy] = fleet_access(&method);
        for token in [None, Some("system"), Some("admin"), Some("garbage")] {
            let answer = memory::send(&router, memory::request(&path, token, &bytes)).await;
            // Join checks the secret in the request instead.
            let expected = if anonymous {
                Code::InvalidArgument
            } else {
                Code::Unauthenticated
            };
            assert_eq!(answer.code, expected, "{method} as {token:?}");
        }
        let mut request = memory::request(&path, None, &bytes);
        request
            .extensions_mut()
            .insert(ConnectionPeer::Proxy("p1".parse().unwrap()));
        let answer = memory::send(&router, request).await;
        assert_eq!(
            answer.code != Code::PermissionDenied,
            proxy,
            "{method}: {:?}",
            answer.status
        );
    }
    assert_eq!(START.0 + 2000, control_api.now().0);
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_for_every_identity() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    for path in [
        "/",
        "/toolgate.admin.v1.Gateways/Nope",
        "/toolgate.admin.v1.Gateways",
        "/toolgate.push.v1.Push/Subscribe",
        "/made.Up/Method",
        "/grpc.health.v1.Health/Check/",
    ] {
        for token in [None, Some("system")] {
            let answer = memory::send(&router, memory::request(path, token, &[])).await;
            assert_eq!(answer.code, Code::Unimplemented, "{path}");
        }
    }
}

#[tokio::test]
async fn permission_is_checked_before_the_body_is_read() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    for token in ["garbage", "viewer"] {
        let request = memory::request("/toolgate.admin.v1.Tokens/CreateToken", Some(token), &[]);
        let (parts, _body) = request.into_parts();
        let unread = stream::poll_fn(|_cx| -> Poll<Option<io::Result<Bytes>>> {
            panic!("the body was read")
        });
        let body = axum::body::Body::from_stream(unread);
        let answer = memory::send(&router, http::Request::from_parts(parts, body)).await;
        assert_ne!(answer.code, Code::Ok);
    }
}

#[tokio::test]
async fn health_needs_no_identity_and_reveals_nothing() {
    let control_api = control_api();
    let (router, _trigger) = admin_router(&control_api);
    let request = memory::request("/grpc.health.v1.Health/Check", None, &[]);
    let answer = memory::send(&router, request).await;
    assert_eq!((answer.code, answer.message), (Code::Ok, vec![8, 1]));
}

#[test]
fn grpc_timeout_headers_are_parsed_or_ignored() {
    let of = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", text.parse().unwrap());
        requested_deadline(&headers)
    };
    assert_eq!(of("5S"), Duration::from_secs(5));
    assert_eq!(of("250m"), Duration::from_millis(250));
    assert_eq!(of("2H"), Duration::from_secs(7200));
    assert_eq!(of("3M"), Duration::from_secs(180));
    assert_eq!(of("7u"), Duration::from_micros(7));
    assert_eq!(of("9n"), Duration::from_nanos(9));
    for text in ["", "S", "5", "x5S", "-5S", "999999999S", "5Ω"] {
        if let Ok(value) = text.parse::<http::HeaderValue>() {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", value);
            assert_eq!(requested_deadline(&headers), Duration::MAX, "{text}");
        }
    }
}
