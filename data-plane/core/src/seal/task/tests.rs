//! Tests of task ids: an id opens to its contents, for its principal and gateway only.

use proptest::prelude::*;

use super::TaskId;
use crate::{
    fixture::{sealer, slug, user},
    seal::{SealContext, SealPurpose},
};

proptest! {
    #[test]
    fn a_task_id_round_trips_only_in_its_seal_context(tool in "[a-zA-Z0-9_.-]{1,128}", original in "\\PC{0,80}") {
        let (sealer, ada, main, other) = (sealer(&[1]), user("ada"), slug("main"), slug("other"));
        let here = SealContext { gateway: &main, principal: &ada };
        let id = TaskId { server: slug("weather"), tool: tool.into(), original: original.into() };
        let text = id.seal(&sealer, here).unwrap();
        prop_assert_eq!(id.seal(&sealer, here), Some(text.clone()));
        prop_assert_eq!(TaskId::open(&sealer, here, &text), Some(id));
        let elsewhere = SealContext { gateway: &other, principal: &ada };
        prop_assert_eq!(TaskId::open(&sealer, elsewhere, &text), None);
        prop_assert_eq!(sealer.open(SealPurpose::SuspendedCall, here, &text), None);
        prop_assert_eq!(sealer.open(SealPurpose::Cursor, here, &text), None);
    }

    #[test]
    fn arbitrary_bytes_are_no_task_id(plain in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (sealer, ada, main) = (sealer(&[1]), user("ada"), slug("main"));
        let here = SealContext { gateway: &main, principal: &ada };
        // Any sealed bytes are parsed without a panic.
        let text = sealer.seal_stable(SealPurpose::Task, here, &plain);
        let _read = TaskId::open(&sealer, here, &text);
        let cursor = sealer.seal_stable(SealPurpose::Cursor, here, &plain);
        prop_assert_eq!(TaskId::open(&sealer, here, &cursor), None);
    }
}

#[test]
fn a_too_long_task_id_is_not_sealed() {
    let (sealer, ada, main) = (sealer(&[1]), user("ada"), slug("main"));
    let here = SealContext {
        gateway: &main,
        principal: &ada,
    };
    let id = |length| TaskId {
        server: slug("weather"),
        tool: "t".repeat(128).into(),
        original: "x".repeat(length).into(),
    };
    assert!(id(512).seal(&sealer, here).is_some());
    assert_eq!(id(700).seal(&sealer, here), None);
}
