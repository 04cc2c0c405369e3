//! Rewriting of messages in both directions. Towards a server, ids, names and progress tokens are those of the gateway
//! or the server; towards the client they are the client's. Each side is addressed by the rules of its era. All other
//! content is passed on unchanged.

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
