//! Tests of the built-in definitions: they are valid tool definitions, and their bounds and annotations are correct.

use serde_json::Value;
use toolgate_mcp::definition::{self, DefinitionLimits};
use toolgate_model::snapshot::OWN_TOOLS;

use super::*;
use crate::view::finder::{MOST, QUERY, USUAL};

fn defined() -> [Value; 2] {
    all().map(|tool| serde_json::from_str(tool.0).unwrap())
}

#[test]
fn they_are_definitions_as_good_as_those_of_servers() {
    for (tool, name) in all().iter().zip(OWN_TOOLS) {
        let limits = DefinitionLimits::default();
        let taken = definition::normalise(definition::Kind::Tool, tool.0.as_bytes(), &limits);
        assert_eq!(taken.unwrap().name, name);
        for era in [Era::Legacy, Era::Modern] {
            let mut out = String::new();
            tool.write(era, &mut out);
            assert_eq!((out.as_str(), out.len()), (tool.0, tool.weight()));
        }
    }
}

#[test]
fn what_they_say_of_bounds_and_effects_is_so() {
    let [search, run] = defined();
    let properties = &search["inputSchema"]["properties"];
    assert_eq!(properties["limit"]["default"], USUAL);
    assert_eq!(properties["limit"]["maximum"], MOST);
    assert_eq!(properties["query"]["maxLength"], QUERY);
    assert_eq!(search["annotations"]["readOnlyHint"], true);
    assert_eq!(run["annotations"]["readOnlyHint"], false);
    assert_eq!(run["annotations"]["destructiveHint"], true);
}
