//! Tests of the encoding: encoded values decode to themselves, and arbitrary bytes are handled without a panic.

use proptest::prelude::*;

use super::*;
use crate::fixture::slug;

proptest! {
    #[test]
    fn what_is_written_is_read_with_what_follows(
        proxy in "[a-z]{1,40}",
        at in proptest::option::of("[a-z0-9.]{1,150}:[0-9]{1,5}"),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let home = Home::new(slug(&proxy), at.as_deref());
        let mut bytes = Vec::new();
        home.write(&mut bytes);
        let length = bytes.len();
        bytes.extend(&rest);
        prop_assert_eq!(Home::read(&bytes), Some((home, &rest[..])));
        for cut in 0..length {
            prop_assert_eq!(Home::read(&bytes[..cut]), None);
        }
    }

    #[test]
    fn noise_is_read_without_harm(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Home::read(&noise);
    }
}

#[test]
fn an_address_that_is_too_long_is_left_out() {
    let long = "x".repeat(ADDRESS_LIMIT + 1);
    assert_eq!(Home::new(slug("one"), Some(&long)).at, None);
}
