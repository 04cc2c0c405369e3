//! Tests of task ids: an id opens to its contents, for its principal and gateway only.

use proptest::prelude::*;

use super::TaskId;
use crate::{
    client_state::{StateContext, StatePurpose},
    fixture::{cipher, slug, user},
};

proptest! {
    #[test]
    fn a_task_id_round_trips_only_in_its_state_context(tool in "[a-zA-Z0-9_.-]{1,128}", original in "\\PC{0,80}") {
        let (cipher, ada, main, other) = (cipher(&[1]), user("ada"), slug("main"), slug("other"));
        let here = StateContext { gateway: &main, principal: &ada };
        let id = TaskId { server: slug("weather"), tool: tool.into(), original: original.into() };
        let text = id.encrypt(&cipher, here).unwrap();
        prop_assert_eq!(id.encrypt(&cipher, here), Some(text.clone()));
        prop_assert_eq!(TaskId::decrypt(&cipher, here, &text), Some(id));
        let elsewhere = StateContext { gateway: &other, principal: &ada };
        prop_assert_eq!(TaskId::decrypt(&cipher, elsewhere, &text), None);
        prop_assert_eq!(cipher.decrypt(StatePurpose::SuspendedCall, here, &text), None);
        prop_assert_eq!(cipher.decrypt(StatePurpose::Cursor, here, &text), None);
    }

    #[test]
    fn arbitrary_bytes_are_no_task_id(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (cipher, ada, main) = (cipher(&[1]), user("ada"), slug("main"));
        let here = StateContext { gateway: &main, principal: &ada };
        // Any encrypted bytes are parsed without a panic.
        let text = cipher.encrypt_stable(StatePurpose::Task, here, &plain);
        let _read = TaskId::decrypt(&cipher, here, &text);
        let cursor = cipher.encrypt_stable(StatePurpose::Cursor, here, &plain);
        prop_assert_eq!(TaskId::decrypt(&cipher, here, &cursor), None);
    }
}

#[test]
fn a_too_long_task_id_is_not_encrypted() {
    let (cipher, ada, main) = (cipher(&[1]), user("ada"), slug("main"));
    let here = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let id = |length| TaskId {
        server: slug("weather"),
        tool: "t".repeat(128).into(),
        original: "x".repeat(length).into(),
    };
    assert!(id(512).encrypt(&cipher, here).is_some());
    assert_eq!(id(700).encrypt(&cipher, here), None);
}
