//! SE-01, SE-02: tests that sealed values reveal nothing and open only in their own context.

use proptest::prelude::*;

use super::*;

fn context(org: &str, id: &str) -> EncryptionContext {
    EncryptionContext {
        org: org.into(),
        kind: "credential",
        id: id.into(),
        field: "value".into(),
    }
}

fn vault() -> EnvelopeSealer {
    EnvelopeSealer::new(KeyEncryptionKeys::ephemeral())
}

proptest! {
    #[test]
    fn a_sealed_value_opens_at_its_own_location(plain: Vec<u8>) {
        let vault = vault();
        let sealed = vault.seal_secret(&context("acme", "gh"), &plain).unwrap();
        let opened = vault.open_secret(&context("acme", "gh"), &sealed).ok().unwrap();
        prop_assert_eq!((*opened).as_ref(), plain.as_slice());
    }

    #[test]
    fn se_02_an_altered_or_cut_value_does_not_open(at: prop::sample::Index, bit in 0..8u8, cut: bool) {
        let vault = vault();
        let mut sealed = vault.seal_secret(&context("acme", "gh"), b"a secret of some length").unwrap();
        for bytes in [&mut sealed.ciphertext, &mut sealed.wrapped_key] {
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] ^= 1 << bit }
        }
        prop_assert!(matches!(vault.open_secret(&context("acme", "gh"), &sealed), Err(SealError::Mismatch)));
    }
}

#[test]
fn se_02_a_value_moved_to_another_location_does_not_open() {
    let vault = vault();
    let sealed = vault
        .seal_secret(&context("acme", "gh"), b"secret")
        .unwrap();
    let mut other_field = context("acme", "gh");
    other_field.field = "header".into();
    for elsewhere in [
        context("evil", "gh"),
        context("acme", "gl"),
        context("acm", "egh"),
        other_field,
    ] {
        assert!(matches!(
            vault.open_secret(&elsewhere, &sealed),
            Err(SealError::Mismatch)
        ));
    }
}

#[test]
fn se_01_neither_layer_contains_the_secret_and_no_two_seals_are_equal() {
    let vault = vault();
    let canary = b"canary-0123456789abcdef";
    let one = vault.seal_secret(&context("acme", "gh"), canary).unwrap();
    let two = vault.seal_secret(&context("acme", "gh"), canary).unwrap();
    assert_ne!(one, two);
    for bytes in [&one.ciphertext, &one.wrapped_key] {
        assert!(
            !bytes
                .windows(6)
                .any(|window| canary.windows(6).any(|part| part == window))
        );
    }
}

#[test]
fn a_missing_key_is_named_and_nothing_else_is_revealed() {
    let sealed = vault()
        .seal_secret(&context("acme", "gh"), b"secret")
        .unwrap();
    let refusal = vault().open_secret(&context("acme", "gh"), &sealed).err();
    assert_eq!(refusal, Some(SealError::UnknownKey(sealed.key_id)));
}
