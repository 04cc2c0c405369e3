//! Tests that an index is a map of sets, and that its clones do not change with it.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::ReverseIndex;

/// Insertion of a pair, or its removal.
type Step = (bool, u8, u8);

fn content(index: &ReverseIndex<u8, u8>) -> BTreeMap<u8, BTreeSet<u8>> {
    let values = (0..4).map(|key| (key, index.get(&key).copied().collect()));
    values
        .filter(|(_, values): &(_, BTreeSet<u8>)| !values.is_empty())
        .collect()
}

proptest! {
    #[test]
    fn an_index_is_a_map_of_sets_and_its_clones_keep_their_content(
        steps in proptest::collection::vec((any::<bool>(), 0..4_u8, 0..4_u8), 0..40),
        after in proptest::option::of(0..4_u8),
        until in 0..4_u8,
    ) {
        let steps: Vec<Step> = steps;
        let (mut index, mut model) = (ReverseIndex::default(), BTreeMap::<u8, BTreeSet<u8>>::new());
        for (is_insertion, key, value) in steps {
            let (earlier, expected) = (index.clone(), content(&index));
            if is_insertion {
                index.insert(key, value);
                model.entry(key).or_default().insert(value);
            } else {
                index.remove(&key, &value);
                model.entry(key).or_default().remove(&value);
            }
            model.retain(|_, values| !values.is_empty());
            prop_assert_eq!(content(&earlier), expected);
            prop_assert_eq!(&content(&index), &model);
            prop_assert_eq!(index.is_empty(), model.is_empty());
        }
        let between = index.between(after, until).copied().collect::<Vec<_>>();
        let keys = model.iter().filter(|(key, _)| **key <= until && after.is_none_or(|after| **key > after));
        let expected: Vec<u8> = keys.flat_map(|(_, values)| values.iter().copied()).collect();
        prop_assert_eq!(between, expected);
    }
}
