//! Tests of the startup message.

use super::{DemoToken, StartupMessage, lines, new_admin_token};

fn welcome(demo: bool, fresh: bool) -> String {
    message(demo, fresh, true)
}

fn message(demo: bool, fresh: bool, on_terminal: bool) -> String {
    let welcome = StartupMessage {
        gateway_address: "http://127.0.0.1:7300".to_owned(),
        admin: "http://127.0.0.1:7400".to_owned(),
        data_dir: ".toolgate".into(),
        new_admin_token: fresh.then(|| "archestra_ADMIN".to_owned()),
        admin_token_file: "d/admin-token".into(),
        private_listen: ([127, 0, 0, 1], 7401).into(),
        demo_token: demo.then(|| DemoToken {
            secret: "archestra_DEMO".to_owned(),
            file: "/d/demo-token".into(),
        }),
        on_terminal,
    };
    lines(&welcome).join("\n")
}

#[test]
fn the_admin_token_is_printed_on_the_first_start_only() {
    assert!(welcome(true, true).contains("archestra_ADMIN"));
    let later = welcome(true, false);
    assert!(!later.contains("archestra_ADMIN") && later.contains("d/admin-token"));
}

#[test]
fn secrets_are_printed_only_to_a_terminal() {
    let stored = message(true, true, false);
    assert!(!stored.contains("archestra_"), "{stored}");
    assert!(
        stored.contains("  admin token  in d/admin-token"),
        "{stored}"
    );
    assert!(
        stored.contains("  token        in /d/demo-token"),
        "{stored}"
    );
    assert_eq!(
        stored
            .matches("\"Authorization: Bearer $(cat /d/demo-token)\"")
            .count(),
        2,
        "{stored}"
    );
    let file = "d/admin-token".as_ref();
    assert_eq!(
        new_admin_token("archestra_ADMIN", file, false),
        "admin token in d/admin-token"
    );
    assert!(new_admin_token("archestra_ADMIN", file, true).contains("archestra_ADMIN"));
}

#[test]
fn the_server_command_names_a_non_default_data_folder() {
    assert!(!welcome(true, false).contains("--data-dir"));
    let elsewhere = super::server_add("my things/data".as_ref());
    assert!(elsewhere.ends_with("server add NAME --url URL --data-dir 'my things/data'"));
}

#[test]
fn the_printed_commands_are_complete_lines() {
    let text = welcome(true, false);
    let curl = text.lines().find(|line| line.contains("curl")).unwrap();
    let body = curl.split("-d '").nth(1).unwrap().trim_end_matches('\'');
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["params"]["name"], "demo__add");
    assert!(text.contains("claude mcp add --transport http"));
    assert!(!welcome(false, false).contains("curl"));
}
