//! Two control planes over one etcd: commands that reach them in turn see each other.

use anyhow::Result;
use futures_util::future::try_join_all;
use tonic::{Request, transport::Channel};
use toolgate_proto::admin::v1::{
    CreateServerRequest, Server, ServerSpec, servers_client::ServersClient,
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

/// Creates `count` servers of its own, one after the other.
async fn create_servers(
    channel: Channel,
    token: String,
    writer: usize,
    count: usize,
) -> Result<()> {
    let mut client = ServersClient::new(channel);
    for number in 0..count {
        let spec = ServerSpec {
            url: "http://127.0.0.1:65000/mcp".to_owned(),
            ..ServerSpec::default()
        };
        let mut request = Request::new(CreateServerRequest {
            parent: "organizations/default".to_owned(),
            server_id: format!("server-{writer}-{number}"),
            server: Some(Server {
                spec: Some(spec),
                ..Server::default()
            }),
            ..CreateServerRequest::default()
        });
        let bearer = format!("Bearer {token}").parse()?;
        request.metadata_mut().insert("authorization", bearer);
        client.create_server(request).await?;
    }
    Ok(())
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
    let mut channels = Vec::new();
    for address in [first.admin(), second.admin()] {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        channels.push(endpoint.connect().await.unwrap());
    }
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
