//! Tests of sealing: a sealed text opens only in the context that it was sealed for.

use proptest::prelude::*;
use toolgate_model::{Principal, PrincipalSubject, Uid};
use zeroize::Zeroizing;

use super::*;
use crate::fixture::{sealer, slug, user};

#[test]
fn a_sealed_value_opens_only_for_its_purpose_gateway_and_principal() {
    let (gateway, other_gateway, ada) = (slug("main"), slug("side"), user("ada"));
    let team = Principal {
        subject: PrincipalSubject::Team(slug("ada")),
        ..ada.clone()
    };
    let here = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    let sealer = sealer(&[1]);
    let text = sealer.seal(SealPurpose::Session, here, &[3; NONCE_LEN], b"secret");
    assert_eq!(
        sealer.open(SealPurpose::Session, here, &text).as_deref(),
        Some(&b"secret"[..])
    );
    assert_eq!(sealer.open(SealPurpose::Cursor, here, &text), None);
    let elsewhere = SealContext {
        gateway: &other_gateway,
        ..here
    };
    assert_eq!(sealer.open(SealPurpose::Session, elsewhere, &text), None);
    let foreign = SealContext {
        principal: &team,
        ..here
    };
    assert_eq!(sealer.open(SealPurpose::Session, foreign, &text), None);
}

#[test]
fn a_token_made_again_under_its_name_opens_nothing_of_the_first() {
    let gateway = slug("main");
    let [first, second] = ["first", "second"].map(|unique| Principal {
        org: slug("acme"),
        subject: PrincipalSubject::Token {
            id: slug("ci"),
            uid: Uid::of(&unique),
        },
    });
    assert_eq!(first.to_string(), second.to_string());
    let [first, second] = [&first, &second].map(|principal| SealContext {
        gateway: &gateway,
        principal,
    });
    let sealer = sealer(&[1]);
    for purpose in [
        SealPurpose::Session,
        SealPurpose::Cursor,
        SealPurpose::SuspendedCall,
        SealPurpose::Task,
        SealPurpose::ServerState,
        SealPurpose::UrlElicitation,
    ] {
        let text = sealer.seal(purpose, first, &[3; NONCE_LEN], b"secret");
        assert!(sealer.open(purpose, first, &text).is_some(), "{purpose:?}");
        assert_eq!(sealer.open(purpose, second, &text), None, "{purpose:?}");
    }
}

#[test]
fn two_key_epochs_open_and_the_newest_seals() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let here = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    let old = sealer(&[1]).seal(SealPurpose::Session, here, &[0; NONCE_LEN], b"x");
    let both = sealer(&[2, 1]);
    let new = both.seal(SealPurpose::Session, here, &[0; NONCE_LEN], b"x");
    assert!(both.open(SealPurpose::Session, here, &old).is_some());
    assert!(
        sealer(&[2])
            .open(SealPurpose::Session, here, &new)
            .is_some()
    );
    assert!(
        sealer(&[3, 2])
            .open(SealPurpose::Session, here, &old)
            .is_none()
    );
    // A third epoch is expired, even if it is still in the keyring.
    assert!(
        sealer(&[3, 2, 1])
            .open(SealPurpose::Session, here, &old)
            .is_none()
    );
}

#[test]
fn stable_seals_repeat_and_differ_by_seal_context() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let org = Principal {
        subject: PrincipalSubject::AllCallers,
        ..ada.clone()
    };
    let here = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    let there = SealContext {
        principal: &org,
        ..here
    };
    let sealer = sealer(&[1]);
    let seal = |context, plain: &[u8]| sealer.seal_stable(SealPurpose::Cursor, context, plain);
    assert_eq!(seal(here, b"page 1"), seal(here, b"page 1"));
    assert_ne!(seal(here, b"page 1"), seal(here, b"page 2"));
    assert_ne!(seal(here, b"page 1"), seal(there, b"page 1"));
    assert!(
        sealer
            .open(SealPurpose::Cursor, here, &seal(here, b"page 1"))
            .is_some()
    );
}

#[test]
fn a_keyring_without_valid_keys_is_rejected() {
    assert_eq!(
        ClientStateSealer::new(&[]).err(),
        Some(InvalidKeyring::Empty)
    );
    let short = SealingKey {
        epoch: 4,
        secret: Zeroizing::new(vec![1; 31]),
    };
    assert_eq!(
        ClientStateSealer::new(&[short]).err(),
        Some(InvalidKeyring::Short(4))
    );
}

/// The plain texts are those of sealed texts with 512, 1,024 and 65,536 characters.
#[test]
fn a_sealed_text_opens_up_to_the_limit_of_its_purpose() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let here = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    let sealer = sealer(&[1]);
    for (purpose, longest) in [
        (SealPurpose::Session, 339),
        (SealPurpose::Cursor, 339),
        (SealPurpose::SuspendedCall, 339),
        (SealPurpose::UrlElicitation, 339),
        (SealPurpose::Task, 723),
        (SealPurpose::ServerState, 49_107),
    ] {
        let opened = |length: usize| {
            let text = sealer.seal(purpose, here, &[3; NONCE_LEN], &vec![7; length]);
            sealer.open(purpose, here, &text)
        };
        assert_eq!(opened(longest), Some(vec![7; longest]), "{purpose:?}");
        assert_eq!(opened(longest + 1), None, "{purpose:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_rejected_without_a_panic(text in "\\PC{0,600}") {
        let (gateway, ada) = (slug("main"), user("ada"));
        let here = SealContext { gateway: &gateway, principal: &ada };
        prop_assert_eq!(sealer(&[1]).open(SealPurpose::Session, here, &text), None);
    }

    #[test]
    fn a_single_changed_character_does_not_open(at in 0_usize..1000, plain in prop::collection::vec(any::<u8>(), 20..60)) {
        let (gateway, ada) = (slug("main"), user("ada"));
        let here = SealContext { gateway: &gateway, principal: &ada };
        let sealer = sealer(&[1]);
        let text = sealer.seal(SealPurpose::Session, here, &[9; NONCE_LEN], &plain);
        prop_assert_eq!(sealer.open(SealPurpose::Session, here, &text), Some(plain));
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(sealer.open(SealPurpose::Session, here, &changed), None);
    }
}
