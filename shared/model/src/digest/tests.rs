//! Tests of digests.

use proptest::prelude::*;

use super::*;

proptest! {
    /// The lengths are around the size of a block.
    #[test]
    fn the_digest_of_a_value_is_that_of_its_json(lengths in proptest::collection::vec(0..9_000_usize, 0..6)) {
        let value: Vec<String> = lengths.iter().map(|length| "\"x".repeat(length / 2)).collect();
        let json = serde_json::to_vec(&value).unwrap();
        prop_assert_eq!(Digest::of(&value), Digest::of_bytes(&json));
    }
}
