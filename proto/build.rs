//! Compiles the `.proto` files without a system `protoc`, and writes the descriptor set for reflection and the CLI.
use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 5] = [
    "toolgate/admin/v1/resources.proto",
    "toolgate/admin/v1/services.proto",
    "toolgate/push/v1/push.proto",
    "toolgate/credential/v1/credential.proto",
    "toolgate/store/v1/store.proto",
];

// Messages that contain a plaintext secret. `src/redact.rs` implements a `Debug` for them that hides it.
const SECRET: [&str; 8] = [
    "toolgate.admin.v1.StaticHeader",
    "toolgate.admin.v1.CreateTokenResponse",
    "toolgate.admin.v1.JoinToken",
    "toolgate.push.v1.JoinRequest",
    "toolgate.push.v1.Token",
    "toolgate.credential.v1.ResolveResponse",
    "toolgate.credential.v1.Keyring",
    "toolgate.credential.v1.SealKey",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let mut compiler = protox::Compiler::new(["."])?;
    compiler
        .include_source_info(true)
        .include_imports(true)
        .open_files(FILES)?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(
        out.join("descriptors.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    let set = prost_types_set(&compiler)?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(SECRET)
        .compile_fds(set)?;
    Ok(())
}

fn prost_types_set(
    compiler: &protox::Compiler,
) -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    Ok(prost_types::FileDescriptorSet::decode(
        compiler.encode_file_descriptor_set().as_slice(),
    )?)
}
