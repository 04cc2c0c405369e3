//! DNS rebinding: the admin API and the private port serve requests for their own names only, over HTTP/1, HTTP/2 and gRPC.

use std::net::SocketAddr;

use anyhow::Result;
use axum::body::Body;
use http::{Request, StatusCode, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use toolgate_proto::admin::v1::ListOrganizationsRequest;
use toolgate_proto::admin::v1::organizations_client::OrganizationsClient;
use toolgate_tests::http_client::{HttpReply, TestHttpClient, socket};
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;

const REBOUND: &str = "rebound.example";
const SETTINGS: [&str; 4] = [
    "--admin-host",
    "admin.example.com",
    "--private-host",
    "health.example.com:7401",
];

/// Sends a GET over HTTP/1 under this name.
async fn get(address: SocketAddr, path: &str, host: &str) -> Result<HttpReply> {
    let request = Request::get(format!("http://{address}{path}")).header("host", host);
    TestHttpClient::default()
        .send(request.body(Body::empty())?)
        .await
}

/// Sends a GET over HTTP/2 under this name, which is its `:authority`.
async fn get_over_http2(address: SocketAddr, path: &str, name: &str) -> Result<StatusCode> {
    let io = TokioIo::new(socket(address).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
    let mut driver = JoinSet::new();
    driver.spawn(connection);
    let request = Request::get(format!("http://{name}{path}")).body(Body::empty())?;
    let response = sender.send_request(request).await?;
    driver.abort_all();
    Ok(response.status())
}

/// Calls the admin API without a token under this name, as a gRPC client does.
async fn call(address: SocketAddr, name: &str) -> Result<Status> {
    let origin: Uri = format!("http://{name}").parse()?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?.origin(origin);
    let mut client = OrganizationsClient::new(endpoint.connect().await?);
    let listed = client
        .list_organizations(ListOrganizationsRequest::default())
        .await;
    Ok(listed.err().unwrap_or_else(|| Status::ok("listed")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_the_listeners_own_is_refused_at_the_admin_api_and_the_private_port() {
    let sandbox = Sandbox::new("rebound").unwrap();
    let up = ToolgateUp::start(&sandbox, &SETTINGS).await.unwrap();
    for (address, path, setting) in [
        (up.private(), "/readyz?verbose", "`--private-host`"),
        (up.private(), "/metrics", "`--private-host`"),
        (up.admin(), "/", "`--admin-host`"),
    ] {
        for host in [REBOUND, "localhost.rebound.example", "10.9.8.7:7401"] {
            let reply = get(address, path, host).await.unwrap();
            assert_eq!(reply.status, 421, "{path} {host}: {}", reply.text());
            assert!(reply.text().contains(setting), "{}", reply.text());
            assert!(reply.text().len() < 200, "{}", reply.text());
        }
        let status = get_over_http2(address, path, REBOUND).await.unwrap();
        assert_eq!(status, 421, "{path}");
    }
    let refused = call(up.admin(), REBOUND).await.unwrap();
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains("`--admin-host`"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn own_and_configured_names_are_served_on_every_listener() {
    let sandbox = Sandbox::new("own-names").unwrap();
    let up = ToolgateUp::start(&sandbox, &SETTINGS).await.unwrap();
    let own = |address: SocketAddr| format!("{address}");
    for host in [
        "localhost",
        "[::1]:1",
        "health.example.com:7401",
        &own(up.private()),
    ] {
        let reply = get(up.private(), "/livez", host).await.unwrap();
        assert_eq!(reply.status, 200, "{host}: {}", reply.text());
        let status = get_over_http2(up.private(), "/livez", host).await.unwrap();
        assert_eq!(status, 200, "{host}");
    }
    let other_port = get(up.private(), "/livez", "health.example.com")
        .await
        .unwrap();
    assert_eq!(other_port.status, 421);
    for name in [
        "localhost:7400",
        "admin.example.com",
        "ADMIN.example.com:443",
        &own(up.admin()),
    ] {
        // The call arrives, and wants a token.
        let status = call(up.admin(), name).await.unwrap();
        assert_eq!(status.code(), Code::Unauthenticated, "{name}: {status:?}");
    }
    up.cli()
        .unwrap()
        .run(&["get", "organizations"])
        .await
        .unwrap();
}
