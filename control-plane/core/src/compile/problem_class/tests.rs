//! Tests of the classification of problems.

use toolgate_model::ObjectName;

use super::*;
use crate::compile::{ExposedKind, NameCollision};

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

#[test]
fn a_problem_that_leaves_out_a_part_is_a_warning_and_one_that_keeps_a_server_away_is_an_error() {
    let cut = ProblemKind::DefinitionsOmitted {
        server: slug("many"),
        text: "10,000 of 12,000 tools".to_owned(),
    };
    assert_eq!(cut.severity(), ProblemSeverity::Warning);
    assert_eq!(cut.server(), Some(&slug("many")));
    let unprobed = ProblemKind::NotProbed(slug("git"));
    assert_eq!(unprobed.severity(), ProblemSeverity::Error);
    assert_eq!(
        (unprobed.reason(), unprobed.original_name()),
        ("NOT_PROBED", None)
    );
}

#[test]
fn a_problem_names_the_server_and_the_tool_that_it_is_about() {
    let absent = ProblemKind::NotOffered {
        server: slug("git"),
        what: ExposedKind::Tool,
        name: "lgo".to_owned(),
    };
    let named = (absent.reason(), absent.server(), absent.original_name());
    assert_eq!(named, ("NOT_OFFERED", Some(&slug("git")), Some("lgo")));
    let collision = ProblemKind::Collision(Box::new(NameCollision {
        what: ExposedKind::Tool,
        exposed: "read".to_owned(),
        server: slug("later"),
        name: "read".to_owned(),
        other: slug("earlier"),
        other_name: "read".to_owned(),
    }));
    assert_eq!(collision.server(), Some(&slug("later")), "the hidden one");
    let name = ObjectName::new(slug("acme"), slug("gone"));
    assert_eq!(ProblemKind::NoServer(name).server(), Some(&slug("gone")));
}
