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
const SECRET: [&str; 10] = [
    "toolgate.admin.v1.StaticHeader",
    "toolgate.admin.v1.QueryParameter",
    "toolgate.admin.v1.CreateTokenResponse",
    "toolgate.admin.v1.JoinToken",
    "toolgate.push.v1.JoinRequest",
    "toolgate.push.v1.Token",
    "toolgate.credential.v1.ResolveResponse",
    "toolgate.credential.v1.RequestField",
    "toolgate.credential.v1.Keyring",
    "toolgate.credential.v1.ClientStateKey",
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
    fs::write(out.join("kind_services.rs"), kind_services(&set))?;
    tonic_prost_build::configure()
        .btree_map(".")
        .skip_debug(SECRET)
        .compile_fds(set)?;
    Ok(())
}

/// Returns the macro that calls another one with the identifiers of every service of a kind. A service counts as one of
/// a kind if it has the five usual methods and no other, and if creating returns the object alone.
fn kind_services(set: &prost_types::FileDescriptorSet) -> String {
    let files = set
        .file
        .iter()
        .filter(|file| file.package() == "toolgate.admin.v1");
    let (mut messages, mut services) = (Vec::new(), Vec::new());
    for file in files {
        messages.extend(&file.message_type);
        services.extend(&file.service);
    }
    let mut rows = String::new();
    for service in services {
        let created = service
            .method
            .iter()
            .find(|m| m.name().starts_with("Create"));
        let kind = created.and_then(|method| method.name().strip_prefix("Create"));
        let (Some(kind), plural) = (kind, service.name()) else {
            continue;
        };
        let usual = [
            format!("Create{kind}"),
            format!("Get{kind}"),
            format!("List{plural}"),
            format!("Update{kind}"),
            format!("Delete{kind}"),
        ];
        let alone = created.is_some_and(|m| m.output_type().ends_with(&format!(".{kind}")));
        let all = service
            .method
            .iter()
            .all(|m| usual.iter().any(|name| name == m.name()));
        if !alone || !all || service.method.len() != usual.len() {
            continue;
        }
        let create = format!("Create{kind}Request");
        let create = messages.iter().find(|message| message.name() == create);
        let owned = create.is_some_and(|m| m.field.iter().any(|field| field.name() == "parent"));
        let owner = if owned { "owned" } else { "unowned" };
        let (one, many) = (snake_case(kind), snake_case(plural));
        rows += &format!(
            "{kind} {{ {owner}, {one}, {one}_id, {many}, get_{one}(Get{kind}Request), \
             list_{many}(List{plural}Request) -> List{plural}Response, create_{one}(Create{kind}Request), \
             update_{one}(Update{kind}Request), delete_{one}(Delete{kind}Request), \
             {many}_server::{plural}, {plural}Server }}\n"
        );
    }
    format!(
        "/// Calls a macro with the identifiers of the service of every kind that has the five usual methods only.\n\
         #[macro_export]\nmacro_rules! for_each_kind_service {{\n($callback:ident) => {{ $callback! {{\n{rows}}} }};\n}}\n"
    )
}

/// Converts `JoinToken` to `join_token`.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

fn prost_types_set(
    compiler: &protox::Compiler,
) -> Result<prost_types::FileDescriptorSet, Box<dyn Error>> {
    Ok(prost_types::FileDescriptorSet::decode(
        compiler.encode_file_descriptor_set().as_slice(),
    )?)
}
