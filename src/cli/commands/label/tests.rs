//! Tests of the words of `label`.

use super::{LabelChange, parse};

#[test]
fn names_and_changes_of_labels_are_told_apart() {
    let words = ["git", "team=ops", "mail", "env-", "note="].map(str::to_owned);
    let (names, changes) = parse(&words).unwrap();
    assert_eq!(names, ["git", "mail"]);
    assert_eq!(
        changes,
        [
            LabelChange::Set("team".to_owned(), "ops".to_owned()),
            LabelChange::Remove("env".to_owned()),
            LabelChange::Set("note".to_owned(), String::new()),
        ]
    );
    for words in [&["git"][..], &["=x"], &["-"]] {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert!(parse(&words).is_err(), "{words:?}");
    }
}
