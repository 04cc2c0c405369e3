//! Measurement of the memory used by an idle session.

use std::time::Duration;

use anyhow::Result;

use super::connection::Connection;
use super::{Report, Target};
use crate::usage;

/// Number of sessions opened before the first reading, to warm up pools and buffers.
const WARM: usize = 500;
/// Pause before a reading, so that late deallocations are included.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) async fn run(
    target: Target,
    process: u32,
    count: usize,
    streams: bool,
) -> Result<Report> {
    let mut held = Vec::new();
    let mut opener = Connection::new(target.clone());
    open(&mut opener, &target, WARM, streams, &mut held).await?;
    tokio::time::sleep(SETTLE).await;
    let before = usage::of(process);
    open(&mut opener, &target, count, streams, &mut held).await?;
    tokio::time::sleep(SETTLE).await;
    let after = usage::of(process);
    let grown = after.memory as f64 - before.memory as f64;
    let opened = count.max(1) as f64;
    Ok(Report {
        done: count as u64,
        cpu: (after.cpu - before.cpu) * 1e6 / opened,
        memory: after.memory,
        per_session: Some(grown / opened),
        ..Report::default()
    })
}

/// Connection and response of a held session's stream, if it has one.
type Held = Option<(Connection, http::Response<hyper::body::Incoming>)>;

async fn open(
    opener: &mut Connection,
    target: &Target,
    count: usize,
    streams: bool,
    held: &mut Vec<Held>,
) -> Result<()> {
    for _ in 0..count {
        let session = opener.open().await?;
        let mut stream = None;
        if streams {
            let mut connection = Connection::new(target.clone());
            let answer = connection.listen(&session).await?;
            stream = Some((connection, answer));
        }
        held.push(stream);
    }
    Ok(())
}
