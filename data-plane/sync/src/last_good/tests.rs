//! Tests of the stored configuration.

use super::*;
use crate::{applied_config::AppliedConfig, fixture::small};

#[test]
fn a_saved_configuration_round_trips() {
    let bytes = to_bytes(&small(9));
    let (held, rejected) = AppliedConfig::empty()
        .apply(from_bytes(&bytes).unwrap())
        .unwrap();
    assert_eq!(rejected, []);
    assert_eq!(held.snapshot.as_ref(), &small(9));
}

#[test]
fn truncated_bytes_are_rejected() {
    let bytes = to_bytes(&small(9));
    for end in 0..bytes.len() {
        assert!(from_bytes(&bytes[..end]).is_none(), "cut at {end}");
    }
    assert!(from_bytes(&[bytes.as_slice(), b"more"].concat()).is_none());
}
