//! The commands: one module for each, with its arguments and its `run` method.

pub mod apply;
pub mod completion;
pub mod connect;
pub mod credential;
pub mod delete;
pub mod describe;
pub mod doctor;
pub mod edit;
pub mod events;
pub mod explain;
pub mod fleet;
pub mod gateway;
pub mod identity_provider;
pub mod label;
pub mod logs;
pub mod mcp_resources;
pub mod objects;
pub mod prompts;
pub mod selection;
pub mod server;
pub mod token;
pub mod tools;
pub mod wait;
pub mod watch;
pub mod whoami;
