//! Liveness detection of a silent stream: a lost connection delivers no error and stays silent. A state machine driven
//! by ticks. Silence counts only while a request is pending. The server is then pinged, and the stream is given up only
//! if the server has accepted the ping and still sends nothing. A server that does not accept the ping is busy or
//! unreachable; pending requests then rely on their own deadlines.

/// Action after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No action.
    Fine,
    /// Send a ping.
    Ask,
    /// Give the stream up.
    Lost,
}

/// Number of ticks in the maximum silence during a call.
pub(crate) const TICKS: u32 = 8;

/// Ticks of silence with a pending request before the server is pinged.
const SUSPICIOUS: u32 = 2;

/// Ticks of silence after the ping was accepted. The sum is less than [`TICKS_PER_TIMEOUT`], so that the stream is
/// given up before calls time out one by one.
const PATIENCE: u32 = 4;

/// State of the liveness detection.
#[derive(Debug, Default)]
pub(crate) struct Silence {
    heard: u64,
    silent: u32,
    asked: Asked,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Asked {
    #[default]
    No,
    /// Not accepted yet.
    Sent,
    /// Accepted this many ticks ago.
    Taken(u32),
}

impl Silence {
    /// Advances by one tick, given the total number of chunks received and `true` if a request is pending.
    pub(crate) fn tick(&mut self, heard: u64, waiting: bool) -> Verdict {
        if heard != self.heard || !waiting {
            *self = Self {
                heard,
                ..Self::default()
            };
            return Verdict::Fine;
        }
        self.silent += 1;
        match &mut self.asked {
            Asked::No if self.silent >= SUSPICIOUS => {
                self.asked = Asked::Sent;
                Verdict::Ask
            }
            Asked::No | Asked::Sent => Verdict::Fine,
            Asked::Taken(ago) => {
                *ago += 1;
                match *ago >= PATIENCE {
                    true => Verdict::Lost,
                    false => Verdict::Fine,
                }
            }
        }
    }

    /// Records if the server has accepted the ping.
    pub(crate) fn told(&mut self, taken: bool) {
        if self.asked == Asked::Sent {
            self.asked = if taken { Asked::Taken(0) } else { Asked::No };
        }
    }
}

#[cfg(test)]
mod tests;
