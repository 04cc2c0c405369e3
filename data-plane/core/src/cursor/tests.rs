//! Tests of cursors: a cursor names a page of one state of one list, for one principal.

use toolgate_model::{Principal, Subject};

use super::*;
use crate::fixture::{sealer, slug};

#[test]
fn is_bound_to_list_state_and_principal() {
    let (gateway, sealer) = (slug("main"), sealer(&[1]));
    let ada = Principal {
        org: slug("acme"),
        subject: Subject::User(slug("ada")),
    };
    let org = Principal {
        subject: Subject::Organization,
        ..ada.clone()
    };
    let here = Binding {
        gateway: &gateway,
        principal: &ada,
    };
    let (now, later) = (Digest::of_bytes(b"1"), Digest::of_bytes(b"2"));
    let cursor = Cursor {
        kind: ListKind::Tools,
        page: 3,
        digest: now,
    };
    let text = seal(&sealer, here, &cursor);
    let open = |binding, digest| open(&sealer, binding, &text, ListKind::Tools, &digest);
    assert_eq!(open(here, now), Some(3));
    assert_eq!(open(here, later), None);
    let foreign = Binding {
        principal: &org,
        ..here
    };
    assert_eq!(open(foreign, now), None);
    assert_eq!(super::open(&sealer, here, "", ListKind::Tools, &now), None);
}
