//! Tests of the facts that servers report about themselves.

use super::*;

#[test]
fn server_facts_are_capped_and_stored_as_received() {
    let long = "é".repeat(MAX_INSTRUCTIONS);
    let result = format!(
        r#"{{"protocolVersion":"2025-06-18","capabilities":{{ "tools":{{"listChanged":true}} }},
        "serverInfo":{{"name":"a\u001b[31m","version":"1"}},"instructions":"{long}"}}"#
    );
    let facts = ServerFacts::of_initialize(result.as_bytes()).unwrap();
    assert_eq!(facts.version, "2025-06-18");
    assert_eq!(facts.capabilities, r#"{ "tools":{"listChanged":true} }"#);
    assert_eq!(facts.server_name, "a\\u{1b}[31m");
    assert!(facts.instructions.len() <= MAX_INSTRUCTIONS && facts.instructions.ends_with('é'));
    assert!(
        facts.announces(DefinitionKind::Tool)
            && facts.offers(DefinitionKind::Tool)
            && !facts.offers(DefinitionKind::Prompt)
    );
}

#[test]
fn a_message_that_is_not_a_response_is_rejected() {
    for bad in [
        "{}",
        r#"{"protocolVersion":1}"#,
        r#"{"protocolVersion":"x","capabilities":[]}"#,
    ] {
        assert!(ServerFacts::of_initialize(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(ServerFacts::of_discover(b"{}").is_err());
}

#[test]
fn a_modern_server_identifies_itself_in_meta() {
    let result = br#"{"supportedVersions":["2026-07-28"],"capabilities":{},
        "_meta":{"io.modelcontextprotocol/serverInfo":{"name":"s","version":"2"}}}"#;
    let (versions, facts) = ServerFacts::of_discover(result).unwrap();
    assert_eq!(versions, ["2026-07-28"]);
    assert_eq!(
        (facts.server_name.as_str(), facts.server_version.as_str()),
        ("s", "2")
    );
}

#[test]
fn null_counts_as_absent_in_the_facts_of_a_server() {
    let result = br#"{"protocolVersion":"2025-06-18","instructions":null,
        "capabilities":{"tools":{"listChanged":null},"prompts":null,"resources":null},
        "serverInfo":{"name":"s","version":null,"title":null}}"#;
    let facts = ServerFacts::of_initialize(result).unwrap();
    assert!(facts.offers(DefinitionKind::Tool) && !facts.announces(DefinitionKind::Tool));
    assert!(!facts.offers(DefinitionKind::Prompt) && !facts.offers(DefinitionKind::Resource));
    assert_eq!((&*facts.server_name, &*facts.server_version), ("s", ""));
    let result = br#"{"protocolVersion":"2025-06-18","capabilities":null,"serverInfo":null}"#;
    let facts = ServerFacts::of_initialize(result).unwrap();
    assert!(!facts.offers_any());
}
