//! Tests of the admin listener on a real socket.

use std::{net::SocketAddr, time::Duration};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, transport::Endpoint};
use toolgate_model::AdminRole;
use toolgate_proto::admin::v1::{
    ListOrganizationsRequest, WatchRequest, organizations_client::OrganizationsClient,
    watch_client::WatchClient,
};
use toolgate_runtime::drain::{self, DrainOutcome, DrainTrigger};

use super::*;
use crate::{
    admin::{self, AdminOptions},
    control_api::ControlApi,
    memory::{HANG_GUARD, MemoryControlApi},
};

async fn serve() -> (SocketAddr, DrainTrigger) {
    let control_api = MemoryControlApi::new();
    control_api.token("acme", "viewer", AdminRole::Viewer, false);
    let control_api: Arc<dyn ControlApi> = Arc::new(control_api);
    let (drain, trigger) = drain::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = admin::serve(
        listener,
        control_api,
        AdminOptions::default(),
        drain.clone(),
    );
    drain.spawn("admin listener", serving);
    (address, trigger)
}

fn as_viewer<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = "Bearer viewer".parse().unwrap();
    request.metadata_mut().insert("authorization", bearer);
    request
}

#[expect(clippy::disallowed_methods, reason = "a client of a test")]
async fn raw(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = timeout(HANG_GUARD, stream.read(&mut answer));
    let length = read.await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[tokio::test]
async fn grpc_clients_and_browsers_are_served_on_one_port() {
    let (address, trigger) = serve().await;
    let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut client = OrganizationsClient::new(channel);
    let listed = client.list_organizations(as_viewer(ListOrganizationsRequest::default()));
    assert_eq!(listed.await.unwrap().into_inner().organizations.len(), 1);
    let page = raw(address, "GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    let web = "POST /toolgate.admin.v1.Organizations/ListOrganizations HTTP/1.1\r\nhost: x\r\n\
               content-type: application/grpc-web+proto\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
    let answer = raw(address, web).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        answer.to_lowercase().contains("grpc-status: 16"),
        "{answer}"
    );
    drop(client);
    assert_eq!(trigger.drain(HANG_GUARD).await, DrainOutcome::Drained);
}

#[tokio::test]
async fn a_request_with_too_long_headers_is_rejected() {
    let (address, _trigger) = serve().await;
    let long = format!(
        "GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n",
        "x".repeat(100_000)
    );
    let answer = raw(address, &long).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_drain_ends_connections_with_open_watches_in_time() {
    let (address, trigger) = serve().await;
    let endpoint = Endpoint::try_from(format!("http://{address}")).unwrap();
    let mut client = WatchClient::new(endpoint.connect().await.unwrap());
    let watch = client
        .watch(as_viewer(WatchRequest::default()))
        .await
        .unwrap();
    let mut watch = watch.into_inner();
    watch.message().await.unwrap().unwrap();
    assert_eq!(trigger.drain(HANG_GUARD).await, DrainOutcome::Drained);
    while let Ok(Some(_event)) = watch.message().await {}
    let after = client.watch(as_viewer(WatchRequest::default())).await;
    assert_ne!(after.unwrap_err().code(), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let (mut near, far) = tokio::io::duplex(1024);
    let (drain, _trigger) = drain::new();
    let serve = ServeOptions {
        router: Router::new(),
        http1: true,
        drain: drain.clone(),
        name: "test",
        reserved_connections: 0,
        grace: Duration::from_secs(1),
        hosts: None,
    };
    drain.spawn("test", connection(far, ConnectionPeer::Unknown, serve));
    // Settings and the reason for the end are all that comes.
    let mut answer = Vec::new();
    let ended = timeout(Duration::from_secs(60), near.read_to_end(&mut answer));
    assert!(ended.await.unwrap().unwrap() < 100);
}
