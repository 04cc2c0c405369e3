//! Shared code of the scenarios in `tests/`: a sandbox that starts real processes and ends them by their id, raw agents
//! of both eras, and a fixture server.

pub mod agent;
pub mod bearer;
pub mod clients;
pub mod clock;
pub mod cut;
pub mod etcd;
pub mod fixture;
pub mod flood;
pub mod hearing;
pub mod hose;
pub mod http;
pub mod liar;
pub mod many;
pub mod paged;
pub mod port;
pub mod process;
pub mod record;
pub mod sandbox;
pub mod server;
pub mod suite;
pub mod toolgate;
pub mod tools;
pub mod torrent;
