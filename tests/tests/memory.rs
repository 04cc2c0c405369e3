//! Memory of idle sessions, measured on the real process, where it includes pools, buffers and actors.

use std::time::Duration;

use anyhow::{Context as _, Result};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::eventually;
use toolgate_tests::notification_stream::NotificationStream;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Sessions per token, well below the quota of a principal.
const PER_TOKEN: usize = 1_000;
/// Sessions opened before the first measurement, so that pools and buffers are warm.
const WARM_UP_SESSIONS: usize = 500;
/// Delay before a measurement, for late frees.
const SETTLE_TIME: Duration = Duration::from_secs(2);
/// Longest wait for a new token to be accepted.
const SOON: Duration = Duration::from_secs(20);
const KIB: u64 = 1024;

/// Sessions, and their streams if they have one.
type OpenSessions = Vec<(Agent, Option<NotificationStream>)>;

/// Creates agents with a token each, enough for `sessions` sessions. Created ahead, so that the cost of tokens is not
/// counted.
async fn agents(up: &ToolgateUp, sessions: usize) -> Result<Vec<Agent>> {
    let (cli, url) = (up.cli()?, up.url("idle"));
    let mut agents = Vec::new();
    for number in 0..sessions.div_ceil(PER_TOKEN) {
        let name = format!("t{number}");
        let token = cli.token(&name, &["--gateway", "idle"]).await?;
        let agent = Agent::modern(&url, &token);
        eventually("the token is accepted", SOON, || agent.tools()).await?;
        agents.push(agent);
    }
    Ok(agents)
}

/// Opens sessions over the connection of their agent until there are `count`, with a stream each if `streams` is set.
async fn open_sessions(
    agents: &[Agent],
    count: usize,
    streams: bool,
    held: &mut OpenSessions,
) -> Result<()> {
    while held.len() < count {
        let agent = agents.get(held.len() / PER_TOKEN).context("no agent")?;
        let session = agent.open_another().await?;
        let stream = match streams {
            true => Some(session.listen().await?),
            false => None,
        };
        held.push((session, stream));
    }
    Ok(())
}

/// Bytes per session, measured over `count` sessions after the warm-up sessions.
async fn bytes_per_session(name: &str, count: u32, streams: bool) -> Result<u64> {
    let sandbox = Sandbox::new(name)?;
    let server = UpstreamServer::fixture(&sandbox, "idle", &[]).await?;
    let mut up = ToolgateUp::start(&sandbox, &[]).await?;
    up.expose("idle", server.url(), "single").await?;
    let all = WARM_UP_SESSIONS + usize::try_from(count)?;
    let agents = agents(&up, all).await?;
    let mut held = OpenSessions::new();
    open_sessions(&agents, WARM_UP_SESSIONS, streams, &mut held).await?;
    tokio::time::sleep(SETTLE_TIME).await;
    let before = up.process().resident()?;
    open_sessions(&agents, all, streams, &mut held).await?;
    tokio::time::sleep(SETTLE_TIME).await;
    let after = up.process().resident()?;
    Ok(after.saturating_sub(before) / u64::from(count))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_session_with_an_open_stream_uses_at_most_sixteen_kibibytes() {
    let each = bytes_per_session("streams", 500, true).await.unwrap();
    println!("{each} bytes each");
    assert!(each <= 16 * KIB, "{each} bytes each");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_legacy_session_without_a_stream_uses_at_most_one_kibibyte() {
    // The memory of the process varies by some mebibytes: this number of sessions makes that negligible.
    let each = bytes_per_session("sessions", 16_000, false).await.unwrap();
    println!("{each} bytes each");
    assert!(each <= KIB, "{each} bytes each");
}
