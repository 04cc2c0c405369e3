//! Tests that the rows of the table do not contradict each other.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_word_means_one_kind() {
    let mut words = BTreeSet::new();
    for kind in ObjectKind::ALL {
        assert!(words.insert(kind.as_str()), "{kind}");
        assert!(words.insert(kind.collection()), "{}", kind.collection());
        assert!(words.insert(kind.message()), "{}", kind.message());
        assert!(words.insert(kind.service()), "{}", kind.service());
        for short in kind.short_names() {
            assert!(words.insert(short), "{short}");
        }
    }
}

#[test]
fn a_name_is_accepted_by_the_id_of_its_kind_only() {
    let org: Slug = "acme".parse().unwrap();
    let id: Slug = "tools".parse().unwrap();
    let name = ObjectName::from_parts(Some(org.clone()), id.clone()).unwrap();
    assert_eq!(name.parts(), (Some(&org), &id));
    assert_eq!(ObjectName::from_parts(None, id.clone()), None);
    assert_eq!(Slug::from_parts(None, id.clone()), Some(id.clone()));
    assert_eq!(Slug::from_parts(Some(org), id), None);
}

#[test]
fn no_role_writes_what_is_observed() {
    for kind in ObjectKind::ALL {
        let writable = kind.write_role() != AdminRole::None;
        assert_eq!(writable, kind.is_desired(), "{kind}");
        let always = kind.snapshot_relevance() == SnapshotRelevance::Always;
        assert_eq!(always, kind.is_desired(), "{kind}");
    }
}
