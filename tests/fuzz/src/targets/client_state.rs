//! Encrypted ids: arbitrary bytes do not open, encrypted values open only for their owner, and an encrypted but invalid plain
//! text is rejected without a panic.

use toolgate_data_core::{
    ClientStateCipher,
    call::{
        request_state::EncryptedRequestState, suspended::CallTicket,
        url_elicitation::UrlElicitation,
    },
    client_state::{NONCE_LEN, StateContext, StateKey, StatePurpose, task::TaskId},
    session::session_id,
};
use toolgate_model::{Principal, PrincipalSubject, Slug, Timestamp};
use zeroize::Zeroizing;

/// Cipher with a fixed key.
pub(crate) fn cipher() -> ClientStateCipher {
    ClientStateCipher::new(&[StateKey {
        epoch: 1,
        secret: Zeroizing::new(vec![7; 32]),
    }])
    .unwrap()
}

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn user(name: &str) -> Principal {
    Principal {
        org: slug("acme"),
        subject: PrincipalSubject::User(slug(name)),
    }
}

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let (cipher, gateway, ada, bob) = (cipher(), slug("main"), user("ada"), user("bob"));
    let context = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(cipher.decrypt(StatePurpose::Session, context, text), None);
        assert_eq!(
            session_id::decrypt(&cipher, context, text, Timestamp(0)),
            None
        );
    }
    // Encrypted with a valid key, so it opens; its content is arbitrary.
    let text = cipher.encrypt(StatePurpose::Session, context, &[3; NONCE_LEN], bytes);
    let opened = session_id::decrypt(&cipher, context, &text, Timestamp(0));
    if let Some(facts) = opened {
        let minted = session_id::mint(&cipher, context, &facts, &[3; NONCE_LEN]);
        let again = session_id::decrypt(&cipher, context, &minted, Timestamp(0));
        assert_eq!(again, Some(facts));
    }
    check_client_held_values(&cipher, context, bytes);
    let stolen = StateContext {
        principal: &bob,
        ..context
    };
    assert_eq!(cipher.decrypt(StatePurpose::Session, stolen, &text), None);
    assert_eq!(cipher.decrypt(StatePurpose::Cursor, context, &text), None);
}

/// Values that clients hold between two requests: suspension tickets, request states, URL elicitation states and task
/// ids. An opened value is equal after it is encrypted again.
fn check_client_held_values(cipher: &ClientStateCipher, context: StateContext<'_>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(CallTicket::decrypt(cipher, context, text), None);
        assert_eq!(EncryptedRequestState::decrypt(cipher, context, text), None);
        assert_eq!(UrlElicitation::decrypt(cipher, context, text), None);
        assert_eq!(TaskId::decrypt(cipher, context, text), None);
    }
    let nonce = &[3; NONCE_LEN];
    let of = |purpose| cipher.encrypt(purpose, context, nonce, bytes);
    let (ticket, state) = (
        of(StatePurpose::SuspendedCall),
        of(StatePurpose::ServerState),
    );
    let (visit, task) = (of(StatePurpose::UrlElicitation), of(StatePurpose::Task));
    if let Some(open) = CallTicket::decrypt(cipher, context, &ticket) {
        let again = open.encrypt(cipher, context, nonce);
        assert_eq!(CallTicket::decrypt(cipher, context, &again), Some(open));
    }
    if let Some(open) = EncryptedRequestState::decrypt(cipher, context, &state) {
        let again = open.encrypt(cipher, context, nonce).unwrap();
        assert_eq!(
            EncryptedRequestState::decrypt(cipher, context, &again),
            Some(open)
        );
    }
    if let Some(open) = UrlElicitation::decrypt(cipher, context, &visit) {
        let again = open.encrypt(cipher, context, nonce);
        assert_eq!(UrlElicitation::decrypt(cipher, context, &again), Some(open));
    }
    if let Some(open) = TaskId::decrypt(cipher, context, &task) {
        let again = open.encrypt(cipher, context).unwrap();
        assert_eq!(TaskId::decrypt(cipher, context, &again), Some(open));
    }
    assert_eq!(UrlElicitation::decrypt(cipher, context, &ticket), None);
    assert_eq!(CallTicket::decrypt(cipher, context, &visit), None);
    assert_eq!(EncryptedRequestState::decrypt(cipher, context, &task), None);
}
