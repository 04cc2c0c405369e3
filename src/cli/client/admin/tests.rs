//! Tests of the hint for an admin API that cannot be reached.

use std::path::Path;

use super::status::address_origin;

#[test]
fn a_missing_address_is_reported_with_the_places_searched() {
    let told = address_origin(
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
    assert!(address_origin(Path::new("/"), "http://127.0.0.1:1").contains("left in /"));
}
