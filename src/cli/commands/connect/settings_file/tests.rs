//! Tests that merging and undoing an entry preserve the rest of the file.

use std::fs;

use super::{entry, put, undo};

const THEIRS: &str = "{\n  \"zoom\": 1.5,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\",   \"args\": []}\n  },\n  \"alpha\": true\n}\n";

#[test]
fn an_entry_is_merged_and_everything_else_keeps_its_text_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    fs::write(&file, THEIRS).unwrap();
    assert!(put(&file, "mcpServers", "demo", r#"{"type":"http","url":"u"}"#).unwrap());
    let text = fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("{\"command\": \"x\",   \"args\": []}"),
        "{text}"
    );
    assert!(
        text.find("zoom") < text.find("mcpServers") && text.find("mcpServers") < text.find("alpha")
    );
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["mcpServers"]["demo"]["url"], "u");
    assert!(!put(&file, "mcpServers", "demo", r#"{"url":"u","type":"http"}"#).unwrap());
}

#[test]
fn undo_removes_the_entry_and_keeps_later_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    fs::write(&file, THEIRS).unwrap();
    put(&file, "mcpServers", "demo", r#"{"url":"1"}"#).unwrap();
    put(&file, "mcpServers", "demo", r#"{"url":"2"}"#).unwrap();
    let changed = fs::read_to_string(&file).unwrap().replace("1.5", "2.0");
    fs::write(&file, changed).unwrap();
    undo(&file, "mcpServers", "demo").unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text, THEIRS.replace("1.5", "2.0"));
    assert!(undo(&file, "mcpServers", "demo").is_err());
}

#[test]
fn undo_deletes_a_file_created_by_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a/b.json");
    put(&file, "servers", "demo", r#"{"url":"1"}"#).unwrap();
    undo(&file, "servers", "demo").unwrap();
    assert!(!file.exists());
}

#[test]
fn a_file_with_comments_is_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    fs::write(&file, "{ // mine\n}").unwrap();
    assert!(entry(&file, "servers", "demo").is_err(), "told before");
    let fault = put(&file, "servers", "demo", "{}").unwrap_err();
    assert!(fault.to_string().contains("not plain JSON"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "{ // mine\n}");
}
