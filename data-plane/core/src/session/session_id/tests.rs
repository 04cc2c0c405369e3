//! Tests of session ids: an id opens to its contents, is short, and is valid for its principal only.

use proptest::prelude::*;

use super::*;
use crate::fixture::{NOW, cipher, slug, user};

#[test]
fn capabilities_are_parsed_from_client_messages() {
    let read = |json: &str| ClientCapabilities::read(json.as_bytes());
    assert_eq!(read("{}"), ClientCapabilities::default());
    assert_eq!(
        read(r#"{"elicitation":{}}"#),
        ClientCapabilities::ELICITATION
    );
    assert_eq!(
        read(r#"{"elicitation":{"url":{}}}"#),
        ClientCapabilities::ELICITATION_URL
    );
    let all = read(
        r#"{"roots":{"listChanged":true},"sampling":{},"elicitation":{"form":{},"url":{}},"x":1}"#,
    );
    assert_eq!(all.bits(), 15);
    assert_eq!(read("not json"), ClientCapabilities::default());
}

/// Of the extensions only the known ones are kept, and the settings of MCP Apps are reduced to one form.
#[test]
fn known_extensions_are_stored_in_a_canonical_form() {
    let read = |json: &str| ClientCapabilities::read(json.as_bytes());
    let pages = |types: &str| {
        read(&format!(
            r#"{{"extensions":{{"io.modelcontextprotocol/ui":{{"mimeTypes":{types},"x":1}},"a/b":{{}}}}}}"#
        ))
    };
    assert_eq!(
        pages(r#"["a/b","text/html;profile=mcp-app"]"#),
        ClientCapabilities::APPS
    );
    for types in [r#"["a/b"]"#, "[]", "7", r#""text/html;profile=mcp-app""#] {
        assert!(pages(types).is_empty(), "{types}");
    }
    for bits in 0..=ClientCapabilities::ALL.bits() {
        let known = ClientCapabilities(bits);
        // Sampling with tools cannot be encoded without sampling.
        let tools = known.contains(ClientCapabilities::SAMPLING_TOOLS);
        if !tools || known.contains(ClientCapabilities::SAMPLING) {
            assert_eq!(read(&known.to_json()), known, "{}", known.to_json());
        }
    }
}

proptest! {
    #[test]
    fn a_session_id_opens_for_its_owner_until_it_expires(
        version in 0_usize..3,
        bits in 0_u8..128,
        random in any::<[u8; RANDOM_LEN]>(),
        nonce in any::<[u8; NONCE_LEN]>(),
        owner in "[a-z]{1,40}",
        at in proptest::option::of("[a-z]{1,100}:[0-9]{4}"),
        opener in any::<([u8; 8], [u8; 8])>().prop_map(|(authn, tools)| SessionOpener { authn, tools }),
    ) {
        let facts = SessionClaims {
            version: versions::LEGACY[version],
            capabilities: ClientCapabilities(bits),
            issued: NOW,
            random,
            owner: OwningProxy::new(slug(&owner), at.as_deref()),
            opener,
        };
        let (gateway, cipher) = (slug("main"), cipher(&[1]));
        let ada = user("ada");
        let bob = user("bob");
        let context = StateContext { gateway: &gateway, principal: &ada };
        let text = mint(&cipher, context, &facts, &nonce);
        let limit = if at.is_some() { 350 } else { 200 };
        prop_assert!(text.len() <= limit);
        prop_assert!(text.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
        let last = NOW.after(LIFETIME);
        prop_assert_eq!(decrypt(&cipher, context, &text, last), Some(facts));
        let late = last.after(Duration::from_millis(1));
        prop_assert_eq!(decrypt(&cipher, context, &text, late), None);
        let stolen = StateContext { principal: &bob, ..context };
        prop_assert_eq!(decrypt(&cipher, stolen, &text, NOW), None);
    }
}

/// Tries random texts, and a valid id with each character changed. Runs the full number of attempts if
/// `TOOLGATE_TEST_MILLION` is set (`make million`), otherwise a tenth.
#[test]
fn ti_03_guessed_session_ids_do_not_open() {
    let facts = SessionClaims {
        version: versions::LEGACY[0],
        capabilities: ClientCapabilities::default(),
        issued: NOW,
        random: [7; RANDOM_LEN],
        owner: OwningProxy::new(slug("p"), None),
        opener: Default::default(),
    };
    let (gateway, cipher) = (slug("main"), cipher(&[1]));
    let ada = user("ada");
    let context = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    let good = mint(&cipher, context, &facts, &[3; NONCE_LEN]);
    assert!(decrypt(&cipher, context, &good, NOW).is_some());
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut opened = 0;
    for at in 0..good.len() {
        for letter in letters {
            let mut guess = good.clone().into_bytes();
            guess[at] = *letter;
            let guess = String::from_utf8(guess).unwrap();
            opened +=
                usize::from(guess != good && decrypt(&cipher, context, &guess, NOW).is_some());
        }
    }
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let guesses = match std::env::var_os("TOOLGATE_TEST_MILLION") {
        Some(_) => 1_000_000,
        None => 100_000,
    };
    for _ in 0..guesses {
        let guess: String = good
            .chars()
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(letters[usize::try_from(state % 64).unwrap()])
            })
            .collect();
        opened += usize::from(decrypt(&cipher, context, &guess, NOW).is_some());
    }
    assert_eq!(opened, 0);
}

#[test]
fn an_id_of_a_build_without_openers_opens_with_an_unknown_one() {
    let opener = SessionOpener {
        authn: [1; OPENER_PART_LEN],
        tools: [2; OPENER_PART_LEN],
    };
    let mut bytes = [opener.authn, opener.tools].concat();
    assert_eq!(SessionOpener::read(&bytes), Some(opener));
    bytes.push(7);
    assert_eq!(
        SessionOpener::read(&bytes),
        Some(opener),
        "of a later build"
    );
    assert_eq!(SessionOpener::read(&bytes[..15]), None);
    assert_eq!(SessionOpener::read(&[]), None);
}

/// Special times: milliseconds since 1970, as in RFC 3339, and the reason.
const SPECIAL_TIMES: &str = include_str!("../../../../../tests/fixtures/special-times.txt");

#[test]
fn se_15_session_ids_of_special_times_open_for_their_whole_lifetime() {
    let (gateway, cipher) = (slug("main"), cipher(&[1]));
    let ada = user("ada");
    let context = StateContext {
        gateway: &gateway,
        principal: &ada,
    };
    for line in SPECIAL_TIMES.lines() {
        let (millis, why) = line.split_once(' ').unwrap();
        let issued = Timestamp(millis.parse().unwrap());
        let claims = SessionClaims {
            version: versions::LEGACY[0],
            capabilities: ClientCapabilities::default(),
            issued,
            random: [3; RANDOM_LEN],
            owner: OwningProxy::new(slug("edge"), None),
            opener: SessionOpener {
                authn: [1; 8],
                tools: [2; 8],
            },
        };
        let text = mint(&cipher, context, &claims, &[5; NONCE_LEN]);
        let last = issued.after(LIFETIME);
        for (now, opens) in [
            (issued, true),
            (issued.after(Duration::from_millis(1)), true),
            (last, true),
            (last.after(Duration::from_millis(1)), false),
        ] {
            assert_eq!(
                decrypt(&cipher, context, &text, now).is_some(),
                opens,
                "{why}"
            );
        }
    }
}
