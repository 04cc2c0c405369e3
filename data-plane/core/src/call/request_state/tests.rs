//! A request state comes back byte for byte, and opens for its principal and gateway only.

use toolgate_model::Principal;

use super::*;
use crate::fixture::{GatewayFixture, cipher, slug};

fn request_state(literal: &str) -> EncryptedRequestState {
    EncryptedRequestState {
        request: Digest::of_bytes(b"request"),
        until: Timestamp(5_000),
        literal: literal.into(),
    }
}

fn principal(token: &str) -> Principal {
    Principal::clone(GatewayFixture::new().caller(token).principal())
}

#[test]
fn ti_07_an_encrypted_state_round_trips_byte_for_byte_through_any_proxy() {
    let (ada, main) = (principal("all"), slug("main"));
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let long = format!("\"{}\"", "x".repeat(STATE_LIMIT - 2));
    for literal in [r#""""#, r#""\u0061\/ \"é""#, &long] {
        let given = request_state(literal);
        let text = given
            .encrypt(&cipher(&[2, 1]), context, &[5; NONCE_LEN])
            .unwrap();
        assert!(text.len() <= StatePurpose::ServerState.limit());
        assert!(!text.contains("0061"));
        // Another process with the same keys and no other state, also after the next rotation.
        for epochs in [&[2, 1][..], &[3, 2]] {
            assert_eq!(
                EncryptedRequestState::decrypt(&cipher(epochs), context, &text),
                Some(given.clone())
            );
        }
        assert_eq!(
            EncryptedRequestState::decrypt(&cipher(&[4, 3]), context, &text),
            None
        );
    }
    let longer = format!("{long} ");
    let encrypted = request_state(&longer).encrypt(&cipher(&[1]), context, &[5; NONCE_LEN]);
    assert_eq!(encrypted, None);
}

/// Changes, cuts and extends a state at every letter, and opens it for other principals, gateways and purposes.
#[test]
fn ti_07_an_altered_or_foreign_state_does_not_open() {
    let (cipher, ada, eve) = (cipher(&[1]), principal("all"), principal("evil"));
    let (main, other) = (slug("main"), slug("other"));
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let given = request_state(r#""s""#);
    let text = given.encrypt(&cipher, context, &[5; NONCE_LEN]).unwrap();
    let mut wrong: Vec<String> = (0..text.len()).map(|end| text[..end].to_owned()).collect();
    for at in 0..text.len() {
        for letter in ["A", "b", "_", "=", "\u{e9}"] {
            wrong.push(format!("{}{letter}{}", &text[..at], &text[at + 1..]));
        }
    }
    wrong.extend([
        format!("{text}A"),
        format!("{text}{text}"),
        format!(" {text}"),
        "x".repeat(100_000),
        r#""s""#.to_owned(),
    ]);
    wrong.retain(|wrong| *wrong != text);
    let others = [
        StatePurpose::Session,
        StatePurpose::Cursor,
        StatePurpose::SuspendedCall,
        StatePurpose::Task,
        StatePurpose::UrlElicitation,
    ];
    for purpose in others {
        wrong.push(cipher.encrypt(purpose, context, &[5; NONCE_LEN], &[FORMAT; 64]));
        assert_eq!(cipher.decrypt(purpose, context, &text), None);
    }
    for wrong in wrong {
        assert_eq!(
            EncryptedRequestState::decrypt(&cipher, context, &wrong),
            None,
            "{wrong}"
        );
    }
    let foreign = [
        StateContext {
            gateway: &other,
            ..context
        },
        StateContext {
            principal: &eve,
            ..context
        },
    ];
    for foreign in foreign {
        assert_eq!(
            EncryptedRequestState::decrypt(&cipher, foreign, &text),
            None
        );
    }
}
