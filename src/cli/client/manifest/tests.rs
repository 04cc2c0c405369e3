//! Tests of documents and of the locations in errors.

use serde_json::json;

use super::{manifest_files, parse};

const TWO: &str = "# the weather
apiVersion: toolgate/v1
kind: Server
metadata:
  name: weather
spec:
  url: https://weather.example/mcp
---
apiVersion: toolgate/v1
kind: Gateway
metadata: {name: tools, labels: {team: a}}
spec:
  prefix: PREFIX_MODE_NEVER
  bindings:
    - server: weather
      allTools: true
";

#[test]
fn several_documents_are_read_from_one_file() {
    let documents = parse("a.yaml", TWO).unwrap();
    let names: Vec<_> = documents
        .iter()
        .map(|d| (d.kind.name, d.id.as_str()))
        .collect();
    assert_eq!(names, [("Server", "weather"), ("Gateway", "tools")]);
    assert_eq!(documents[1].location, "a.yaml:9");
    let bindings = json!([{ "server": "weather", "allTools": true }]);
    assert_eq!(documents[1].object["spec"]["bindings"], bindings);
}

#[test]
fn documents_keep_their_own_text_only_and_know_their_lines() {
    let organization = "apiVersion: toolgate/v1\nkind: Organization\nmetadata: {name: a}\n";
    let text = format!("{organization}---\n").repeat(1_000);
    let documents = parse("a.yaml", &text).unwrap();
    assert_eq!(documents.len(), 1_000);
    assert_eq!(documents[999].location, "a.yaml:3997");
    let located = documents[999].location_of("metadata.name: taken");
    assert_eq!(located, "a.yaml:3999:12");
    let kept: usize = documents.iter().map(|document| document.text.len()).sum();
    assert!(kept <= text.len(), "{kept}");
    let wrong = format!("{text}{organization}spec: {{x: 1}}\n");
    let fault = parse("a.yaml", &wrong).unwrap_err().to_string();
    assert!(fault.contains("a.yaml:4004:"), "{fault}");
}

#[test]
fn a_folder_is_read_without_pipes_and_links_to_folders() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("deeper")).unwrap();
    std::fs::write(at("deeper/a.yaml"), TWO).unwrap();
    std::os::unix::fs::symlink(at("deeper/a.yaml"), at("link.yaml")).unwrap();
    std::os::unix::fs::symlink(folder.path(), at("deeper/loop")).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(at("pipe.yaml"))
        .status();
    assert!(pipe.unwrap().success());
    let files = manifest_files(folder.path()).unwrap();
    assert_eq!(files, [at("deeper/a.yaml"), at("link.yaml")]);
}

#[test]
fn the_examples_of_the_docs_parse() {
    let concepts = include_str!("../../../../docs/concepts.md");
    let documents = concepts.split("```yaml\n").skip(1);
    let documents: Vec<_> = documents
        .flat_map(|yaml| parse("a.yaml", yaml.split_once("```").unwrap().0).unwrap())
        .collect();
    let endpoints = &documents[0].object["spec"]["endpoints"];
    assert_eq!(endpoints[1]["url"], "https://us.weather.example/mcp");
    assert_eq!(endpoints[1]["region"], "us");
    let hosts = &documents[1].object["spec"]["hosts"];
    assert_eq!(hosts[0], "https://*.weather.example");
    let fields = &documents[2].object["spec"]["requestFields"];
    assert!(fields["query"][0]["name"].is_string(), "{fields}");
    let progressive = &documents[4].object["spec"];
    assert_eq!(progressive["listing"], "TOOL_LISTING_PROGRESSIVE");
    let binding = &documents[3].object["spec"]["bindings"][0];
    assert_eq!(binding["timeout"], "10s");
    let forecast = &binding["shapes"]["forecast"];
    assert_eq!(forecast["alias"], "weather_in_bern");
    assert_eq!(forecast["fixed"]["city"], "\"Bern\"");
    assert_eq!(forecast["hidden"], json!(["debug"]));
}

