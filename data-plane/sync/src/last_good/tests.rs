//! Tests of the stored configuration.

use super::*;
use crate::{fixture::small, hold::Held};

#[test]
fn what_was_kept_comes_back_equal() {
    let bytes = to_bytes(&small(9));
    let (held, refused) = Held::nothing().take(from_bytes(&bytes).unwrap()).unwrap();
    assert_eq!(refused, []);
    assert_eq!(held.snapshot.as_ref(), &small(9));
}

#[test]
fn bytes_that_are_cut_anywhere_are_no_configuration() {
    let bytes = to_bytes(&small(9));
    for end in 0..bytes.len() {
        assert!(from_bytes(&bytes[..end]).is_none(), "cut at {end}");
    }
    assert!(from_bytes(&[bytes.as_slice(), b"more"].concat()).is_none());
}
