//! Signals that end a command before it is done. A command that has something to take back catches them, takes it back, and
//! ends with the exit code that shells give to a process that the signal ends.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::output::error::{CliError, CliErrorKind};

/// Signals that end a command, with their names and the kinds of their errors.
const SIGNALS: [(SignalKind, &str, CliErrorKind); 3] = [
    (SignalKind::hangup(), "SIGHUP", CliErrorKind::HungUp),
    (SignalKind::interrupt(), "SIGINT", CliErrorKind::Interrupted),
    (SignalKind::terminate(), "SIGTERM", CliErrorKind::Terminated),
];

/// Receiver of the signals that end a command. The signals do not end the process by themselves once it exists.
#[derive(Debug)]
pub struct StopSignals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignals {
    /// Begins to receive the signals.
    pub fn listen() -> Result<Self, CliError> {
        let [hangup, interrupt, terminate] = SIGNALS.map(|(kind, name, _)| {
            signal(kind)
                .map_err(|error| CliError::error(format!("cannot listen for {name}: {error}")))
        });
        Ok(Self {
            hangup: hangup?,
            interrupt: interrupt?,
            terminate: terminate?,
        })
    }

    /// Waits for a signal, and returns the error that the command ends with.
    pub async fn next(&mut self) -> CliError {
        let received = tokio::select! {
            _ = self.hangup.recv() => 0,
            _ = self.interrupt.recv() => 1,
            _ = self.terminate.recv() => 2,
        };
        let (_, name, kind) = SIGNALS[received];
        CliError::new(kind, format!("{name} ended the command"))
    }
}
