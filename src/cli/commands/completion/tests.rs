//! Tests of completion without a control plane.

use std::ffi::OsStr;

use super::{clients, kinds, list_or_empty, names};
use crate::cli::client::kind::GATEWAY;

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
