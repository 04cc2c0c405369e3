//! Signals of the operating system, and notifications to the service supervisor (systemd).

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Completes on SIGTERM or SIGINT. Call it again to detect a second signal, which requests an immediate end.
pub async fn terminate() -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Completes on SIGHUP, which requests a reload of files.
pub async fn reload() -> io::Result<()> {
    signal(SignalKind::hangup())?.recv().await;
    Ok(())
}

/// Notifies systemd that the process is ready. No effect without systemd.
pub fn notify_ready() {
    notify(&[sd_notify::NotifyState::Ready]);
}

/// Notifies systemd that the process is draining, with a status text. No effect without systemd.
pub fn notify_stopping(status: &str) {
    notify(&[
        sd_notify::NotifyState::Stopping,
        sd_notify::NotifyState::Status(status),
    ]);
}

fn notify(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service supervisor could not be notified");
    }
}
