//! Tests of cursors: a cursor names a page of one state of one list, for one principal.

use toolgate_model::{Principal, PrincipalSubject};

use super::*;
use crate::fixture::{cipher, slug, user};

#[test]
fn a_cursor_is_bound_to_list_state_and_principal() {
    let (gateway, cipher) = (slug("main"), cipher(&[1]));
    let ada = user("ada");
    let org = Principal {
        subject: PrincipalSubject::AllCallers,
        ..ada.clone()
    };
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let (now, later) = (Digest::of_bytes(b"1"), Digest::of_bytes(b"2"));
    let cursor = ListCursor {
        kind: ListKind::Tools,
        page: 3,
        digest: now,
    };
    let text = encrypt(&cipher, here, &cursor);
    let open = |context, digest| decrypt(&cipher, context, &text, ListKind::Tools, &digest);
    assert_eq!(open(here, now), Some(3));
    assert_eq!(open(here, later), None);
    let foreign = StateContext {
        principal: &org,
        ..here
    };
    assert_eq!(open(foreign, now), None);
    assert_eq!(
        super::decrypt(&cipher, here, "", ListKind::Tools, &now),
        None
    );
}

#[test]
fn a_cursor_opens_for_its_own_kind_of_list_only() {
    let kinds = [
        ListKind::Tools,
        ListKind::Prompts,
        ListKind::Resources,
        ListKind::Templates,
    ];
    let (gateway, cipher) = (slug("main"), cipher(&[1]));
    let ada = user("ada");
    let here = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    // Two lists may have the same digest, e.g. because both are empty.
    let digest = Digest::of_bytes(b"1");
    for kind in kinds {
        let cursor = ListCursor {
            kind,
            page: 1,
            digest,
        };
        let text = encrypt(&cipher, here, &cursor);
        for other in kinds {
            let expected = (other == kind).then_some(1);
            assert_eq!(decrypt(&cipher, here, &text, other, &digest), expected);
        }
    }
}
