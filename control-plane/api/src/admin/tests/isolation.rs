//! Tests that nothing of another organization is ever shown, in lists, pages, gets, watches or errors. All objects of
//! `rival` contain a canary, and all responses to `acme` are searched for it.

use toolgate_control_core::{Command, OperatorObject};
use toolgate_model::{
    CallTimeouts, Gateway, ObjectMeta, ObjectName, Organization, PrefixMode, Server,
};

use super::*;
use crate::memory::CallResponse;

const CANARY: &str = "canary";

fn meta() -> ObjectMeta {
    ObjectMeta {
        display_name: format!("{CANARY} name"),
        description: format!("{CANARY} description"),
        labels: [(CANARY.to_owned(), CANARY.to_owned())].into(),
        ..ObjectMeta::default()
    }
}

/// Creates `rival` with canaries in all its objects. Its own id contains no canary, because a caller may know it.
fn nest(control_api: &MemoryControlApi) {
    let create = |desired| control_api.command(Command::Create(desired)).unwrap();
    create(OperatorObject::Organization(Organization {
        id: "rival".parse().unwrap(),
        meta: meta(),
        rate_limits: Vec::new(),
    }));
    control_api.token("rival", "rival-admin", AdminRole::Admin, false);
    control_api.token("rival", "canary-token", AdminRole::None, false);
    for at in 0..5 {
        let name = |kind: &str| {
            let id = format!("{CANARY}-{kind}-{at}");
            ObjectName::new("rival".parse().unwrap(), id.parse().unwrap())
        };
        create(OperatorObject::Server(Server {
            name: name("server"),
            meta: meta(),
            source: toolgate_model::ServerSource::remote(
                format!("https://{CANARY}.example").parse().unwrap(),
            ),
            credential: None,
            era: Default::default(),
            protocol_version: None,
            timeouts: CallTimeouts::default(),
            drift: Default::default(),
            relay: Default::default(),
            sharing: Default::default(),
            max_answer: Default::default(),
            rate_limits: Vec::new(),
        }));
        create(OperatorObject::Gateway(Gateway {
            identity_providers: Vec::new(),
            name: name("gateway"),
            meta: meta(),
            prefix: PrefixMode::Always,
            listing: toolgate_model::ToolListing::default(),
            bindings: Vec::new(),
            instructions: CANARY.into(),
            rate_limits: Vec::new(),
        }));
        let catalogue = memory::definitions(name("server"));
        let recorded = control_api.command(Command::RecordDefinitions(catalogue));
        recorded.unwrap();
    }
}

fn clean(what: &str, answer: &CallResponse) {
    let shown = String::from_utf8_lossy(&answer.raw);
    assert!(!shown.contains(CANARY), "{what}: {shown}");
}

#[tokio::test]
async fn no_request_of_one_organization_reveals_objects_of_another() {
    let (router, control_api, _trigger) = start();
    nest(&control_api);
    let mut answered = 0;
    for token in ["viewer", "editor", "admin"] {
        for parent in [
            "organizations/acme",
            "organizations/rival",
            "organizations/nobody",
        ] {
            let own = parent == "organizations/acme";
            for page_size in [0, 1, 1000] {
                macro_rules! lists {
                    ($($method:literal: $Request:ident),*) => {$(
                        let request = $Request {
                            parent: parent.into(),
                            page_size,
                            page_token: String::new(),
                        };
                        let answer = call(&router, $method, Some(token), &request).await;
                        clean($method, &answer);
                        assert_eq!(answer.code == Code::Ok, own, "{} {parent}", $method);
                        answered += 1;
                    )*};
                }
                lists!(
                    "Gateways/ListGateways": ListGatewaysRequest,
                    "Servers/ListServers": ListServersRequest,
                    "Credentials/ListCredentials": ListCredentialsRequest,
                    "IdentityProviders/ListIdentityProviders": ListIdentityProvidersRequest,
                    "Tokens/ListTokens": ListTokensRequest,
                    "Catalogues/ListCatalogues": ListCataloguesRequest
                );
            }
        }
        let all = ListOrganizationsRequest::default();
        let answer = call(
            &router,
            "Organizations/ListOrganizations",
            Some(token),
            &all,
        )
        .await;
        clean("organizations", &answer);
        assert_eq!(
            answer
                .read::<ListOrganizationsResponse>()
                .organizations
                .len(),
            1
        );
        for parent in ["", "organizations/acme"] {
            let request = WatchRequest {
                parent: parent.into(),
                kinds: Vec::new(),
            };
            let answer = call(&router, "Watch/Watch", Some(token), &request).await;
            clean("watch", &answer);
            assert!(
                !answer.message.is_empty(),
                "the watch showed nothing at all"
            );
            answered += 1;
        }
    }
    assert!(answered > 100);
}

