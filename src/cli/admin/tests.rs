//! Tests of the errors of an unreachable admin API: control plane, store or another program at its address.

use std::{collections::HashMap, path::Path};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{found_in, is_foreign, is_store};

#[test]
fn the_store_and_a_stranger_are_told_from_a_control_plane_that_is_away() {
    let away = Status::unavailable("tcp connect error");
    assert!(!is_store(&away) && !is_foreign(&away));
    let details = ErrorDetails::with_error_info("STORE_UNAVAILABLE", "toolgate", HashMap::new());
    let store = Status::with_error_details(Code::Unavailable, "the store is unavailable", details);
    assert!(is_store(&store) && !is_foreign(&store));
    let stranger = Status::internal(
        "protocol error: received message with invalid compression flag: 123 (valid flags are 0 and 1)",
    );
    assert!(is_foreign(&stranger));
}

#[test]
fn an_address_that_nobody_gave_is_told_with_where_it_was_looked_for() {
    let told = found_in(
        Path::new("/nonexistent/admin-address"),
        "http://127.0.0.1:7400",
    );
    for words in [
        "http://127.0.0.1:7400",
        "/nonexistent/admin-address",
        "--data-dir",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(found_in(Path::new("/"), "http://127.0.0.1:1").contains("left in /"));
}
