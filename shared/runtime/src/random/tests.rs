//! Tests of randomness.

use super::*;

#[test]
fn no_two_draws_are_equal() {
    assert_ne!(bytes::<32>(), bytes::<32>());
    assert_ne!(id(), id());
}

#[test]
fn ids_sort_by_creation() {
    let earlier = id();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(earlier < id());
}
