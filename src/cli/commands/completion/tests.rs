//! Tests of completion without a control plane.

use std::ffi::OsStr;

use serde_json::json;

use super::{
    clients, explained_paths, kind_among, kinds, list_or_empty, matching, names, offered_names,
    values_among, with_all_and_none, written_kinds,
};
use crate::cli::client::kind::GATEWAY;

fn texts(found: &[clap_complete::CompletionCandidate]) -> Vec<String> {
    let words = found.iter().map(|it| it.get_value().to_string_lossy());
    words.map(std::borrow::Cow::into_owned).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn names_are_completed_after_every_command_that_takes_a_kind() {
    for verb in ["get", "describe", "delete", "edit", "label", "wait"] {
        let kind = kind_among(&words(&format!("toolgate {verb} gw")));
        assert_eq!(kind.map(|it| it.name), Some("Gateway"), "{verb}");
    }
    assert!(kind_among(&words("toolgate apply gw")).is_none());
    let written = texts(&written_kinds(OsStr::new("")));
    assert!(written.contains(&"tokens".to_owned()) && !written.contains(&"proxies".to_owned()));
}

#[test]
fn fields_are_completed_after_a_kind() {
    let found = |typed: &str| texts(&explained_paths(OsStr::new(typed)));
    assert_eq!(found("gatew"), ["gateways"]);
    assert!(found("gateway.").contains(&"gateway.spec".to_owned()));
    assert!(found("gateway.bin").contains(&"gateway.bindings".to_owned()));
    assert_eq!(
        found("gateway.spec.bindings.allT"),
        ["gateway.spec.bindings.allTools"]
    );
    assert!(found("gateway.bindings.shap").contains(&"gateway.bindings.shapes".to_owned()));
    assert!(found("nothing.").is_empty());
}

#[test]
fn tools_are_completed_by_the_servers_on_the_command_line() {
    let line = words("toolgate gateway create g --server git --server=mail --tools");
    let servers = values_among(&line, "--server");
    assert_eq!(servers, ["git", "mail"]);
    let catalogue = |server: &str, tool: &str| {
        let name = format!("organizations/default/catalogues/{server}");
        json!({ "name": name, "tools": [{ "name": tool }] })
    };
    let all = [
        catalogue("git", "search"),
        catalogue("mail", "send"),
        catalogue("x", "y"),
    ];
    let names = offered_names("tools", &servers, &all);
    let found = texts(&matching(OsStr::new("mail/"), with_all_and_none(names)));
    assert_eq!(found, ["mail/send"]);
    let one = offered_names("tools", &servers[..1], &all);
    let found = texts(&matching(OsStr::new("se"), with_all_and_none(one)));
    assert_eq!(found, ["search"]);
}

#[tokio::test]
async fn a_word_after_no_kind_has_no_completions() {
    assert!(names(OsStr::new("")).is_empty());
}

#[tokio::test]
async fn an_unreachable_control_plane_yields_no_completions() {
    assert!(
        list_or_empty(&GATEWAY).is_empty(),
        "no panic inside another runtime"
    );
}

#[test]
fn kinds_and_clients_are_completed_offline() {
    let words = |found: Vec<clap_complete::CompletionCandidate>| {
        let words = found.iter().map(|it| it.get_value().to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(kinds(OsStr::new("ga"))), "gateways");
    assert!(words(clients(OsStr::new("claude-c"))).contains("claude-code"));
}
