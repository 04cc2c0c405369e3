//! Tests of the ids of deployments in `CDN-Loop`.

use proptest::prelude::*;

use super::*;

fn own() -> CdnId {
    CdnId::derive(&[7; 32])
}

fn check(lines: &[&str]) -> Result<(), CdnLoopError> {
    own().check(lines.iter().map(|line| line.as_bytes()))
}

#[test]
fn the_id_of_a_deployment_is_stable_is_a_token_and_differs_between_deployments() {
    let id = own();
    assert_eq!(id, own());
    assert_ne!(id, CdnId::derive(&[8; 32]));
    let is_token = |c: char| c.is_ascii_alphanumeric() || c == '-';
    assert!(id.as_str().chars().all(is_token), "{id}");
    assert!(!id.as_str().contains(&"07".repeat(4)), "{id}");
}

#[test]
fn a_request_that_names_this_deployment_is_a_loop_in_every_form_of_the_header() {
    let id = own();
    let upper = id.as_str().to_ascii_uppercase();
    for line in [
        id.to_string(),
        format!("other, {id}"),
        format!("other,{id};loops=1;x=\"y\" , third"),
        format!(" {id} ; a=b"),
        upper,
    ] {
        assert_eq!(check(&[&line]), Err(CdnLoopError::PassedBefore), "{line}");
        let lines = ["first", &line];
        assert_eq!(check(&lines), Err(CdnLoopError::PassedBefore), "{line}");
    }
}

#[test]
fn other_deployments_pass_until_the_chain_is_too_long() {
    assert_eq!(check(&[]), Ok(()));
    assert_eq!(check(&["cloudflare; loops=1; subreqs=2"]), Ok(()));
    let near = format!("{}-other, x{}", own(), own());
    assert_eq!(check(&[&near]), Ok(()));
    let chain = |count| vec!["other"; count].join(", ");
    assert_eq!(check(&[&chain(MAX_IDS - 1)]), Ok(()));
    assert_eq!(check(&[&chain(MAX_IDS)]), Err(CdnLoopError::ChainTooLong));
    assert_eq!(check(&["other"; MAX_IDS]), Err(CdnLoopError::ChainTooLong));
    let long = "x".repeat(MAX_LENGTH + 1);
    assert_eq!(check(&[&long]), Err(CdnLoopError::ChainTooLong));
}

#[test]
fn reasons_are_found_by_their_labels() {
    for reason in [CdnLoopError::PassedBefore, CdnLoopError::ChainTooLong] {
        assert_eq!(CdnLoopError::of_kind(reason.kind()), Some(reason));
    }
    assert_eq!(CdnLoopError::of_kind("overloaded"), None);
}

proptest! {
    #[test]
    fn no_header_hides_the_id_or_causes_a_panic(
        before in "[ -~]{0,60}",
        after in "[ -~]{0,60}",
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..4),
    ) {
        let _any = own().check(lines.iter().map(Vec::as_slice));
        let line = format!("{before},{},{after}", own());
        prop_assert!(check(&[&line]).is_err());
    }
}
