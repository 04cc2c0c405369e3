//! A URL elicitation opens for its principal and gateway only, and a declined URL is recognized.

use toolgate_model::Principal;

use super::*;
use crate::fixture::{GatewayFixture, cipher, slug};

fn elicitation() -> UrlElicitation {
    UrlElicitation {
        request: Digest::of_bytes(b"request"),
        until: Timestamp(5_000),
        times: 3,
        pages: 2,
    }
}

fn principal(token: &str) -> Principal {
    Principal::clone(GatewayFixture::new().caller(token).principal())
}

#[test]
fn ti_07_a_url_elicitation_state_opens_on_any_proxy() {
    let (ada, main) = (principal("all"), slug("main"));
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let text = elicitation().encrypt(&cipher(&[2, 1]), context, &[5; NONCE_LEN]);
    assert!(text.len() <= StatePurpose::UrlElicitation.limit());
    // Another process with the same keys and no other state, also after the next rotation.
    for epochs in [&[2, 1][..], &[3, 2]] {
        assert_eq!(
            UrlElicitation::decrypt(&cipher(epochs), context, &text),
            Some(elicitation())
        );
    }
    assert_eq!(
        UrlElicitation::decrypt(&cipher(&[4, 3]), context, &text),
        None
    );
}

#[test]
fn ti_07_an_altered_or_foreign_url_elicitation_state_does_not_open() {
    let (cipher, ada, eve) = (cipher(&[1]), principal("all"), principal("evil"));
    let (main, other) = (slug("main"), slug("other"));
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let text = elicitation().encrypt(&cipher, context, &[5; NONCE_LEN]);
    let mut wrong: Vec<String> = (0..text.len()).map(|end| text[..end].to_owned()).collect();
    for at in 0..text.len() {
        for letter in ["A", "b", "_", "=", "\u{e9}"] {
            wrong.push(format!("{}{letter}{}", &text[..at], &text[at + 1..]));
        }
    }
    wrong.push("x".repeat(100_000));
    wrong.retain(|wrong| *wrong != text);
    let others = [
        StatePurpose::Session,
        StatePurpose::Cursor,
        StatePurpose::SuspendedCall,
        StatePurpose::Task,
        StatePurpose::ServerState,
    ];
    for purpose in others {
        wrong.push(cipher.encrypt(purpose, context, &[5; NONCE_LEN], &[FORMAT; 64]));
        assert_eq!(cipher.decrypt(purpose, context, &text), None);
    }
    // Encrypted with the right key, in another format.
    wrong.push(cipher.encrypt(
        StatePurpose::UrlElicitation,
        context,
        &[5; NONCE_LEN],
        &[FORMAT + 1; 64],
    ));
    wrong.push(cipher.encrypt(
        StatePurpose::UrlElicitation,
        context,
        &[5; NONCE_LEN],
        &[FORMAT; 42],
    ));
    for wrong in wrong {
        assert_eq!(
            UrlElicitation::decrypt(&cipher, context, &wrong),
            None,
            "{wrong}"
        );
    }
    for foreign in [(&other, &ada), (&main, &eve)] {
        let context = StateContext {
            gateway: foreign.0,
            principal: foreign.1,
        };
        assert_eq!(UrlElicitation::decrypt(&cipher, context, &text), None);
    }
}

#[test]
fn only_a_declined_url_elicitation_ends_a_call() {
    let went = br#"{"page-1":{"action":"accept"},"page-2":{"action":"accept"}}"#;
    let fine: [&[u8]; 4] = [
        went,
        b"{}",
        br#"{"page-2":{"action":"accept"}}"#,
        br#"{"page-1":{"action":"accept"},"page-3":{"action":"decline"},"question-1":{}}"#,
    ];
    for responses in fine {
        assert!(!elicitation().is_declined(responses));
    }
    let refused: [&[u8]; 4] = [
        br#"{"page-1":{"action":"decline"}}"#,
        br#"{"page-1":{"action":"accept"},"page-2":{"action":"cancel"}}"#,
        br#"{"page-2":{}}"#,
        br#"{"page-1":null}"#,
    ];
    for responses in refused {
        assert!(elicitation().is_declined(responses));
    }
}
