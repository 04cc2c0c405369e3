//! Tests of the properties of changes: the write path commits, repeats and guards a change by them.

use toolgate_model::Timestamp;

use super::*;
use crate::{VersionMarker, fixture::slug};

fn object(id: &str) -> ObjectKey {
    ObjectKey::Expelled(slug(id))
}

/// Change of the object `subject`.
fn change(puts: &[ObjectKey], deletes: &[ObjectKey]) -> Change {
    let put = |key: &ObjectKey| (key.clone(), ControlObject::Expelled(Timestamp(7)));
    Change {
        puts: puts.iter().map(put).collect(),
        deletes: deletes.to_vec(),
        ..Change::empty(object("subject"))
    }
}

#[test]
fn a_change_is_empty_without_writes_and_deletions() {
    let (one, two) = (object("one"), object("two"));
    assert!(change(&[], &[]).is_empty());
    assert!(!change(std::slice::from_ref(&one), &[]).is_empty());
    assert!(!change(&[], std::slice::from_ref(&two)).is_empty());
    assert!(!change(&[one], &[two]).is_empty());
}

#[test]
fn a_change_prepares_if_it_writes_and_its_subject_is_neither_written_nor_deleted() {
    let [subject, one, two] = ["subject", "one", "two"].map(object);
    for (puts, deletes, expected) in [
        (vec![], vec![], false),
        (vec![&one], vec![], true),
        (vec![&one], vec![&two], true),
        (vec![&one, &subject], vec![], false),
        (vec![&subject], vec![], false),
        (vec![&one], vec![&subject], false),
        (vec![], vec![&one], false),
        (vec![], vec![&subject], false),
    ] {
        let owned = |keys: Vec<&ObjectKey>| keys.into_iter().cloned().collect::<Vec<_>>();
        let change = change(&owned(puts), &owned(deletes));
        assert_eq!(change.is_preparation(), expected, "{change:?}");
    }
}

#[test]
fn a_change_depends_on_the_marker_if_it_writes_or_guards_it() {
    assert!(!change(&[], &[]).depends_on_marker());
    assert!(!change(&[object("one")], &[]).depends_on_marker());
    let mut writing = change(&[object("one")], &[]);
    let marker = VersionMarker {
        epoch: 1,
        last_change: Timestamp(7),
    };
    let marker = ControlObject::Marker(marker);
    writing.puts.push((ObjectKey::Marker, marker));
    assert!(writing.depends_on_marker());
    let guarding = Change {
        tolerated_commits: Some(0),
        ..change(&[object("one")], &[])
    };
    assert!(guarding.depends_on_marker());
}

#[test]
fn the_written_object_is_that_of_the_subject() {
    assert_eq!(change(&[object("one")], &[]).written(), None);
    let mut both = change(&[object("one")], &[]);
    let own = ControlObject::Expelled(Timestamp(8));
    both.puts.push((object("subject"), own.clone()));
    assert_eq!(both.written(), Some(&own));
}
