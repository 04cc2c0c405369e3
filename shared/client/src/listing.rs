//! Listing of all definitions of one kind, page by page and within limits. A listing cut off by a limit is marked as
//! truncated.

use std::{collections::BTreeSet, fmt, time::Duration};

use tokio::time::{Instant, timeout_at};
use toolgate_mcp::definition::{Collector, Definition, DefinitionLimits, Kind, Refused};

use crate::{
    error::{ClientError, Phase, shorten},
    peer::Peer,
};

/// Limits of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// Maximum number of pages.
    pub pages: usize,
    /// Maximum number of definitions.
    pub definitions: usize,
    /// Maximum size of all responses in bytes.
    pub bytes: usize,
    /// Maximum total time.
    pub time: Duration,
    /// Limits of one definition.
    pub definition: DefinitionLimits,
}

/// Definitions of one kind listed by a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Usable definitions, in the server's order.
    pub taken: Vec<Definition>,
    /// Rejected definitions with the reason.
    pub refused: Vec<Refused>,
    /// Names of definitions that contain invisible characters.
    pub hiding: Vec<String>,
    /// Reason of a truncated listing; `None` if it is complete.
    pub cut: Option<Cut>,
}

/// Reason of a truncated listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// The page limit was reached.
    Pages(usize),
    /// The definition limit was reached.
    Definitions(usize),
    /// The size limit was reached, in bytes.
    Bytes(usize),
    /// The time limit was reached.
    Time(Duration),
    /// A cursor was repeated: the listing would never end.
    Circle,
    /// A page after the first failed; contains a description by Toolgate.
    Failed(String),
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            pages: 100,
            definitions: 5_000,
            bytes: 10 * 1024 * 1024,
            time: Duration::from_secs(10),
            definition: DefinitionLimits::default(),
        }
    }
}

pub(crate) async fn collect(peer: &Peer, kind: Kind, caps: &Caps) -> Result<Listing, ClientError> {
    let deadline = Instant::now() + caps.time;
    let limits = DefinitionLimits {
        // Legacy servers do not have this annotation.
        annotations: matches!(peer, Peer::Modern(_)),
        ..caps.definition
    };
    let mut collector = Collector::new(kind, limits);
    let mut cursors = BTreeSet::new();
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    let mut pages = 0;
    let cut = loop {
        let page = timeout_at(deadline, peer.page(kind.method(), cursor.as_deref())).await;
        let answered = match page {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) if pages == 0 => return Err(error),
            Ok(Err(error)) => break Some(Cut::Failed(error.plain())),
            Err(_elapsed) if pages == 0 => return Err(ClientError::Timeout(Phase::Total)),
            Err(_elapsed) => break Some(Cut::Time(caps.time)),
        };
        match collector.take(answered.result.of(&answered.message), caps.definitions) {
            Ok(true) => {}
            Ok(false) => break Some(Cut::Definitions(caps.definitions)),
            Err(error) if pages == 0 => {
                return Err(ClientError::Protocol(error.to_string().into()));
            }
            Err(error) => break Some(Cut::Failed(error.to_string())),
        }
        let Some(next) = answered.next_cursor else {
            break None;
        };
        bytes += answered.message.len();
        if bytes > caps.bytes {
            break Some(Cut::Bytes(caps.bytes));
        }
        pages += 1;
        if pages == caps.pages {
            break Some(Cut::Pages(caps.pages));
        }
        if !cursors.insert(next.clone()) {
            break Some(Cut::Circle);
        }
        cursor = Some(next);
    };
    let page = collector.finish();
    Ok(Listing {
        taken: page.taken,
        refused: page.refused,
        hiding: page.hiding,
        cut,
    })
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages(most) => write!(f, "it goes on after {most} pages"),
            Self::Definitions(most) => write!(f, "it holds more than {most}"),
            Self::Bytes(most) => write!(f, "it is larger than {most} bytes"),
            Self::Time(most) => write!(f, "it was not complete after {} s", most.as_secs()),
            Self::Circle => f.write_str("it repeats a cursor and would never end"),
            Self::Failed(why) => write!(f, "a later page failed: {}", shorten(why)),
        }
    }
}

#[cfg(test)]
mod tests;
