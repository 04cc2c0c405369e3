//! Liveness detection of a silent stream: a lost connection delivers no error and stays silent. A state machine driven
//! by ticks. Silence counts only while a request is pending. The server is then pinged, and the stream is given up only
//! if the server has accepted the ping and still sends nothing. A server that does not accept the ping is busy or
//! unreachable; pending requests then rely on their own deadlines.

/// Action after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LivenessVerdict {
    /// No action.
    Healthy,
    /// Send a ping.
    Probe,
    /// Give the stream up.
    Dead,
}

/// Number of ticks in the maximum silence during a call.
pub(crate) const TICKS_PER_TIMEOUT: u32 = 8;

/// Ticks of silence with a pending request before the server is pinged.
const PROBE_AFTER: u32 = 2;

/// Ticks of silence after the ping was accepted. The sum is less than [`TICKS_PER_TIMEOUT`], so that the stream is
/// given up before calls time out one by one.
const DEAD_AFTER: u32 = 4;

/// State of the liveness detection.
#[derive(Debug, Default)]
pub(crate) struct LivenessProbe {
    chunks: u64,
    silent_ticks: u32,
    probe: ProbeState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ProbeState {
    #[default]
    NotSent,
    /// Not accepted yet.
    Sent,
    /// Accepted this many ticks ago.
    Accepted(u32),
}

impl LivenessProbe {
    /// Advances by one tick, given the total number of chunks received and `true` if a request is pending.
    pub(crate) fn tick(&mut self, chunks: u64, waiting: bool) -> LivenessVerdict {
        if chunks != self.chunks || !waiting {
            *self = Self {
                chunks,
                ..Self::default()
            };
            return LivenessVerdict::Healthy;
        }
        self.silent_ticks += 1;
        match &mut self.probe {
            ProbeState::NotSent if self.silent_ticks >= PROBE_AFTER => {
                self.probe = ProbeState::Sent;
                LivenessVerdict::Probe
            }
            ProbeState::NotSent | ProbeState::Sent => LivenessVerdict::Healthy,
            ProbeState::Accepted(ago) => {
                *ago += 1;
                match *ago >= DEAD_AFTER {
                    true => LivenessVerdict::Dead,
                    false => LivenessVerdict::Healthy,
                }
            }
        }
    }

    /// Records if the server has accepted the ping.
    pub(crate) fn probe_sent(&mut self, taken: bool) {
        if self.probe == ProbeState::Sent {
            self.probe = if taken {
                ProbeState::Accepted(0)
            } else {
                ProbeState::NotSent
            };
        }
    }
}

#[cfg(test)]
mod tests;
