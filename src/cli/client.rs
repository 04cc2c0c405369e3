//! Access to the control plane and to gateways: connections, the admin API, documents, and an MCP client.

pub mod admin;
pub mod dial;
pub mod gateway_access;
pub mod gateway_address;
pub mod gateway_health;
pub mod gateway_tokens;
pub mod kind;
pub mod known_token;
pub mod label_selector;
pub mod manifest;
pub mod mcp_client;
pub mod object_name;
pub mod object_problem;
pub mod probe_result;
pub mod proxy_clock;
pub mod proxy_state;
pub mod schema;
pub mod server_health;
pub mod stop_signal;
pub mod suggestions;
pub mod token_scope;
