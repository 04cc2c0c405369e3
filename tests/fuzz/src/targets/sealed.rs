//! Sealed ids: arbitrary bytes do not open, sealed values open only for their owner, and a sealed but invalid plain
//! text is rejected without a panic.

use toolgate_data_core::{
    ClientStateSealer,
    call::{
        request_state::SealedRequestState, suspended::CallTicket, url_elicitation::UrlElicitation,
    },
    seal::{NONCE_LEN, SealContext, SealPurpose, SealingKey, task::TaskId},
    session::session_id,
};
use toolgate_model::{Principal, PrincipalSubject, Slug, Timestamp};
use zeroize::Zeroizing;

/// Sealer with a fixed key.
pub(crate) fn sealer() -> ClientStateSealer {
    ClientStateSealer::new(&[SealingKey {
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
    let context = SealContext {
        gateway: &gateway,
        principal: &ada,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(sealer.open(SealPurpose::Session, context, text), None);
        assert_eq!(session_id::open(&sealer, context, text, Timestamp(0)), None);
    }
    // Sealed with a valid key, so it opens; its content is arbitrary.
    let text = sealer.seal(SealPurpose::Session, context, &[3; NONCE_LEN], bytes);
    let opened = session_id::open(&sealer, context, &text, Timestamp(0));
    if let Some(facts) = opened {
        let minted = session_id::mint(&sealer, context, &facts, &[3; NONCE_LEN]);
        let again = session_id::open(&sealer, context, &minted, Timestamp(0));
        assert_eq!(again, Some(facts));
    }
    check_client_held_values(&sealer, context, bytes);
    let stolen = SealContext {
        principal: &bob,
        ..context
    };
    assert_eq!(sealer.open(SealPurpose::Session, stolen, &text), None);
    assert_eq!(sealer.open(SealPurpose::Cursor, context, &text), None);
}

/// Values that clients hold between two requests: suspension tickets, request states, URL elicitation states and task
/// ids. An opened value is equal after it is sealed again.
fn check_client_held_values(sealer: &ClientStateSealer, context: SealContext<'_>, bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(CallTicket::open(sealer, context, text), None);
        assert_eq!(SealedRequestState::open(sealer, context, text), None);
        assert_eq!(UrlElicitation::open(sealer, context, text), None);
        assert_eq!(TaskId::open(sealer, context, text), None);
    }
    let nonce = &[3; NONCE_LEN];
    let of = |purpose| sealer.seal(purpose, context, nonce, bytes);
    let (ticket, state) = (of(SealPurpose::SuspendedCall), of(SealPurpose::ServerState));
    let (visit, task) = (of(SealPurpose::UrlElicitation), of(SealPurpose::Task));
    if let Some(open) = CallTicket::open(sealer, context, &ticket) {
        let again = open.seal(sealer, context, nonce);
        assert_eq!(CallTicket::open(sealer, context, &again), Some(open));
    }
    if let Some(open) = SealedRequestState::open(sealer, context, &state) {
        let again = open.seal(sealer, context, nonce).unwrap();
        assert_eq!(
            SealedRequestState::open(sealer, context, &again),
            Some(open)
        );
    }
    if let Some(open) = UrlElicitation::open(sealer, context, &visit) {
        let again = open.seal(sealer, context, nonce);
        assert_eq!(UrlElicitation::open(sealer, context, &again), Some(open));
    }
    if let Some(open) = TaskId::open(sealer, context, &task) {
        let again = open.seal(sealer, context).unwrap();
        assert_eq!(TaskId::open(sealer, context, &again), Some(open));
    }
    assert_eq!(UrlElicitation::open(sealer, context, &ticket), None);
    assert_eq!(CallTicket::open(sealer, context, &visit), None);
    assert_eq!(SealedRequestState::open(sealer, context, &task), None);
}
