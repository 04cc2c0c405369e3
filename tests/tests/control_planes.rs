//! Two control planes over one etcd: commands that reach them in turn see each other.

use anyhow::Result;
use futures_util::future::try_join_all;
use tonic::{Code, Request, transport::Channel};
use toolgate_proto::admin::v1::{
    Binding, CreateGatewayRequest, CreateServerRequest, DeleteServerRequest, Gateway, GatewaySpec,
    Server, ServerSpec, gateways_client::GatewaysClient, servers_client::ServersClient,
};
use toolgate_tests::{
    clock::{HANG_GUARD, eventually, is_drill},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    toolgate::{CommandLine, ControlPlaneProcess},
};

/// Exit code of a command whose control plane or store did not answer.
const UNAVAILABLE: i32 = 6;

/// Runs commands that build on each other through two control planes in turn. Returns the number of commands that ended
/// as unavailable; any other failure is an error.
async fn run_in_turn(planes: [&CommandLine; 2], round: usize) -> Result<usize> {
    let (server, gateway, token) = (
        format!("server-{round}"),
        format!("gateway-{round}"),
        format!("token-{round}"),
    );
    let url = "http://127.0.0.1:65000/mcp";
    let commands: [&[&str]; 5] = [
        &["server", "add", &server, "--url", url, "--no-wait"],
        &["gateway", "create", &gateway, "--server", &server],
        &["token", "create", &token, "--gateway", &gateway],
        &["token", "revoke", &token],
        &["get", "token", &token],
    ];
    for (number, command) in commands.iter().enumerate() {
        let output = planes[(round + number) % 2].output(command).await?;
        match output.status.code() {
            Some(0) => {}
            // What builds on it cannot be run.
            Some(UNAVAILABLE) => return Ok(1),
            code => anyhow::bail!(
                "{command:?} ended with {code:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            ),
        }
    }
    Ok(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_a_row_through_two_control_planes_are_never_falsely_rejected() {
    let sandbox = Sandbox::new("in-a-row").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let endpoints = etcd.endpoints();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &endpoints)
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let command_lines = [first.cli().unwrap(), second.cli().unwrap()];
    let planes = [&command_lines[0], &command_lines[1]];
    for round in 0..15 {
        let unavailable = run_in_turn(planes, round).await.unwrap();
        assert_eq!(unavailable, 0, "round {round}");
    }
    // 1,005 commands in a drill.
    let rounds = if is_drill() { 67 } else { 3 };
    for member in 0..3 {
        etcd.freeze(member).unwrap();
        let mut unavailable = 0;
        for round in 0..rounds {
            let round = 100 * (member + 1) + round;
            // A false rejection is an error.
            unavailable += run_in_turn(planes, round).await.unwrap();
        }
        etcd.thaw(member).unwrap();
        println!("with member {member} frozen: {unavailable} of {rounds} rounds were cut short");
        assert!(
            unavailable < rounds,
            "no round succeeds beside a frozen member"
        );
    }
    let unavailable = run_in_turn(planes, 1_000).await.unwrap();
    println!("afterwards: {unavailable} unavailable");
}

/// Runs a command; returns its exit code, what it wrote, and what it told.
async fn run(plane: &CommandLine, command: &[&str]) -> Result<(Option<i32>, String, String)> {
    let output = plane.output(command).await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_quorum_is_told_by_every_command() {
    let sandbox = Sandbox::new("quorum").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let plane = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let cli = plane.cli().unwrap();
    let url = "http://127.0.0.1:65000/mcp";
    cli.run(&["server", "add", "before", "--url", url, "--no-wait"])
        .await
        .unwrap();
    etcd.freeze(0).unwrap();
    etcd.freeze(1).unwrap();
    let (code, shown, told) = run(&cli, &["get", "servers"]).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(shown.contains("before"), "{shown}");
    assert!(told.contains("may be out of date"), "{told}");
    let add = ["server", "add", "during", "--url", url, "--no-wait"];
    let (code, _, told) = run(&cli, &add).await.unwrap();
    assert_eq!(code, Some(UNAVAILABLE), "{told}");
    assert!(told.contains("nothing was written"), "{told}");
    let (code, shown, told) = run(&cli, &["doctor"]).await.unwrap();
    assert_eq!(code, Some(1), "{shown}{told}");
    assert!(shown.contains("nothing can be written"), "{shown}");
    etcd.thaw(0).unwrap();
    etcd.thaw(1).unwrap();
    eventually("writes go on", HANG_GUARD, || async {
        let (code, _, told) = run(&cli, &add).await?;
        anyhow::ensure!(code == Some(0), "{code:?} {told}");
        Ok(())
    })
    .await
    .unwrap();
}

/// Returns a request of the system token.
fn authorized<T>(token: &str, message: T) -> Result<Request<T>> {
    let mut request = Request::new(message);
    let bearer = format!("Bearer {token}").parse()?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}

fn server_creation(id: String) -> CreateServerRequest {
    let spec = ServerSpec {
        url: "http://127.0.0.1:65000/mcp".to_owned(),
        ..ServerSpec::default()
    };
    CreateServerRequest {
        parent: "organizations/default".to_owned(),
        server_id: id,
        server: Some(Server {
            spec: Some(spec),
            ..Server::default()
        }),
        ..CreateServerRequest::default()
    }
}

fn gateway_creation(id: &str, server: &str) -> CreateGatewayRequest {
    let binding = Binding {
        server: server.to_owned(),
        ..Binding::default()
    };
    let spec = GatewaySpec {
        bindings: vec![binding],
        ..GatewaySpec::default()
    };
    CreateGatewayRequest {
        parent: "organizations/default".to_owned(),
        gateway_id: id.to_owned(),
        gateway: Some(Gateway {
            spec: Some(spec),
            ..Gateway::default()
        }),
        ..CreateGatewayRequest::default()
    }
}

/// Creates `count` servers of its own, one after the other.
async fn create_servers(
    channel: Channel,
    token: String,
    writer: usize,
    count: usize,
) -> Result<()> {
    let mut client = ServersClient::new(channel);
    for number in 0..count {
        let message = server_creation(format!("server-{writer}-{number}"));
        client.create_server(authorized(&token, message)?).await?;
    }
    Ok(())
}

/// Connects to the admin API of each control plane.
async fn channels(planes: [&ControlPlaneProcess; 2]) -> Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for plane in planes {
        let endpoint = Channel::from_shared(format!("http://{}", plane.admin()))?;
        channels.push(endpoint.connect().await?);
    }
    Ok(channels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_never_deleted_through_one_control_plane_while_another_binds_it() {
    let sandbox = Sandbox::new("exclusion").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let cli = first.cli().unwrap();
    let [_, (_, token)] = cli.environment();
    let channels = channels([&first, &second]).await.unwrap();
    for round in 0..20 {
        let (one, other) = (&channels[round % 2], &channels[(round + 1) % 2]);
        let id = format!("o{round}");
        let mut servers = ServersClient::new(one.clone());
        let created = authorized(token, server_creation(id.clone())).unwrap();
        servers.create_server(created).await.unwrap();
        let deletion = DeleteServerRequest {
            name: format!("organizations/default/servers/{id}"),
            ..DeleteServerRequest::default()
        };
        let mut gateways = GatewaysClient::new(other.clone());
        let (deleted, bound) = tokio::join!(
            servers.delete_server(authorized(token, deletion).unwrap()),
            gateways.create_gateway(authorized(token, gateway_creation(&id, &id)).unwrap()),
        );
        let outcomes = [deleted.map(|_| ()), bound.map(|_| ())];
        let accepted = outcomes.iter().filter(|it| it.is_ok()).count();
        assert_eq!(accepted, 1, "round {round}: {outcomes:?}");
        let refused = outcomes.into_iter().find_map(Result::err).unwrap();
        let is_decided = !matches!(refused.code(), Code::Unavailable | Code::Unknown);
        assert!(is_decided, "round {round}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_different_objects_over_two_control_planes_are_never_refused() {
    const WRITERS: usize = 64;
    const WRITES: usize = 5;
    let sandbox = Sandbox::new("writers").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let cli = first.cli().unwrap();
    let [_, (_, token)] = cli.environment();
    let channels = channels([&first, &second]).await.unwrap();
    let writers = (0..WRITERS).map(|writer| {
        let channel = channels[writer % channels.len()].clone();
        create_servers(channel, token.to_owned(), writer, WRITES)
    });
    try_join_all(writers)
        .await
        .expect("no writer of an object of its own is refused");
    for plane in [&first, &second] {
        let cli = plane.cli().unwrap();
        let listed = cli.json(&["get", "servers"]).await.unwrap();
        let count = listed.as_array().map(Vec::len);
        assert_eq!(count, Some(WRITERS * WRITES), "{listed}");
    }
}
