//! `subscriptions/listen`: what is asked for. What of it is honoured is known when servers have been asked.

use toolgate_mcp::Envelope;

use crate::{Refusal, subscription::Filter};

/// A stream of changes to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// The client's id for it, as written.
    pub id: Box<str>,
    /// What it wants to hear of.
    pub filter: Filter,
}

pub(super) fn plan(envelope: &Envelope<'_>) -> Result<Listen, Refusal> {
    let params = envelope.params.as_ref();
    let filter = params.and_then(|params| params.notifications);
    let filter = filter.ok_or(Refusal::InvalidParams(
        "`notifications` must be an object that says what to listen for".into(),
    ))?;
    let filter = Filter::read(envelope.slice(filter));
    Ok(Listen {
        id: envelope.raw_id().ok_or(Refusal::Internal)?.into(),
        filter: filter.map_err(|problem| Refusal::InvalidParams(problem.into()))?,
    })
}