#[test]
fn an_error_names_file_line_column_and_field() {
    let cases = [
        (TWO.replace("allTools", "alTools"), "a.yaml:16:7", "alTools"),
        (
            TWO.replace("PREFIX_MODE_NEVER", "SOMETIMES"),
            "a.yaml:13:",
            "spec.prefix",
        ),
        (
            TWO.replace("PREFIX_MODE_NEVER", "PREFIX_MODE_NEVER\n  listing: SOME"),
            "a.yaml:14:",
            "spec.listing",
        ),
        (
            TWO.replace("allTools: true", "allTools: [1]"),
            "a.yaml:16:",
            "spec.bindings[0].allTools",
        ),
        (
            TWO.replace("kind: Gateway", "kind: Gatway"),
            "a.yaml:9",
            "Gatway",
        ),
        (
            TWO.replace(
                "apiVersion: toolgate/v1\nkind: S",
                "apiVersion: v9\nkind: S",
            ),
            "a.yaml:1",
            "v9",
        ),
        (TWO.replace("labels:", "lables:"), "a.yaml:11:", "lables"),
        (TWO.replace("  bindings:", " bindings:"), "a.yaml:1", ""),
    ];
    for (text, place, field) in cases {
        let fault = parse("a.yaml", &text).unwrap_err().to_string();
        assert!(
            fault.contains(place) && fault.contains(field),
            "{place} {field}: {fault}"
        );
    }
}

#[test]
fn the_output_of_get_can_be_applied() {
    let text = "apiVersion: toolgate/v1\nkind: Server\nmetadata:\n  name: a\n  resourceVersion: '7'\n\
                spec:\n  url: https://a.example\nstatus:\n  anything: 1\n";
    let documents = parse("-", text).unwrap();
    assert_eq!(documents[0].object["metadata"]["resourceVersion"], "7");
}

#[test]
fn an_invalid_enum_value_is_reported_with_the_valid_ones() {
    let fault = parse("a.yaml", &TWO.replace("PREFIX_MODE_NEVER", "SOMETIMES")).unwrap_err();
    let notes = fault.notes.join("; ");
    let words = "PREFIX_MODE_ALWAYS, PREFIX_MODE_SINGLE, PREFIX_MODE_NEVER";
    assert_eq!(notes, format!("one of: {words}"));
    let fault = parse("a.yaml", &TWO.replace("allTools: true", "allTools: 7")).unwrap_err();
    assert!(fault.notes.is_empty(), "{:?}", fault.notes);
}

#[test]
fn an_unknown_field_is_reported_with_a_suggestion() {
    let shaped = "allTools: true\n      shapes: {forecast: {aliass: x}}";
    let cases = [
        (
            TWO.replace("bindings:", "bindngs:"),
            "did you mean `bindings`?",
        ),
        (
            TWO.replace("allTools:", "allTool:"),
            "did you mean `allTools`?",
        ),
        (
            TWO.replace("allTools: true", shaped),
            "did you mean `alias`?",
        ),
        (
            TWO.replace("allTools:", "everything:"),
            "one of: server, tools, allTools,",
        ),
    ];
    for (text, told) in cases {
        let fault = parse("a.yaml", &text).unwrap_err().to_string();
        assert!(fault.contains(told), "{told}: {fault}");
    }
}

#[test]
fn duplicate_keys_and_invalid_durations_have_readable_errors() {
    let twice = TWO.replace("allTools: true", "allTools: true\n      allTools: true");
    let fault = parse("a.yaml", &twice).unwrap_err().to_string();
    assert!(fault.contains("`allTools` stands there twice"), "{fault}");
    assert!(!fault.contains('?') && !fault.contains("Policy"), "{fault}");
    for wrong in ["2m", "10", "soon"] {
        let text = TWO.replace("allTools: true", &format!("timeout: {wrong}"));
        let fault = parse("a.yaml", &text).unwrap_err();
        assert_eq!(
            fault.notes,
            ["write seconds, such as `90s` or `0.5s`"],
            "{fault}"
        );
    }
}

