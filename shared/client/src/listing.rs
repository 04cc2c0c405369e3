//! Listing of all definitions of one kind, page by page and within limits. A listing cut off by a limit is marked as
//! truncated.

use std::{collections::BTreeSet, fmt, time::Duration};

use tokio::time::{Instant, timeout_at};
use toolgate_mcp::definition::{
    DefinitionCollector, DefinitionKind, DefinitionLimits, ParsedDefinition, RejectedDefinition,
};

use crate::{
    error::{ClientError, TimeoutPhase, shorten},
    server_client::ServerClient,
};

/// Limits of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListingLimits {
    /// Maximum number of pages.
    pub pages: usize,
    /// Maximum number of definitions.
    pub definitions: usize,
    /// Maximum size of all responses in bytes.
    pub bytes: usize,
    /// Maximum total time.
    pub time: Duration,
    /// Maximum time of one request.
    pub request_time: Duration,
    /// Limits of one definition.
    pub definition: DefinitionLimits,
}

/// Definitions of one kind listed by a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerListing {
    /// Usable definitions, in the server's order.
    pub definitions: Vec<ParsedDefinition>,
    /// Rejected definitions with the reason.
    pub rejected: Vec<RejectedDefinition>,
    /// Names of definitions with deceptive characters in texts, which are shown as escapes.
    pub with_deceptive_text: Vec<String>,
    /// Names of definitions with deceptive characters in names and values, which are kept.
    pub with_deceptive_values: Vec<String>,
    /// Names of definitions of which icons were left out.
    pub with_unsafe_icons: Vec<String>,
    /// Names of definitions from which members were removed that differ from those of the protocol by case only.
    pub with_case_variants: Vec<String>,
    /// Names of tools whose schemas have a reference that leads nowhere.
    pub with_unresolved_references: Vec<String>,
    /// True if the server does not declare the kind in its capabilities.
    pub undeclared: bool,
    /// Reason of a truncated listing; `None` if it is complete.
    pub truncation: Option<ListingTruncation>,
    /// Number of definitions on the pages that were read, with those beyond the limit and without the rejected ones.
    pub offered: usize,
    /// True if pages follow that were not read.
    pub goes_on: bool,
}

/// Reason of a truncated listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingTruncation {
    /// The page limit was reached.
    Pages(usize),
    /// The definition limit was reached.
    Definitions(usize),
    /// The size limit was reached, in bytes.
    Bytes(usize),
    /// The time limit was reached.
    Time(Duration),
    /// A cursor was repeated: the listing would never end.
    CursorLoop,
    /// A page after the first failed; contains a description by Toolgate.
    Failed(String),
}

impl Default for ListingLimits {
    fn default() -> Self {
        Self {
            pages: 400,
            definitions: 10_000,
            // Room for the largest definitions that are kept, and for what stands between them.
            bytes: 48 * 1024 * 1024,
            time: Duration::from_secs(30),
            request_time: Duration::from_secs(10),
            definition: DefinitionLimits::default(),
        }
    }
}

pub(crate) async fn collect(
    peer: &ServerClient,
    kind: DefinitionKind,
    caps: &ListingLimits,
) -> Result<ServerListing, ClientError> {
    let deadline = Instant::now() + caps.time;
    let limits = DefinitionLimits {
        // Legacy servers do not have this annotation.
        annotations: matches!(peer, ServerClient::Modern(_)),
        ..caps.definition
    };
    let mut collector = DefinitionCollector::new(kind, limits);
    let mut cursors = BTreeSet::new();
    let mut cursor: Option<String> = None;
    let mut bytes = 0;
    let mut pages = 0;
    // Held to the end, so that their bytes stay charged to the budget of the endpoint while their definitions are held.
    let mut messages = Vec::new();
    let mut goes_on = false;
    let cut = loop {
        let page = timeout_at(deadline, peer.page(kind.method(), cursor.as_deref())).await;
        let answered = match page {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) if pages == 0 => return Err(error),
            Ok(Err(error)) => break Some(ListingTruncation::Failed(error.public_message())),
            Err(_elapsed) if pages == 0 => return Err(ClientError::Timeout(TimeoutPhase::Total)),
            Err(_elapsed) => break Some(ListingTruncation::Time(caps.time)),
        };
        goes_on = answered.next_cursor.is_some();
        match collector.add_page(answered.result.of(&answered.message), caps.definitions) {
            Ok(true) => {}
            Ok(false) => break Some(ListingTruncation::Definitions(caps.definitions)),
            Err(error) if pages == 0 => {
                return Err(ClientError::Protocol(error.to_string().into()));
            }
            Err(error) => break Some(ListingTruncation::Failed(error.to_string())),
        }
        let Some(next) = answered.next_cursor else {
            break None;
        };
        bytes += answered.message.len();
        messages.push(answered.message);
        if bytes > caps.bytes {
            break Some(ListingTruncation::Bytes(caps.bytes));
        }
        pages += 1;
        if pages == caps.pages {
            break Some(ListingTruncation::Pages(caps.pages));
        }
        if !cursors.insert(next.clone()) {
            break Some(ListingTruncation::CursorLoop);
        }
        cursor = Some(next);
    };
    let page = collector.finish();
    drop(messages);
    Ok(ServerListing {
        offered: page.accepted.len() + page.beyond_limit,
        goes_on,
        definitions: page.accepted,
        rejected: page.rejected,
        with_deceptive_text: page.with_deceptive_text,
        with_deceptive_values: page.with_deceptive_values,
        with_unsafe_icons: page.with_unsafe_icons,
        with_case_variants: page.with_case_variants,
        with_unresolved_references: page.with_unresolved_references,
        undeclared: false,
        truncation: cut,
    })
}

impl fmt::Display for ListingTruncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pages(most) => write!(f, "it goes on after {most} pages"),
            Self::Definitions(most) => write!(f, "it holds more than {most}"),
            Self::Bytes(most) => write!(f, "it is larger than {most} bytes"),
            Self::Time(most) => write!(f, "it was not complete after {} s", most.as_secs()),
            Self::CursorLoop => f.write_str("it repeats a cursor and would never end"),
            Self::Failed(why) => write!(f, "a later page failed: {}", shorten(why)),
        }
    }
}

#[cfg(test)]
mod tests;
