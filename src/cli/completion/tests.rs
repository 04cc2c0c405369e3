//! Tests of completion without a control plane.

use std::ffi::OsStr;

use super::{clients, kinds, listed, names};
use crate::cli::kind::GATEWAY;

#[tokio::test]
async fn a_word_that_follows_no_kind_has_no_names() {
    assert!(names(OsStr::new("")).is_empty());
}

#[tokio::test]
async fn a_control_plane_that_does_not_answer_is_no_fault() {
    assert!(
        listed(&GATEWAY).is_empty(),
        "no panic inside another runtime"
    );
}

#[test]
fn kinds_and_clients_are_completed_without_anybody_being_asked() {
    let words = |found: Vec<clap_complete::CompletionCandidate>| {
        let words = found.iter().map(|it| it.get_value().to_string_lossy());
        words.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(kinds(OsStr::new("ga"))), "gateways");
    assert!(words(clients(OsStr::new("claude-c"))).contains("claude-code"));
}
