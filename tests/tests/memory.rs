//! Memory of idle sessions, read from the real process, where pools, buffers and actors add up.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use toolgate_tests::agent::Agent;
use toolgate_tests::clock::{HANG_GUARD, eventually, is_drill};
use toolgate_tests::notification_stream::NotificationStream;
use toolgate_tests::sandbox::Sandbox;
use toolgate_tests::toolgate::ToolgateUp;
use toolgate_tests::upstream_server::UpstreamServer;

/// Sessions of one token, well below what one principal may have.
const PER_TOKEN: usize = 1_000;
/// Sessions that are opened before the first reading, so that pools and buffers are warm.
const WARM_UP_SESSIONS: usize = 500;
/// Before a reading: late frees settle.
const SETTLE_TIME: Duration = Duration::from_secs(2);
const KIB: u64 = 1024;

/// Sessions, and their streams where they have one.
type OpenSessions = Vec<(Agent, Option<NotificationStream>)>;

/// Agents with a token each, enough for so many sessions. Made ahead: what a token costs is none of a session's.
async fn agents(up: &ToolgateUp, sessions: usize) -> Result<Vec<Agent>> {
    let (cli, url) = (up.cli()?, up.url("idle"));
    let mut agents = Vec::new();
    for number in 0..sessions.div_ceil(PER_TOKEN) {
        let name = format!("t{number}");
        let token = cli.token(&name, &["--gateway", "idle"]).await?;
        let agent = Agent::modern(&url, &token);
        eventually("the token is accepted", HANG_GUARD, || agent.tools()).await?;
        agents.push(agent);
    }
    Ok(agents)
}

/// Opens sessions until there are so many, over the connection of their agent, and a stream for each.
async fn open(
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

/// Asserts that each of `count` sessions, opened after a warm-up, adds at most `most` bytes to the process, once late frees have
/// settled.
async fn costs(name: &str, count: u32, streams: bool, most: u64) -> Result<()> {
    let sandbox = Sandbox::new(name)?;
    let server = UpstreamServer::fixture(&sandbox, "idle", &[]).await?;
    let mut up = ToolgateUp::start(&sandbox, &[]).await?;
    up.expose("idle", server.url(), "single").await?;
    let all = WARM_UP_SESSIONS + usize::try_from(count)?;
    let agents = agents(&up, all).await?;
    let mut held = OpenSessions::new();
    open(&agents, WARM_UP_SESSIONS, streams, &mut held).await?;
    tokio::time::sleep(SETTLE_TIME).await;
    let before = up.process().resident()?;
    open(&agents, all, streams, &mut held).await?;
    let process = up.process();
    let settled = eventually("sessions cost no more than that", HANG_GUARD, || {
        let resident = process.resident();
        async move {
            let each = resident?.saturating_sub(before) / u64::from(count);
            ensure!(each <= most, "{each} bytes each");
            Ok(())
        }
    });
    settled.await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_session_with_an_open_stream_uses_at_most_sixteen_kibibytes() {
    costs("streams", 500, true, 16 * KIB).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_legacy_session_without_a_stream_uses_at_most_one_kibibyte() {
    // What the process holds moves by some mebibytes by itself: so many that it does not matter.
    let count = if is_drill() { 100_000 } else { 16_000 };
    costs("sessions", count, false, KIB).await.unwrap();
}
