//! Tests of the encoding: encoded values decode to themselves, and arbitrary bytes are handled without a panic.

use proptest::prelude::*;

use super::*;
use crate::fixture::slug;

proptest! {
    #[test]
    fn a_written_address_is_read_back_with_the_remaining_bytes(
        proxy in "[a-z]{1,40}",
        at in proptest::option::of("[a-z0-9.]{1,150}:[0-9]{1,5}"),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let owner = OwningProxy::new(slug(&proxy), at.as_deref());
        let mut bytes = Vec::new();
        owner.write(&mut bytes);
        let length = bytes.len();
        bytes.extend(&rest);
        prop_assert_eq!(OwningProxy::read(&bytes), Some((owner, &rest[..])));
        for cut in 0..length {
            prop_assert_eq!(OwningProxy::read(&bytes[..cut]), None);
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_without_a_panic(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = OwningProxy::read(&noise);
    }
}

#[test]
fn a_too_long_address_is_left_out() {
    let long = "x".repeat(ADDRESS_LIMIT + 1);
    assert_eq!(OwningProxy::new(slug("one"), Some(&long)).address, None);
}
