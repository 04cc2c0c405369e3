//! Measurement of the memory used by an idle session.

use std::time::Duration;

use anyhow::Result;

use super::connection::ClientConnection;
use super::{LoadReport, LoadTarget};
use crate::usage;

/// Number of sessions opened before the first reading, to warm up pools and buffers.
const WARMUP_SESSIONS: usize = 500;
/// Pause before a reading, so that late deallocations are included.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn run(
    target: LoadTarget,
    process: u32,
    count: usize,
    streams: bool,
) -> Result<LoadReport> {
    let mut held = Vec::new();
    let mut opener = ClientConnection::new(target.clone());
    open(&mut opener, &target, WARMUP_SESSIONS, streams, &mut held).await?;
    tokio::time::sleep(SETTLE).await;
    let before = usage::of(process);
    open(&mut opener, &target, count, streams, &mut held).await?;
    tokio::time::sleep(SETTLE).await;
    let after = usage::of(process);
    let grown = after.memory as f64 - before.memory as f64;
    let opened = count.max(1) as f64;
    Ok(LoadReport {
        done: count as u64,
        cpu: (after.cpu - before.cpu) * 1e6 / opened,
        memory: after.memory,
        per_session: Some(grown / opened),
        ..LoadReport::default()
    })
}

/// Connection and response of a held session's stream, if it has one.
type HeldSession = Option<(ClientConnection, http::Response<hyper::body::Incoming>)>;

async fn open(
    opener: &mut ClientConnection,
    target: &LoadTarget,
    count: usize,
    streams: bool,
    held: &mut Vec<HeldSession>,
) -> Result<()> {
    for _ in 0..count {
        let session = opener.open().await?;
        let mut stream = None;
        if streams {
            let mut connection = ClientConnection::new(target.clone());
            let answer = connection.listen(&session).await?;
            stream = Some((connection, answer));
        }
        held.push(stream);
    }
    Ok(())
}
