//! Whether a stream that is silent is a stream still: a connection whose other end is gone says nothing, for ever. A
//! machine, driven by ticks. Only somebody's waiting makes silence suspicious; then the server is asked for a sign of
//! life, and only a server that has taken that question and still says nothing is given up. One that takes nothing is
//! busy, or gone, and whoever waits for it has deadlines of their own.

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// To ask for a sign of life.
    Ask,
    /// To give the stream up.
    Lost,
}

/// Ticks in the longest silence that a call puts up with.
pub(crate) const TICKS: u32 = 8;

/// Ticks of silence, somebody waiting, before the server is asked.
const SUSPICIOUS: u32 = 2;

/// Ticks of silence after it has taken the question. Together less than [`TICKS`], so that it is known before the calls
/// give up one by one.
const PATIENCE: u32 = 4;

/// How silent it is.
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
    /// It has not been taken yet.
    Sent,
    /// So many ticks ago.
    Taken(u32),
}

impl Silence {
    /// Time passed: how much has been heard altogether, and whether anybody waits.
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

    /// The server has taken the question, or has not.
    pub(crate) fn told(&mut self, taken: bool) {
        if self.asked == Asked::Sent {
            self.asked = if taken { Asked::Taken(0) } else { Asked::No };
        }
    }
}

#[cfg(test)]
mod tests;
