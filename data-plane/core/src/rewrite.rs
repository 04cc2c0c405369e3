//! Bytes on their way through us, both directions: ids, names and progress tokens are ours towards a server and the
//! client's towards the client, and each side is spoken to by the rules of its era. All else passes as it came.

mod answer;
mod news;
mod park;
mod request;
mod stitch;

pub use answer::{
    Notice, Outcome, Relay, Relayed, Reply, Required, Wanted, failed, links, respond,
};
pub use news::{NOTICE, notice_of, task_news};
pub use park::input_required;
pub use request::{CLIENT, Request, Towards, again, request};

#[cfg(test)]
mod tests;
