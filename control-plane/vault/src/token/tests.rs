//! OA-17: tests that tokens carry 256 bits, are recognized, and are stored as keyed hashes only.

use std::collections::BTreeSet;

use super::*;

fn minter() -> TokenMinter {
    TokenMinter::new("archestra", [7; 32])
}

#[test]
fn a_token_has_the_documented_format_and_is_recognised() {
    let minter = minter();
    let token = minter.mint();
    assert!(token.secret.starts_with("archestra_"));
    assert_eq!(
        token.secret.len(),
        "archestra_".len() + RANDOM_CHARS + CHECKSUM_CHARS
    );
    assert!(minter.is_well_formed(&token.secret));
    assert_eq!(minter.hash(&token.secret), token.hash);
}

#[test]
fn a_mistyped_token_or_another_prefix_is_rejected_without_a_lookup() {
    let minter = minter();
    let token = minter.mint().secret;
    let swapped = token.replace("archestra_", "archestrb_");
    let mut typed = token.to_string();
    let last = typed.pop().unwrap();
    typed.push(if last == 'x' { 'y' } else { 'x' });
    for bad in [
        swapped.as_str(),
        &typed,
        "",
        "archestra_",
        &token[..20],
        "archestra_ä",
    ] {
        assert!(!minter.is_well_formed(bad), "{bad}");
    }
}

#[test]
fn tokens_do_not_repeat_and_hashes_depend_on_the_key() {
    let minter = minter();
    let tokens: BTreeSet<_> = (0..1000)
        .map(|_| minter.mint().secret.to_string())
        .collect();
    assert_eq!(tokens.len(), 1000);
    let token = tokens.first().unwrap();
    assert_ne!(
        minter.hash(token),
        TokenMinter::new("archestra", [8; 32]).hash(token)
    );
}

#[test]
fn a_join_secret_is_never_accepted_as_a_token() {
    let minter = minter();
    let join = minter.mint_join();
    assert_ne!(join.hash, minter.hash(&join.secret));
    assert_eq!(join.hash.0, minter.hash_for("join", join.secret.as_bytes()));
    assert!(!minter.is_well_formed(&join.secret));
}

#[test]
fn the_hint_identifies_a_token_and_reveals_nothing_more() {
    let token = minter().mint();
    assert_eq!(token.hint.len(), "archestra_".len() + 4);
    assert!(!format!("{token:?}").contains(&token.secret[15..]));
}
