//! Completion never gets in a person's way.

use std::ffi::OsStr;

use super::{listed, names};
use crate::cli::kind::GATEWAY;

#[tokio::test]
async fn a_word_that_follows_no_kind_has_no_names() {
    assert!(names(OsStr::new("")).is_empty());
}

#[tokio::test]
async fn a_control_plane_that_does_not_answer_is_no_fault() {
    let listing = std::thread::spawn(|| listed(&GATEWAY));
    assert!(listing.join().is_ok(), "no panic inside another runtime");
}
