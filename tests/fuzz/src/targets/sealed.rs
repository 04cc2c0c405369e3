//! Sealed ids: noise opens nothing, what was sealed opens for its owner alone, and a plain text of ours that is not what it
//! should be is refused without harm.

use toolgate_data_core::{
    Sealer,
    seal::{Binding, NONCE, Purpose, SealKey},
    session_id,
};
use toolgate_model::{Principal, Slug, Subject, Timestamp};
use zeroize::Zeroizing;

/// A sealer of a fixed key.
pub(crate) fn sealer() -> Sealer {
    Sealer::new(&[SealKey {
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
        subject: Subject::User(slug(name)),
    }
}

/// Runs it.
pub fn run(bytes: &[u8]) {
    let (sealer, gateway, ada, bob) = (sealer(), slug("main"), user("ada"), user("bob"));
    let binding = Binding {
        gateway: &gateway,
        principal: &ada,
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(sealer.open(Purpose::Session, binding, text), None);
        assert_eq!(session_id::open(&sealer, binding, text, Timestamp(0)), None);
    }
    // Sealed by us, so it opens; what is in it is anything.
    let text = sealer.seal(Purpose::Session, binding, &[3; NONCE], bytes);
    let opened = session_id::open(&sealer, binding, &text, Timestamp(0));
    if let Some(facts) = opened {
        let minted = session_id::mint(&sealer, binding, &facts, &[3; NONCE]);
        let again = session_id::open(&sealer, binding, &minted, Timestamp(0));
        assert_eq!(again, Some(facts));
    }
    let stolen = Binding {
        principal: &bob,
        ..binding
    };
    assert_eq!(sealer.open(Purpose::Session, stolen, &text), None);
    assert_eq!(sealer.open(Purpose::Cursor, binding, &text), None);
}
