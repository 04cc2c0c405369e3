//! Shared code of the scenarios in `tests/`: a sandbox that starts real processes and ends them by their id, raw agents
//! of both eras, and a fixture server.

pub mod address_recorder;
pub mod agent;
pub mod announcement_server;
pub mod bearer_proxy;
pub mod clock;
pub mod conformance_record;
pub mod conformance_suite;
pub mod cutting_proxy;
pub mod etcd_cluster;
pub mod external_programs;
pub mod fixture;
pub mod http_client;
pub mod invalid_server;
pub mod keyed_server;
pub mod malformed_server;
pub mod name_server;
pub mod notification_flood;
pub mod notification_stream;
pub mod odd_server;
pub mod otlp_recorder;
pub mod oversized_server;
pub mod paged_server;
pub mod port;
pub mod private_network;
pub mod process;
pub mod proxy_fleet;
pub mod real_clients;
pub mod referring_server;
pub mod sandbox;
pub mod shifted_clock;
pub mod small_disk;
pub mod toolgate;
pub mod upstream_server;
