//! Cursors: arbitrary bytes are no cursor, and a valid cursor opens only for its list and its owner.

use toolgate_data_core::{
    client_state::{StateContext, StatePurpose},
    plan::list_cursor::{self, ListCursor, ListKind},
};
use toolgate_model::Digest;

use super::client_state::{cipher, slug, user};

/// Runs the target.
pub fn run(bytes: &[u8]) {
    let (cipher, gateway, ada, bob) = (cipher(), slug("main"), user("ada"), user("bob"));
    let context = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let digest = Digest::of_bytes(bytes);
    let open = |text: &str, context, digest: &Digest| {
        list_cursor::decrypt(&cipher, context, text, ListKind::Tools, digest)
    };
    if let Ok(text) = std::str::from_utf8(bytes) {
        assert_eq!(open(text, context, &digest), None);
    }
    let mut page = [0; 4];
    let taken = bytes.len().min(4);
    page[..taken].copy_from_slice(&bytes[..taken]);
    let page = u32::from_be_bytes(page);
    let of = ListCursor {
        kind: ListKind::Tools,
        page,
        digest,
    };
    let text = list_cursor::encrypt(&cipher, context, &of);
    assert_eq!(open(&text, context, &digest), Some(page));
    assert_eq!(open(&text, context, &Digest::of_bytes(b"another")), None);
    let stolen = StateContext {
        principal: &bob,
        ..context
    };
    assert_eq!(open(&text, stolen, &digest), None);
    // Encrypted with a valid key, but not a cursor.
    let text = cipher.encrypt_stable(StatePurpose::Cursor, context, bytes);
    let _any = open(&text, context, &digest);
}