#[tokio::test]
async fn foreign_and_missing_objects_get_the_same_error() {
    let (router, control_api, _trigger) = start();
    nest(&control_api);
    let get = |name: &str| GetGatewayRequest { name: name.into() };
    let mut texts = Vec::new();
    for id in ["canary-gateway-0", "no-such-gateway-0"] {
        let name = format!("organizations/rival/gateways/{id}");
        let answer = call(&router, "Gateways/GetGateway", Some("admin"), &get(&name)).await;
        assert_eq!(answer.code, Code::NotFound);
        texts.push(answer.status.message().replace(id, "ID"));
        let delete = DeleteGatewayRequest {
            name: name.clone(),
            ..Default::default()
        };
        let answer = call(&router, "Gateways/DeleteGateway", Some("admin"), &delete).await;
        assert_eq!(answer.code, Code::NotFound);
        texts.push(answer.status.message().replace(id, "ID"));
    }
    texts.dedup();
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert_eq!(control_api.published().state.gateways.len(), 5);
}

#[tokio::test]
async fn a_page_token_is_bound_to_its_caller_and_list() {
    let (router, control_api, _trigger) = start();
    nest(&control_api);
    for id in ["a", "b", "c"] {
        let answer = call(
            &router,
            "Servers/CreateServer",
            Some("editor"),
            &create_server(id),
        )
        .await;
        assert_eq!(answer.code, Code::Ok);
    }
    let first = |parent: &str| ListServersRequest {
        parent: parent.into(),
        page_size: 1,
        page_token: String::new(),
    };
    let list = async |token: &str, request: &ListServersRequest| {
        call(&router, "Servers/ListServers", Some(token), request).await
    };
    let page: ListServersResponse = list("viewer", &first("organizations/acme")).await.read();
    let rivals: ListServersResponse = list("rival-admin", &first("organizations/rival"))
        .await
        .read();
    assert!(!rivals.next_page_token.is_empty());
    let with = |page_token: &str| ListServersRequest {
        page_token: page_token.into(),
        ..first("organizations/acme")
    };
    assert_eq!(
        list("viewer", &with(&page.next_page_token)).await.code,
        Code::Ok
    );
    let mut altered = page.next_page_token.clone();
    altered.replace_range(..1, if altered.starts_with('A') { "B" } else { "A" });
    for (token, swapped) in [
        ("editor", page.next_page_token.as_str()),
        ("viewer", rivals.next_page_token.as_str()),
        ("viewer", altered.as_str()),
        ("viewer", "not base64!"),
        ("viewer", "AAAA"),
        ("viewer", &"A".repeat(4000)),
    ] {
        let answer = list(token, &with(swapped)).await;
        clean("swapped token", &answer);
        assert_eq!(answer.code, Code::InvalidArgument, "{swapped}");
        let details = answer.status.get_error_details();
        assert_eq!(
            details.bad_request().unwrap().field_violations[0].field,
            "page_token"
        );
    }
    let gateways = ListGatewaysRequest {
        parent: "organizations/acme".into(),
        page_size: 1,
        page_token: page.next_page_token,
    };
    let answer = call(&router, "Gateways/ListGateways", Some("viewer"), &gateways).await;
    assert_eq!(answer.code, Code::InvalidArgument);
}

#[tokio::test]
async fn a_caller_sees_the_unreadable_objects_of_its_organization_only() {
    let (router, control_api, _trigger) = start();
    nest(&control_api);
    let mut published = (*control_api.published()).clone();
    let mut state = (*published.state).clone();
    let revision = state.revision() + 1;
    let keys = [
        "/v1/desired/acme/gateway/torn",
        "/v1/desired/rival/gateway/canary-torn",
        "/v1/canary",
    ];
    let garbage = |key: &str| toolgate_control_core::state::ObjectEvent::Put {
        key: key.to_owned(),
        modified: revision,
        object: Err("cut off".to_owned()),
    };
    state.apply(keys.map(garbage), revision);
    published.state = Arc::new(state);
    control_api.publish(published);
    let read = async |token: &str| {
        let method = "Deployment/GetStatus";
        call(&router, method, Some(token), &GetStatusRequest {}).await
    };
    let of_viewer = read("viewer").await;
    clean("status", &of_viewer);
    let subjects = |answer: &CallResponse| {
        let status: DeploymentStatus = answer.read();
        let warnings = status.warnings.into_iter();
        warnings.map(|it| it.subject).collect::<Vec<_>>()
    };
    assert_eq!(subjects(&of_viewer), ["gateway acme/torn"]);
    assert_eq!(subjects(&read("system").await).len(), 3);
}
