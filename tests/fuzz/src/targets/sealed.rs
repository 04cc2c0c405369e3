//! Sealed ids: arbitrary bytes do not open, sealed values open only for their owner, and a sealed but invalid plain
//! text is rejected without a panic.

use toolgate_data_core::{
    Sealer,
    call::{
        request_state::SealedRequestState, suspended::CallTicket, url_elicitation::UrlElicitation,
    },
    seal::{NONCE_LEN, SealContext, SealPurpose, SealingKey, task::TaskId},
    session::session_id,
};
use toolgate_model::{Principal, PrincipalSubject, Slug, Timestamp};
use zeroize::Zeroizing;

/// Sealer with a fixed key.
pub(crate) fn sealer() -> Sealer {
    Sealer::new(&[SealingKey {
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
    let (sealer, gateway, ada, bob) = (sealer(), slug("main"), user("ada"), user("bob"));
    let binding = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(sealer.open(SealPurpose::Session, binding, text), None);
        assert_eq!(session_id::open(&sealer, binding, text, Timestamp(0)), None);
    }
    // Sealed with a valid key, so it opens; its content is arbitrary.
    let text = sealer.seal(SealPurpose::Session, binding, &[3; NONCE_LEN], bytes);
    let opened = session_id::open(&sealer, binding, &text, Timestamp(0));
    if let Some(facts) = opened {
        let minted = session_id::mint(&sealer, binding, &facts, &[3; NONCE_LEN]);
        let again = session_id::open(&sealer, binding, &minted, Timestamp(0));
        assert_eq!(again, Some(facts));
    }
    check_client_held_values(&sealer, binding, bytes);
    let stolen = SealContext {
        principal: &bob,
        ..binding
    };
    assert_eq!(sealer.open(SealPurpose::Session, stolen, &text), None);
    assert_eq!(sealer.open(SealPurpose::Cursor, binding, &text), None);
}

/// Values that clients hold between two requests: suspension tickets, request states, URL elicitation states and task
/// ids. An opened value is equal after it is sealed again.
fn check_client_held_values(sealer: &Sealer, binding: SealContext<'_>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(CallTicket::open(sealer, binding, text), None);
        assert_eq!(SealedRequestState::open(sealer, binding, text), None);
        assert_eq!(UrlElicitation::open(sealer, binding, text), None);
        assert_eq!(TaskId::open(sealer, binding, text), None);
    }
    let nonce = &[3; NONCE_LEN];
    let of = |purpose| sealer.seal(purpose, binding, nonce, bytes);
    let (ticket, state) = (of(SealPurpose::SuspendedCall), of(SealPurpose::ServerState));
    let (visit, task) = (of(SealPurpose::UrlElicitation), of(SealPurpose::Task));
    if let Some(open) = CallTicket::open(sealer, binding, &ticket) {
        let again = open.seal(sealer, binding, nonce);
        assert_eq!(CallTicket::open(sealer, binding, &again), Some(open));
    }
    if let Some(open) = SealedRequestState::open(sealer, binding, &state) {
        let again = open.seal(sealer, binding, nonce).unwrap();
        assert_eq!(
            SealedRequestState::open(sealer, binding, &again),
            Some(open)
        );
    }
    if let Some(open) = UrlElicitation::open(sealer, binding, &visit) {
        let again = open.seal(sealer, binding, nonce);
        assert_eq!(UrlElicitation::open(sealer, binding, &again), Some(open));
    }
    if let Some(open) = TaskId::open(sealer, binding, &task) {
        let again = open.seal(sealer, binding).unwrap();
        assert_eq!(TaskId::open(sealer, binding, &again), Some(open));
    }
    assert_eq!(UrlElicitation::open(sealer, binding, &ticket), None);
    assert_eq!(CallTicket::open(sealer, binding, &visit), None);
    assert_eq!(SealedRequestState::open(sealer, binding, &task), None);
}
