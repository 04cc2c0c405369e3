//! The contract between planes, clients and operators, as generated from the `.proto` files beside this crate.
//! Schema only: conversion to what the planes mean by it is `shared/wire`.

mod redact;

/// The admin API: what operators write and read.
pub mod admin {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.admin.v1");
    }
}

/// Configuration towards proxies.
pub mod push {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.push.v1");
    }
}

/// Credentials and keys towards proxies.
pub mod credential {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.credential.v1");
    }
}

/// Records as they lie in the store.
pub mod store {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.store.v1");
    }
}

/// The encoded `FileDescriptorSet`, with comments: for reflection, proto JSON and `explain`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
