//! A legacy server did not run the call of a modern client, because somebody has to be at pages first: the client is sent
//! there, and holds all that there is to know until it comes back. Nothing is kept here.

use toolgate_data_core::{
    asking::Question,
    rewrite::{ClientResponse, input_required, links},
    visit::{VISITS, key},
};

use crate::{call::Order, waiter::Waiter};

/// Asks the client to send somebody to these pages. Who was sent away too often is told where to go in words.
pub(crate) fn sent_away(order: &Order, pages: &[Question], waiter: &impl Waiter) -> ClientResponse {
    let asked: Vec<(String, &Question)> = (1..).map(key).zip(pages).collect();
    let count = u8::try_from(pages.len()).ok();
    let count = count.filter(|_| order.visits < VISITS);
    match count.and_then(|count| waiter.visit(order, count)) {
        Some(state) => {
            let asked = asked.iter().map(|(key, page)| (&**key, *page));
            input_required(&order.plan, asked, &state)
        }
        None => links(&order.plan, pages),
    }
}
