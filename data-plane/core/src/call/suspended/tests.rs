//! A suspended call is handed out once or cancelled once; its ticket opens for its principal and gateway only.

use proptest::prelude::*;
use toolgate_model::Principal;

use super::*;
use crate::fixture::{GatewayFixture, cipher, slug};

const START: Timestamp = Timestamp(1_000);

fn ticket() -> CallTicket {
    CallTicket {
        handle: [3; HANDLE],
        request: digest("files", "tools/call", "files__read", b"{}").unwrap(),
        owner: OwningProxy::new(slug("proxy-1"), Some("10.0.0.1:7402")),
    }
}

fn principal(token: &str) -> Principal {
    Principal::clone(GatewayFixture::new().caller(token).principal())
}

#[test]
fn a_suspension_ticket_opens_only_for_its_principal_and_gateway() {
    let (cipher, ada) = (cipher(&[1]), principal("all"));
    let (main, other) = (slug("main"), slug("other"));
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let text = ticket().encrypt(&cipher, context, &[5; NONCE_LEN]);
    assert!(text.len() <= crate::client_state::TEXT_LIMIT);
    assert_eq!(CallTicket::decrypt(&cipher, context, &text), Some(ticket()));
    let elsewhere = StateContext {
        gateway: &other,
        ..context
    };
    assert_eq!(CallTicket::decrypt(&cipher, elsewhere, &text), None);
    let mut tampered = text.clone().into_bytes();
    tampered[60] ^= 1;
    let tampered = String::from_utf8(tampered).unwrap();
    assert_eq!(CallTicket::decrypt(&cipher, context, &tampered), None);
    let cursor = cipher.encrypt(StatePurpose::Cursor, context, &[5; NONCE_LEN], b"x");
    assert_eq!(CallTicket::decrypt(&cipher, context, &cursor), None);
}

/// Changes, cuts and extends a ticket at every letter, and opens it for other principals, gateways and purposes.
#[test]
fn ti_07_an_altered_or_foreign_ticket_does_not_open() {
    let (cipher, ada) = (cipher(&[1]), principal("all"));
    let main = slug("main");
    let context = StateContext {
        gateway: &main,
        principal: &ada,
    };
    let text = ticket().encrypt(&cipher, context, &[5; NONCE_LEN]);
    let mut wrong: Vec<String> = (0..text.len()).map(|end| text[..end].to_owned()).collect();
    for at in 0..text.len() {
        for letter in ["A", "b", "_", "=", "\u{e9}"] {
            let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            wrong.push(changed);
        }
    }
    wrong.extend([
        format!("{text}A"),
        format!("{text}{text}"),
        format!(" {text}"),
        "x".repeat(5_000),
    ]);
    wrong.retain(|wrong| *wrong != text);
    for purpose in [StatePurpose::Cursor, StatePurpose::Session] {
        wrong.push(cipher.encrypt(purpose, context, &[5; NONCE_LEN], b"x"));
    }
    for wrong in wrong {
        assert_eq!(
            CallTicket::decrypt(&cipher, context, &wrong),
            None,
            "{wrong}"
        );
    }
    let other = crate::fixture::cipher(&[2]);
    assert_eq!(
        CallTicket::decrypt(&other, context, &text),
        None,
        "another deployment"
    );
}

#[test]
fn equal_requests_match_regardless_of_json_spelling() {
    let of =
        |name: &str, arguments: &str| digest("files", "tools/call", name, arguments.as_bytes());
    assert_eq!(
        of("a", r#"{"x":1,"y":"\u0061"}"#),
        of("a", r#"{ "y":"a", "x":1 }"#)
    );
    assert_ne!(of("a", r#"{"x":1}"#), of("a", r#"{"x":2}"#));
    assert_ne!(of("a", "{}"), of("b", "{}"));
    assert_ne!(digest("files", "prompts/get", "a", b"{}"), of("a", "{}"));
    let moved = digest("elsewhere", "tools/call", "a", b"{}");
    assert_ne!(moved, of("a", "{}"));
    assert_eq!(of("a", "{"), None);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Claimed,
    Later(u64),
    End,
}

proptest! {
    #[test]
    fn a_suspended_call_is_continued_once_or_released_once(steps in prop::collection::vec(prop_oneof![
        Just(Step::Claimed), (1_u64..120).prop_map(Step::Later), Just(Step::End),
    ], 0..30)) {
        let mut machine = SuspensionMachine::new(START);
        let (mut now, mut over) = (START, false);
        for (who, step) in steps.into_iter().enumerate() {
            let (event, expected) = match step {
                Step::Claimed if over => (SuspensionEvent::Claimed(who), vec![SuspensionOutput::Deny(who)]),
                Step::Claimed => {
                    over = true;
                    (SuspensionEvent::Claimed(who), vec![SuspensionOutput::HandOver(who), SuspensionOutput::Stop])
                }
                Step::Later(seconds) => {
                    now = now.after(Duration::from_secs(seconds));
                    let late = !over && now >= START.after(SUSPENSION_LIFETIME);
                    over |= late;
                    (SuspensionEvent::Tick(now), if late { vec![SuspensionOutput::Cancel, SuspensionOutput::Stop] } else { vec![] })
                }
                Step::End => {
                    let first = !std::mem::replace(&mut over, true);
                    (SuspensionEvent::End, if first { vec![SuspensionOutput::Cancel, SuspensionOutput::Stop] } else { vec![] })
                }
            };
            prop_assert_eq!(machine.on(event), expected);
            prop_assert_eq!(machine.is_waiting(), !over);
        }
    }
}
