//! Responses to list requests, built from the view page by page.

use bytes::Bytes;
use toolgate_mcp::Envelope;
use toolgate_model::Era;

use crate::{
    Refusal,
    client_state::StateContext,
    plan::{
        Plan, PlanInput,
        list_cursor::{self, ListCursor, ListKind},
    },
    segmented_bytes::SegmentedBytes,
};

/// Returns the requested page of the list.
pub(super) fn page(
    input: &PlanInput<'_>,
    envelope: &Envelope<'_>,
    kind: ListKind,
    era: Era,
) -> Result<Plan, Refusal> {
    let params = envelope.params.as_ref();
    if params.is_some_and(|params| params.mistyped == Some("cursor")) {
        return Err(Refusal::InvalidParams("`cursor` must be a string".into()));
    }
    let context = StateContext {
        gateway: &input.gateway.name.id,
        principal: input.caller.principal(),
    };
    let grant = input.caller.grant();
    let page = |number| input.gateway.page(kind, grant, era, number);
    let first = page(0).ok_or(Refusal::Internal)?;
    let (number, found) = match params.and_then(|params| params.cursor.as_ref()) {
        None => (0, first),
        Some(text) => {
            let number =
                list_cursor::decrypt(input.cipher, context, text.as_str(), kind, &first.digest);
            let number = number.ok_or(Refusal::BadCursor)?;
            (number, page(number).ok_or(Refusal::BadCursor)?)
        }
    };
    let tail = if found.more {
        let next = ListCursor {
            kind,
            page: number + 1,
            digest: found.digest,
        };
        // Encrypted text needs no JSON escapes.
        let next = list_cursor::encrypt(input.cipher, context, &next);
        Bytes::from(format!(",\"nextCursor\":\"{next}\"}}}}"))
    } else {
        Bytes::from_static(b"}}")
    };
    let head = super::response_head(envelope)?;
    Ok(Plan::Respond(SegmentedBytes::join([
        head,
        found.unclosed,
        tail,
    ])))
}
