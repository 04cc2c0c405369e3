//! Tests of encryption: an encrypted text opens only in the context that it was encrypted for.

use proptest::prelude::*;
use toolgate_model::{Principal, PrincipalSubject, Uid};
use zeroize::Zeroizing;

use super::*;
use crate::fixture::{cipher, slug, user};

#[test]
fn an_encrypted_value_opens_only_for_its_purpose_gateway_and_principal() {
    let (gateway, other_gateway, ada) = (slug("main"), slug("side"), user("ada"));
    let team = Principal {
        subject: PrincipalSubject::Team(slug("ada")),
        ..ada.clone()
    };
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let cipher = cipher(&[1]);
    let text = cipher.encrypt(StatePurpose::Session, here, &[3; NONCE_LEN], b"secret");
    assert_eq!(
        cipher
            .decrypt(StatePurpose::Session, here, &text)
            .as_deref(),
        Some(&b"secret"[..])
    );
    assert_eq!(cipher.decrypt(StatePurpose::Cursor, here, &text), None);
    let elsewhere = StateContext {
        gateway: &other_gateway,
        ..here
    };
    assert_eq!(
        cipher.decrypt(StatePurpose::Session, elsewhere, &text),
        None
    );
    let foreign = StateContext {
        principal: &team,
        ..here
    };
    assert_eq!(cipher.decrypt(StatePurpose::Session, foreign, &text), None);
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
    let [first, second] = [&first, &second].map(|principal| StateContext {
        gateway: &gateway,
        principal,
    });
    let cipher = cipher(&[1]);
    for purpose in [
        StatePurpose::Session,
        StatePurpose::Cursor,
        StatePurpose::SuspendedCall,
        StatePurpose::Task,
        StatePurpose::ServerState,
        StatePurpose::UrlElicitation,
    ] {
        let text = cipher.encrypt(purpose, first, &[3; NONCE_LEN], b"secret");
        assert!(
            cipher.decrypt(purpose, first, &text).is_some(),
            "{purpose:?}"
        );
        assert_eq!(cipher.decrypt(purpose, second, &text), None, "{purpose:?}");
    }
}

#[test]
fn two_key_epochs_open_and_the_newest_encrypts() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let old = cipher(&[1]).encrypt(StatePurpose::Session, here, &[0; NONCE_LEN], b"x");
    let both = cipher(&[2, 1]);
    let new = both.encrypt(StatePurpose::Session, here, &[0; NONCE_LEN], b"x");
    assert!(both.decrypt(StatePurpose::Session, here, &old).is_some());
    assert!(
        cipher(&[2])
            .decrypt(StatePurpose::Session, here, &new)
            .is_some()
    );
    assert!(
        cipher(&[3, 2])
            .decrypt(StatePurpose::Session, here, &old)
            .is_none()
    );
    // A third epoch is expired, even if it is still in the keyring.
    assert!(
        cipher(&[3, 2, 1])
            .decrypt(StatePurpose::Session, here, &old)
            .is_none()
    );
}

#[test]
fn stable_encryption_repeats_and_differs_by_context() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let org = Principal {
        subject: PrincipalSubject::AllCallers,
        ..ada.clone()
    };
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let there = StateContext {
        principal: &org,
        ..here
    };
    let cipher = cipher(&[1]);
    let encrypt =
        |context, plain: &[u8]| cipher.encrypt_stable(StatePurpose::Cursor, context, plain);
    assert_eq!(encrypt(here, b"page 1"), encrypt(here, b"page 1"));
    assert_ne!(encrypt(here, b"page 1"), encrypt(here, b"page 2"));
    assert_ne!(encrypt(here, b"page 1"), encrypt(there, b"page 1"));
    assert!(
        cipher
            .decrypt(StatePurpose::Cursor, here, &encrypt(here, b"page 1"))
            .is_some()
    );
}

#[test]
fn a_keyring_without_valid_keys_is_rejected() {
    assert_eq!(
        ClientStateCipher::new(&[]).err(),
        Some(InvalidKeyring::Empty)
    );
    let short = StateKey {
        epoch: 4,
        secret: Zeroizing::new(vec![1; 31]),
    };
    assert_eq!(
        ClientStateCipher::new(&[short]).err(),
        Some(InvalidKeyring::Short(4))
    );
}

/// The plain texts are those of encrypted texts with 512, 1,024 and 65,536 characters.
#[test]
fn an_encrypted_text_opens_up_to_the_limit_of_its_purpose() {
    let (gateway, ada) = (slug("main"), user("ada"));
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let cipher = cipher(&[1]);
    for (purpose, longest) in [
        (StatePurpose::Session, 339),
        (StatePurpose::Cursor, 339),
        (StatePurpose::SuspendedCall, 339),
        (StatePurpose::UrlElicitation, 339),
        (StatePurpose::Task, 723),
        (StatePurpose::ServerState, 49_107),
    ] {
        let opened = |length: usize| {
            let text = cipher.encrypt(purpose, here, &[3; NONCE_LEN], &vec![7; length]);
            cipher.decrypt(purpose, here, &text)
        };
        assert_eq!(opened(longest), Some(vec![7; longest]), "{purpose:?}");
        assert_eq!(opened(longest + 1), None, "{purpose:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_text_is_rejected_without_a_panic(text in "\\PC{0,600}") {
        let (gateway, ada) = (slug("main"), user("ada"));
        let here = StateContext { gateway: &gateway, principal: &ada };
        prop_assert_eq!(cipher(&[1]).decrypt(StatePurpose::Session, here, &text), None);
    }

    #[test]
    fn a_single_changed_character_does_not_open(at in 0_usize..1000, plain in prop::collection::vec(any::<u8>(), 20..60)) {
        let (gateway, ada) = (slug("main"), user("ada"));
        let here = StateContext { gateway: &gateway, principal: &ada };
        let cipher = cipher(&[1]);
        let text = cipher.encrypt(StatePurpose::Session, here, &[9; NONCE_LEN], &plain);
        prop_assert_eq!(cipher.decrypt(StatePurpose::Session, here, &text), Some(plain));
        let mut bytes = text.into_bytes();
        let at = at % bytes.len();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(cipher.decrypt(StatePurpose::Session, here, &changed), None);
    }
}
