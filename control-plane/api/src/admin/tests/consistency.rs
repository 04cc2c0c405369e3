//! Tests that requests are answered from the latest state: writes always, reads that ask for it, and tokens that
//! another control plane has just created.

use std::sync::atomic::Ordering;

use toolgate_control_core::{Command, OperatorObject};
use toolgate_model::{AllowList, ObjectMeta, ObjectName, Organization, Token, TokenSubject};
use toolgate_wire::CONSISTENCY_HEADER;

use super::*;
use crate::memory::{request, send};

/// Another control plane has created the organization `new`, and this one does not know it yet.
fn organization_elsewhere(control_api: &MemoryControlApi) {
    let organization = Organization {
        id: "new".parse().unwrap(),
        meta: ObjectMeta::default(),
        rate_limits: Vec::new(),
    };
    let create = Command::Create(OperatorObject::Organization(organization));
    control_api.unseen.lock().unwrap().push(create);
}

fn create_in_new_organization() -> CreateServerRequest {
    CreateServerRequest {
        parent: "organizations/new".into(),
        ..create_server("files")
    }
}

#[tokio::test]
async fn a_write_over_an_object_that_another_control_plane_has_just_created_is_accepted() {
    let (router, control_api, _trigger) = start();
    organization_elsewhere(&control_api);
    let create = create_in_new_organization();
    let answer = call(&router, "Servers/CreateServer", Some("system"), &create).await;
    let server: pb::Server = answer.read();
    let name = server.metadata.unwrap_or_default().name;
    assert_eq!(name, "organizations/new/servers/files");
}

#[tokio::test]
async fn a_read_is_of_the_latest_state_if_it_asks_for_it() {
    let (router, control_api, _trigger) = start();
    organization_elsewhere(&control_api);
    let message = GetOrganizationRequest {
        name: "organizations/new".into(),
    };
    let path = "/toolgate.admin.v1.Organizations/GetOrganization";
    let read = || request(path, Some("system"), &message.encode_to_vec());
    assert_eq!(send(&router, read()).await.code, Code::NotFound);
    let mut latest = read();
    let value = http::HeaderValue::from_static("latest");
    latest.headers_mut().insert(CONSISTENCY_HEADER, value);
    let found: pb::Organization = send(&router, latest).await.read();
    assert_eq!(found.metadata.unwrap_or_default().name, "organizations/new");
}

#[tokio::test]
async fn a_token_that_another_control_plane_has_just_created_is_accepted() {
    let (router, control_api, _trigger) = start();
    let token = Token {
        name: ObjectName::new("acme".parse().unwrap(), "fresh".parse().unwrap()),
        meta: ObjectMeta::default(),
        gateway_uids: std::collections::BTreeMap::new(),
        scope: TokenSubject::Organization,
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        role: AdminRole::Viewer,
        hash: control_api.hash(SecretPurpose::Bearer, b"fresh"),
        revoked: None,
        hint: String::new(),
        rate_limits: Vec::new(),
        system: false,
    };
    let create = Command::Create(OperatorObject::Token(token));
    control_api.unseen.lock().unwrap().push(create);
    let list = ListServersRequest {
        parent: "organizations/acme".into(),
        ..Default::default()
    };
    let answer = call(&router, "Servers/ListServers", Some("fresh"), &list).await;
    let _page: ListServersResponse = answer.read();
    let unknown = call(&router, "Servers/ListServers", Some("forged"), &list).await;
    assert_eq!(unknown.code, Code::Unauthenticated);
}

#[tokio::test]
async fn without_its_store_a_control_plane_reads_but_rejects_nothing_and_writes_nothing() {
    let (router, control_api, _trigger) = start();
    organization_elsewhere(&control_api);
    control_api.store_unavailable.store(true, Ordering::Relaxed);
    let create = create_in_new_organization();
    let answer = call(&router, "Servers/CreateServer", Some("system"), &create).await;
    assert_eq!(answer.code, Code::Unavailable, "{:?}", answer.status);
    let details = answer.status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    assert_eq!(reason.as_deref(), Some("STATE_NOT_CURRENT"));
    let text = answer.status.message();
    assert!(text.contains("nothing was written"), "{text}");
    let list = ListServersRequest {
        parent: "organizations/acme".into(),
        ..Default::default()
    };
    let read = call(&router, "Servers/ListServers", Some("viewer"), &list).await;
    let _page: ListServersResponse = read.read();
    let unknown = call(&router, "Servers/ListServers", Some("forged"), &list).await;
    assert_eq!(unknown.code, Code::Unauthenticated);
}
