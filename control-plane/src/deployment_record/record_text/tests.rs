//! Tests that a record is read as it was written, and that no damage makes another record of it.

use proptest::prelude::*;

use super::*;

fn change() -> ServedChange {
    ServedChange {
        epoch: 3,
        epoch_began: Some(Timestamp(1_700_000_000_000)),
        revision: 771,
        log_entry: Some(1_782_579_200_000_012),
    }
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(
        epoch in any::<u64>(),
        began in any::<Option<u64>>(),
        revision in any::<u64>(),
        log_entry in any::<Option<u64>>(),
    ) {
        let epoch_began = began.map(Timestamp);
        let latest = ServedChange { epoch, epoch_began, revision, log_entry };
        prop_assert_eq!(parse(&record_text(&latest)), Ok(latest));
    }
}

#[test]
fn a_record_that_is_cut_or_changed_at_any_place_is_damaged() {
    let text = record_text(&change());
    let content = text.find(CHECK).unwrap();
    for end in 0..text.len() {
        assert!(parse(&text[..end]).is_err(), "cut at {end}");
    }
    for at in content..text.len() {
        for byte in [b'0', b'x', b' ', b'\n', b'#'] {
            let mut changed = text.clone().into_bytes();
            if changed[at] == byte {
                continue;
            }
            changed[at] = byte;
            let changed = String::from_utf8(changed).unwrap();
            let read = parse(&changed);
            assert!(read.is_err(), "{at}: {changed:?}: {read:?}");
        }
    }
}

#[test]
fn records_of_earlier_builds_are_read_and_their_damage_is_found() {
    let earlier = |text: &str| parse(text);
    let full = "# Written by the control plane: …\nepoch 7\nrevision 12\n";
    let latest = ServedChange {
        epoch: 7,
        revision: 12,
        ..ServedChange::default()
    };
    assert_eq!(earlier(full), Ok(latest));
    let epoch_alone = ServedChange {
        revision: 0,
        ..latest
    };
    assert_eq!(earlier("epoch 7\n"), Ok(epoch_alone));
    for damaged in [
        "",
        "epoch",
        "damaged",
        "epoch 7\nrevision 12x\n",
        "epoch 7\nrevision\n",
        "epoch 7\nrevision +12\n",
        "epoch 7\nrevisiom 12\n",
        "epoch 7\nepoch 1\n",
        "revision 12\n",
        "epoch 7 revision 12 more",
        "epoch 7\nlog-entry 3\n",
        "epoch 99999999999999999999\n",
    ] {
        assert!(earlier(damaged).is_err(), "{damaged:?}");
    }
}
