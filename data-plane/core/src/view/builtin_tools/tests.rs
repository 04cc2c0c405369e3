//! Tests of the built-in definitions: they are valid tool definitions, and their bounds and annotations are correct.

use serde_json::Value;
use toolgate_mcp::definition::{self, DefinitionLimits};
use toolgate_model::snapshot::RESERVED_TOOL_NAMES;

use super::*;
use crate::view::tool_index::{DEFAULT_LIMIT, MAX_LIMIT, MAX_QUERY_CHARS};

fn defined() -> [Value; 2] {
    all().map(|tool| serde_json::from_str(tool.0).unwrap())
}

#[test]
fn built_in_tools_have_valid_definitions() {
    for (tool, name) in all().iter().zip(RESERVED_TOOL_NAMES) {
        let limits = DefinitionLimits::default();
        let taken = definition::parse_definition(
            definition::DefinitionKind::Tool,
            tool.0.as_bytes(),
            &limits,
        );
        assert_eq!(taken.unwrap().name, name);
        for era in [Era::Legacy, Era::Modern] {
            let mut out = String::new();
            tool.write(era, &mut out);
            assert_eq!((out.as_str(), out.len()), (tool.0, tool.weight()));
        }
    }
}

#[test]
fn built_in_tool_schemas_match_the_actual_bounds_and_effects() {
    let [search, run] = defined();
    let properties = &search["inputSchema"]["properties"];
    assert_eq!(properties["limit"]["default"], DEFAULT_LIMIT);
    assert_eq!(properties["limit"]["maximum"], MAX_LIMIT);
    assert_eq!(properties["query"]["maxLength"], MAX_QUERY_CHARS);
    assert_eq!(search["annotations"]["readOnlyHint"], true);
    assert_eq!(run["annotations"]["readOnlyHint"], false);
    assert_eq!(run["annotations"]["destructiveHint"], true);
}