#[test]
fn duplicate_and_merge_keys_are_refused_with_their_line_at_every_depth() {
    let document = |metadata: &str, spec: &str| {
        format!(
            "# first\n---\napiVersion: toolgate/v1\nkind: Gateway\nmetadata:\n{metadata}spec:\n{spec}"
        )
    };
    let name = "  name: tools\n";
    for (metadata, spec, line, told) in [
        (
            "  name: tools\n  name: other\n",
            "  prefix: never\n",
            7,
            "`name` stands there twice",
        ),
        (
            name,
            "  prefix: never\n  prefix: always\n",
            9,
            "`prefix` stands there twice",
        ),
        (
            name,
            "  prefix: never\n  \"pre\\u0066ix\": always\n",
            9,
            "`prefix` stands there twice",
        ),
        (
            name,
            "  bindings:\n  - server: a\n    shapes: {t: {fixed: {x: 1, x: 2}}}\n",
            10,
            "`x` stands there twice",
        ),
        (
            "  name: tools\n  labels: &l {a: b}\n",
            "  bindings:\n  - server: a\n    shapes: {t: {fixed: {<<: *l}}}\n",
            11,
            "`<<` merges another mapping",
        ),
        (
            "  name: tools\n  <<: {organization: other}\n",
            "  prefix: never\n",
            7,
            "`<<` merges another mapping",
        ),
        (
            name,
            "  <<: {prefix: always}\n",
            8,
            "`<<` merges another mapping",
        ),
        (
            name,
            "  bindings:\n  - server: a\n    <<: {allTools: true}\n",
            10,
            "`<<` merges another mapping",
        ),
    ] {
        let text = document(metadata, spec);
        let fault = parse("a.yaml", &text).unwrap_err().to_string();
        assert!(fault.contains(told), "{text}: {fault}");
        assert!(
            fault.contains(&format!("a.yaml:{line}:")),
            "{text}: {fault}"
        );
    }
    let json = r#"{"apiVersion":"toolgate/v1","kind":"Gateway","metadata":{"name":"a","name":"b"},"spec":{}}"#;
    let fault = parse("a.json", json).unwrap_err().to_string();
    assert!(
        fault.contains("a.json:1:") && fault.contains("stands there twice"),
        "{fault}"
    );
}

#[test]
fn values_are_written_as_flags_and_tables_have_them() {
    let text = "apiVersion: toolgate/v1
kind: Gateway
metadata: {name: tools}
spec:
  prefix: never
  listing: Progressive
  rateLimits: [{per: principal, requests: 5, interval: 60s}]
  bindings:
    - server: weather
      timeout: 10s
      shapes:
        forecast:
          fixed: {region: eu, days: 3, deep: {a: [true]}, quoted: '\"x\"'}
";
    let spec = &parse("a.yaml", text).unwrap()[0].object["spec"];
    assert_eq!(spec["prefix"], "PREFIX_MODE_NEVER");
    assert_eq!(spec["listing"], "TOOL_LISTING_PROGRESSIVE");
    assert_eq!(spec["rateLimits"][0]["per"], "RATE_LIMIT_KEY_PRINCIPAL");
    let fixed = &spec["bindings"][0]["shapes"]["forecast"]["fixed"];
    let expected = json!({
        "region": "\"eu\"", "days": "3", "deep": "{\"a\":[true]}", "quoted": "\"x\"",
    });
    assert_eq!(*fixed, expected);
}

#[test]
fn unknown_fields_are_refused_at_every_depth() {
    for (spec, place) in [
        (
            "rateLimits: [{per: team, requests: 1, tool: x}]",
            "a.yaml:4:",
        ),
        (
            "bindings: [{server: a, rateLimits: [{pre: team}]}]",
            "a.yaml:4:",
        ),
        (
            "bindings: [{server: a, shapes: {t: {fix: {}}}}]",
            "a.yaml:4:",
        ),
    ] {
        let text = format!(
            "apiVersion: toolgate/v1\nkind: Gateway\nmetadata: {{name: g}}\nspec: {{{spec}}}\n"
        );
        let fault = parse("a.yaml", &text).unwrap_err().to_string();
        let told = fault.contains("unrecognized field name") && fault.contains(place);
        assert!(told, "{spec}: {fault}");
    }
}

#[test]
fn a_fault_of_the_control_plane_is_located_in_the_document() {
    let documents = parse("a.yaml", TWO).unwrap();
    for (message, location) in [
        ("spec.bindings[0].server: there is no server", "a.yaml:15:7"),
        ("spec.bindings[0].all_tools: x", "a.yaml:16:7"),
        ("spec.bindings[7].server: x", "a.yaml:14:3"),
        ("metadata.labels: x", "a.yaml:11:25"),
        ("spec.instructions: x", "a.yaml:12:1"),
        ("something else: x", "a.yaml:9"),
    ] {
        assert_eq!(documents[1].location_of(message), location, "{message}");
    }
}
