//! Repetition of a write that the change of another one overtakes: the object is read again, and changed as before.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::AdminClient;
use crate::cli::{
    client::kind::ApiResourceKind,
    output::error::{ApiErrorReason, CliError},
};

/// Time for which a write is repeated. With every repetition one of the writers succeeds.
const PERIOD: Duration = Duration::from_secs(10);
/// Longest pause before the first repetition, doubled before each further one. The pause is a random part of it.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// Longest pause before any repetition.
const MAX_PAUSE: Duration = Duration::from_millis(640);

/// Repetitions of one write.
#[derive(Debug)]
pub struct WriteRetry {
    started: Instant,
    pause: Duration,
}

impl WriteRetry {
    /// Starts the time for repetitions.
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            pause: FIRST_PAUSE,
        }
    }

    /// Waits for the next attempt. Returns `false` if the write failed for another reason than the change of another
    /// writer, or if the time is over.
    pub async fn is_due(&mut self, fault: &CliError) -> bool {
        let is_overtaken = matches!(
            fault.reason,
            ApiErrorReason::Stale | ApiErrorReason::AlreadyExists
        );
        if !is_overtaken || self.started.elapsed() + self.pause > PERIOD {
            return false;
        }
        tokio::time::sleep(part_of(self.pause, toolgate_runtime::random::number())).await;
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        true
    }
}

/// Returns a random part of a pause, so that writers that collide once do not collide again.
fn part_of(pause: Duration, random: u64) -> Duration {
    let most = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random % most.saturating_add(1))
}

/// Adds the next step to the error of a write that was overtaken until the time was over.
pub fn explain_overtaken(fault: CliError) -> CliError {
    match fault.reason == ApiErrorReason::Stale {
        true => fault.with_next_step(format!(
            "other changes of it came first for {} s: repeat the command",
            PERIOD.as_secs()
        )),
        false => fault,
    }
}

impl AdminClient {
    /// Changes an object: reads it, lets `change` edit it, and writes it, again if another change comes in between. An
    /// object for which `change` returns `false` is returned as it is, with `false`.
    pub async fn modify(
        &mut self,
        kind: &ApiResourceKind,
        name: &str,
        dry_run: bool,
        mut change: impl FnMut(&mut Value) -> Result<bool, CliError>,
    ) -> Result<(Value, bool), CliError> {
        let mut retry = WriteRetry::new();
        loop {
            let mut object = self.get(kind, name).await?;
            if !change(&mut object)? {
                return Ok((object, false));
            }
            match self.update(kind, object, dry_run).await {
                Ok(written) => return Ok((written, true)),
                Err(fault) => {
                    if !retry.is_due(&fault).await {
                        return Err(explain_overtaken(fault));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
