//! Two control planes over one etcd: commands that reach them in turn see each other.

use anyhow::Result;
use toolgate_tests::{
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
    for member in 0..3 {
        etcd.freeze(member).unwrap();
        let mut unavailable = 0;
        for round in 0..3 {
            let round = 100 * (member + 1) + round;
            unavailable += run_in_turn(planes, round).await.unwrap();
        }
        etcd.thaw(member).unwrap();
        println!("with member {member} frozen: {unavailable} of 15 commands were unavailable");
    }
    let unavailable = run_in_turn(planes, 1_000).await.unwrap();
    println!("afterwards: {unavailable} unavailable");
}
