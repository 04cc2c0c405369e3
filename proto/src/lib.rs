//! Messages and services of the APIs between control plane, proxies, clients and operators, generated from the `.proto`
//! files of this crate. Conversion to the domain types is in `shared/wire`.

mod redact;

/// Admin API for operators.
pub mod admin {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.admin.v1");
    }
}

/// Configuration API for proxies.
pub mod push {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.push.v1");
    }
}

/// Credentials and keys API for proxies.
pub mod credential {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.credential.v1");
    }
}

/// Records of the store.
pub mod store {
    /// First version.
    pub mod v1 {
        tonic::include_proto!("toolgate.store.v1");
    }
}

include!(concat!(env!("OUT_DIR"), "/kind_services.rs"));

/// Encoded `FileDescriptorSet` with comments, for reflection, proto JSON and `explain`.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
