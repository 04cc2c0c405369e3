//! Tests that bytes come out as they were appended, for any chunk sizes.

use proptest::prelude::*;

use super::*;

/// Returns bytes with a pattern that reveals misplaced bytes.
fn bytes(count: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from(at % 251).unwrap();
    (0..count).map(byte).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_buffer_returns_the_appended_bytes(
        sizes in prop::collection::vec(0usize..3 * BLOCK, 0..6),
        appended in prop::collection::vec(0usize..3 * BLOCK, 0..6),
        from in 0usize..10,
    ) {
        let fill = |pile: &mut ChunkedBuffer, sizes: &[usize]| {
            let mut all = Vec::new();
            for size in sizes {
                pile.extend_from_slice(&bytes(*size));
                all.extend(bytes(*size));
            }
            all
        };
        let (mut pile, mut other) = (ChunkedBuffer::default(), ChunkedBuffer::default());
        let mut all = fill(&mut pile, &sizes);
        let rest = fill(&mut other, &appended);
        let from = from.min(rest.len());
        pile.append(other, from);
        all.extend_from_slice(&rest[from..]);
        all.extend(fill(&mut pile, &sizes));
        prop_assert_eq!(pile.len(), all.len());
        prop_assert!(pile.take() == all);
        prop_assert!(pile.is_empty() && pile.take().is_empty());
    }
}
