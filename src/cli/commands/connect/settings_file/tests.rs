//! Tests that merging and undoing an entry preserve the rest of the file.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use super::{SettingsChange, entry, put, undo};

const THEIRS: &str = "{\n  \"zoom\": 1.5,\n  \"mcpServers\": {\n    \"other\": {\"command\": \"x\",   \"args\": []}\n  },\n  \"alpha\": true\n}\n";

#[test]
fn an_entry_is_merged_and_everything_else_keeps_its_text_and_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    fs::write(&file, THEIRS).unwrap();
    let first = put(&file, "mcpServers", "demo", r#"{"type":"http","url":"u"}"#).unwrap();
    assert!(first.is_changed);
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
    let again = put(&file, "mcpServers", "demo", r#"{"url":"u","type":"http"}"#).unwrap();
    assert!(!again.is_changed);
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

fn set_mode(file: &Path, mode: u32) {
    fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(file: &Path) -> u32 {
    fs::metadata(file).unwrap().mode() & 0o777
}

/// Names of the files in a folder.
fn names(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_with_a_token_can_be_read_by_its_owner_only_whatever_its_mode_was() {
    for (before, after) in [
        (0o644, 0o600),
        (0o664, 0o600),
        (0o640, 0o600),
        (0o755, 0o700),
        (0o600, 0o600),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("settings.json");
        fs::write(&file, THEIRS).unwrap();
        set_mode(&file, before);
        let told = (before != after).then_some(before);
        for is_changed in [true, false] {
            set_mode(&file, before);
            let change = put(&file, "mcpServers", "demo", r#"{"url":"u"}"#).unwrap();
            let expected = SettingsChange {
                is_changed,
                former_mode: told,
            };
            assert_eq!(change, expected, "{before:o}");
            assert_eq!(mode(&file), after, "{before:o}");
        }
        let kept = folder.path().join("settings.json.before-toolgate-demo");
        assert_eq!(mode(&kept), 0o600, "the backup");
        assert_eq!(fs::read_to_string(kept).unwrap(), THEIRS);
    }
}

#[test]
fn a_new_file_can_be_read_by_its_owner_only_and_nothing_else_stays_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    let change = put(&file, "servers", "demo", r#"{"url":"u"}"#).unwrap();
    assert_eq!(change.former_mode, None);
    assert_eq!(mode(&file), 0o600);
    let expected = ["settings.json", "settings.json.before-toolgate-demo"];
    assert_eq!(names(folder.path()), expected);
}

#[test]
fn a_temporary_file_of_another_program_is_neither_filled_nor_followed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.json");
    fs::write(&file, THEIRS).unwrap();
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "x").unwrap();
    let temporary = format!(".settings.json.toolgate-{}", std::process::id());
    symlink(&elsewhere, folder.path().join(&temporary)).unwrap();
    let kept = folder.path().join("settings.json.before-toolgate-demo");
    fs::write(kept, THEIRS).unwrap();
    put(&file, "mcpServers", "demo", r#"{"url":"u"}"#).unwrap_err();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "x");
    assert_eq!(fs::read_to_string(&file).unwrap(), THEIRS);
    assert!(names(folder.path()).contains(&temporary));
}

#[test]
fn a_symbolic_link_stays_one_and_its_file_is_written_also_if_it_is_new() {
    let folder = tempfile::tempdir().unwrap();
    let dotfiles = folder.path().join("dotfiles");
    fs::create_dir(&dotfiles).unwrap();
    let (link, second) = (
        folder.path().join("link.json"),
        folder.path().join("again.json"),
    );
    symlink("dotfiles/real.json", &link).unwrap();
    symlink(&link, &second).unwrap();
    let real = dotfiles.join("real.json");
    for name in ["new", "there"] {
        put(&second, "servers", name, r#"{"url":"u"}"#).unwrap();
        for path in [&link, &second] {
            assert!(fs::symlink_metadata(path).unwrap().is_symlink());
        }
        assert!(fs::read_to_string(&real).unwrap().contains(name));
        assert_eq!(mode(&real), 0o600);
    }
}
