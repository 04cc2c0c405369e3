//! Tests of telemetry.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use toolgate_mcp::deceptive_text;

use super::*;

fn written(event: &str) -> String {
    let mut lines = Vec::new();
    SingleLineWriter::onto(&mut lines, LogFormat::Text)
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

/// Texts that break or forge a line, a field or a terminal, or that end a JSON string.
const PAYLOADS: [&str; 20] = [
    "\n",
    "\r",
    "\r\n2026-01-01T00:00:00Z  INFO toolgate: forged",
    "\u{85}",
    "\u{2028}",
    "\u{2029}",
    "\u{b}\u{c}",
    "\0",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{1b}]0;title\u{7}",
    "\u{1b}[2J\u{1b}[1;1H",
    "\u{9b}2K",
    "\u{8}\u{8}\u{8}",
    "\u{7f}",
    "\u{202e}txt.exe",
    "\u{2066}a\u{2069}",
    "\u{200b}\u{feff}",
    "\u{e0041}\u{e007f}",
    "\", \"level\": \"ERROR\", \"x\": \"",
    "\\\"}\n{\"level\":\"ERROR\"}",
];

/// Lines of a log that a test reads.
#[derive(Clone, Default)]
struct WrittenLines(Arc<Mutex<Vec<u8>>>);

impl Write for WrittenLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Events with this text in each kind of field: message, display, debug, text, error, and the fields of a span.
fn log(text: &str) -> usize {
    let error = io::Error::other(text.to_owned());
    let span = tracing::info_span!("outer", shown = %text, debugged = ?text);
    let _entered = span.enter();
    tracing::info!("{text}");
    tracing::warn!(shown = %text, "a field");
    tracing::error!(debugged = ?text, "a field");
    tracing::info!(text, "a field");
    tracing::info!(error = &error as &dyn std::error::Error, "a field");
    tracing::info!(%error, shown = %text, debugged = ?vec![text], text, "{text}");
    6
}

fn lines_of(format: LogFormat, text: &str) -> (Vec<String>, usize) {
    let lines = WrittenLines::default();
    let shared = lines.clone();
    let writer = move || SingleLineWriter::onto(shared.clone(), format);
    let subscriber = Registry::default().with(log_layer(format, false, writer));
    let events = tracing::subscriber::with_default(subscriber, || log(text));
    let bytes = lines.0.lock().unwrap().clone();
    let written = String::from_utf8(bytes).unwrap();
    let mut written: Vec<String> = written.split('\n').map(str::to_owned).collect();
    assert_eq!(
        written.pop().as_deref(),
        Some(""),
        "each event ends its line"
    );
    (written, events)
}

#[test]
fn se_06_sixty_payloads_in_every_kind_of_field_are_one_line_each_in_both_formats() {
    let places = |payload: &&str| {
        [
            format!("{payload}tool"),
            format!("to{payload}ol"),
            format!("tool{payload}"),
        ]
    };
    let texts: Vec<String> = PAYLOADS.iter().flat_map(places).collect();
    assert_eq!(texts.len(), 60);
    for text in &texts {
        for format in [LogFormat::Text, LogFormat::Json] {
            let (lines, events) = lines_of(format, text);
            assert_eq!(lines.len(), events, "{text:?}: {lines:#?}");
            for line in &lines {
                let deceives = deceptive_text::contained_in(line);
                let separators = ['\u{2028}', '\u{2029}'];
                let breaks = line.contains(char::is_control) || line.contains(separators);
                assert!(!deceives && !breaks, "{line:?}");
            }
        }
        // Each JSON line is one object, with the text as it was.
        let (lines, _) = lines_of(LogFormat::Json, text);
        for (number, line) in lines.iter().enumerate() {
            let event: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_ne!(event["level"], "TRACE");
            match number {
                0 => assert_eq!(event["message"], **text),
                1 => assert_eq!(event["shown"], **text),
                3 => assert_eq!(event["text"], **text),
                4 => assert_eq!(event["error"], **text),
                _ => {}
            }
        }
    }
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
