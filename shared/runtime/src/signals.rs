//! What the operating system and the service supervisor tell us, and what we tell them.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Ends when the process is asked to end (SIGTERM or SIGINT). Call it again for "at once, please".
pub async fn terminate() -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Ends when the process is asked to read its files again (SIGHUP).
pub async fn reload() -> io::Result<()> {
    signal(SignalKind::hangup())?.recv().await;
    Ok(())
}

/// Tells systemd, if it started us, that we are ready.
pub fn notify_ready() {
    notify(&[sd_notify::NotifyState::Ready]);
}

/// Tells systemd, if it started us, that we are draining, and why.
pub fn notify_stopping(status: &str) {
    notify(&[
        sd_notify::NotifyState::Stopping,
        sd_notify::NotifyState::Status(status),
    ]);
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service supervisor could not be told");
    }
}
