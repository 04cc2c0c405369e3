//! Tests of uids.

use proptest::prelude::*;

use super::*;
use crate::{Gateway, Principal, TokenSubject};

fn name(org: &str, id: &str) -> ObjectName {
    ObjectName::new(org.parse().unwrap(), id.parse().unwrap())
}

#[test]
fn a_token_made_again_under_its_name_has_another_uid_and_is_another_principal() {
    let ci = name("acme", "ci");
    let (first, second) = (TokenHash([1; 32]), TokenHash([2; 32]));
    assert_ne!(Uid::of_token(&ci, &first), Uid::of_token(&ci, &second));
    assert_eq!(Uid::of_token(&ci, &first), Uid::of_token(&ci, &first));
    let principal = |hash| Principal::of_token(&ci, hash, &TokenSubject::Organization);
    assert_ne!(principal(&first), principal(&second));
    let team = TokenSubject::Team(ci.id.clone());
    let principal = |hash| Principal::of_token(&ci, hash, &team);
    assert_eq!(principal(&first), principal(&second));
}

#[test]
fn the_uid_of_a_record_without_one_depends_on_name_and_creation_alone() {
    let of = |id: &str, at| Uid::derived::<Gateway>(&name("acme", id), Timestamp(at));
    assert_eq!(of("tools", 1), of("tools", 1));
    assert_ne!(of("tools", 1), of("tools", 2));
    assert_ne!(of("tools", 1), of("other", 1));
    // Stored by no build: every build derives the same.
    assert_eq!(of("tools", 1).to_string().len(), 36);
}

#[test]
fn text_that_is_no_uid_is_refused() {
    for text in [
        "",
        "x",
        "00000000000080008000000000000000",
        "00000000-0000-8000-8000-00000000000g",
        "0000000-00000-8000-8000-000000000000",
        "ABCDEF00-0000-8000-8000-000000000000",
        "00000000-0000-8000-8000-0000000000000",
    ] {
        assert_eq!(text.parse::<Uid>(), Err(InvalidUid), "{text}");
    }
}

proptest! {
    #[test]
    fn a_uid_survives_its_text(unique in any::<u64>()) {
        let uid = Uid::of(&unique);
        prop_assert_eq!(uid.to_string().parse::<Uid>(), Ok(uid));
        prop_assert!(!uid.is_nil());
        prop_assert_eq!(uid.to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn any_text_is_a_uid_or_refused(text in "\\PC{0,40}") {
        let _either = text.parse::<Uid>();
    }
}
