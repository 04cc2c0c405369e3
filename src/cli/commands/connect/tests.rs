//! Tests of the settings of every client, compared word for word.

use super::{
    clients::{ALL, TemplateValues},
    instructions,
};

fn given() -> TemplateValues {
    TemplateValues {
        name: "tools".to_owned(),
        url: "https://gw.example.com/v1/mcp/tools".to_owned(),
        token: "archestra_TOKEN".to_owned(),
    }
}

/// `UPDATE_GOLDEN=1 cargo test` rewrites the file; review the change before committing it.
#[test]
fn client_settings_match_the_golden_file() {
    let all: Vec<_> = ALL
        .iter()
        .map(|client| instructions(client, &given()))
        .collect();
    let all = all.join("\n----\n\n");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/src/cli/commands/connect/golden.txt"
        );
        std::fs::write(path, &all).unwrap();
    } else {
        assert_eq!(all, include_str!("golden.txt"));
    }
}

#[test]
fn the_written_settings_equal_the_printed_ones() {
    for client in ALL.iter().filter(|client| client.file.is_some()) {
        let (_, within) = client.file.unwrap();
        let shown: serde_json::Value = serde_json::from_str(&given().fill(client.snippet)).unwrap();
        let written: serde_json::Value = serde_json::from_str(&given().fill(client.entry)).unwrap();
        assert_eq!(shown[within]["tools"], written, "{}", client.id);
    }
}
