//! Tests of telemetry.

use std::io::Write as _;

use super::*;

fn written(event: &str) -> String {
    let mut lines = Vec::new();
    SingleLineWriter::onto(&mut lines)
        .write_all(event.as_bytes())
        .unwrap();
    String::from_utf8(lines).unwrap()
}

#[test]
fn an_event_is_one_line_for_any_content() {
    let event = "tool \u{1b}[31mred\r\n2026 INFO forged\u{85}\n";
    assert_eq!(
        written(event),
        "tool \\u{1b}[31mred\\r\\n2026 INFO forged\\u{85}\n"
    );
    assert_eq!(written("ordinary — text\n"), "ordinary — text\n");
}

#[test]
fn characters_that_deceive_a_reader_are_escaped_in_events() {
    assert_eq!(
        written("tool \u{202e}x \u{200b}\u{e0041} ok\n"),
        "tool \\u{202e}x \\u{200b}\\u{e0041} ok\n"
    );
    assert_eq!(written("👩\u{200d}👧\n"), "👩\u{200d}👧\n");
}

#[test]
fn an_invalid_filter_is_rejected_with_an_explanation() {
    let options = TelemetryOptions {
        filter: "a=b=c".to_owned(),
        ..TelemetryOptions::default()
    };
    let refused = init(&options).unwrap_err().to_string();
    assert!(
        refused.contains("a=b=c") && refused.contains("info"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_unreachable_collector_has_no_effect() {
    let endpoint = Some("http://127.0.0.1:9".to_owned());
    let options = TelemetryOptions {
        otlp_endpoint: endpoint,
        ..TelemetryOptions::default()
    };
    let (metrics, traces) = instruments(&options).unwrap();
    metrics.refusals("rate").increment();
    assert!(traces.is_some());
    assert!(metrics.render().contains("toolgate_refusals_total"));
}
