//! Tests that text of servers has no effect on a terminal (row MC-03 of the threat model).

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::*;

/// Captures the written bytes.
#[derive(Clone, Default)]
struct CapturedOutput(Arc<Mutex<Vec<u8>>>);

impl Write for CapturedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const BAD: &str =
    "a\u{1b}[31mred\u{1b}]0;title\u{7}\u{9b}2J\r\u{8}\u{7f}\u{202e}\u{200b}\u{e0041}z";

fn clean(text: &str) -> bool {
    !text.contains(|c| deceptive_text::is_deceptive(c) || c == '\r')
}

#[test]
fn mc_03_no_escape_sequence_reaches_a_terminal() {
    let (results, notes) = (CapturedOutput::default(), CapturedOutput::default());
    let mut out = OutputWriter {
        results: Box::new(results.clone()),
        notices: Box::new(notes.clone()),
        options: OutputOptions {
            output: OutputFormat::Table.into(),
            no_headers: false,
            quiet: false,
        },
        flags: ConnectionFlags::default(),
        draws_progress: false,
        width: None,
        is_closed: false,
    };
    out.line(BAD).unwrap();
    out.table(&["NAME"], vec![vec![BAD.to_owned()]]).unwrap();
    out.notice(BAD);
    out.error(&CliError::error(BAD));
    out.json(&json!({ BAD: BAD })).unwrap();
    out.json_line(&json!({ BAD: BAD })).unwrap();
    for kept in [results, notes] {
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(clean(&text), "{text:?}");
        assert!(
            text.contains("\\u{1b}[31mred"),
            "it can still be read: {text}"
        );
    }
}

#[test]
fn json_output_keeps_the_content_and_ordinary_text_is_unchanged() {
    let value = json!({ BAD: [BAD, "👩\u{200d}👧 é"] });
    let kept = CapturedOutput::default();
    let mut out = OutputWriter {
        results: Box::new(kept.clone()),
        notices: Box::new(io::sink()),
        options: OutputOptions {
            output: OutputFormat::Json.into(),
            no_headers: false,
            quiet: true,
        },
        flags: ConnectionFlags::default(),
        draws_progress: false,
        width: None,
        is_closed: false,
    };
    out.json(&value).unwrap();
    let text = kept.0.lock().unwrap().clone();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value);
    kept.0.lock().unwrap().clear();
    out.json_line(&value).unwrap();
    let text = kept.0.lock().unwrap().clone();
    assert_eq!(serde_json::from_slice::<Value>(&text).unwrap(), value);
    assert_eq!(text.iter().filter(|byte| **byte == b'\n').count(), 1);
    for text in ["plain\n\ttext", "👩\u{200d}👧", "日本語"] {
        assert_eq!(escape_for_terminal(text), text);
    }
}

#[test]
fn yaml_escapes_deceptive_characters_and_reads_back_as_the_same_value() {
    let value = json!({
        "a": BAD, BAD: [BAD, "plain", "escaped0e", "it's \"\\ \t\n\u{2066}: # x"],
        "long": format!("{}\u{e0041} {}", "word ".repeat(60), "word ".repeat(60)),
        "lines": "one\n  two\u{202e}\n\nthree: \n",
        "nested": {"x": {"y": [["\u{200b}"], "- \u{fe00}"]}},
        "emoji": "👩\u{200d}👧 ❤\u{fe0f}",
    });
    let text = to_yaml(&value).unwrap();
    for (c, deceives) in deceptive_text::classified(&text) {
        assert!(!deceives && c != '\r', "{c:?} in {text}");
    }
    assert!(
        text.contains("\\u202E") && text.contains("\\U000E0041"),
        "{text}"
    );
    let read: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read, value);
}

#[test]
fn yaml_escapes_control_characters() {
    let text = to_yaml(&json!({ BAD: ["\u{1b}[31m", "\u{9b}2J", BAD] })).unwrap();
    assert!(
        !text.contains(|c: char| c.is_control() && c != '\n'),
        "{text:?}"
    );
}

#[test]
fn a_table_is_as_wide_as_the_terminal_at_most_and_whole_elsewhere() {
    let shown = |width| {
        let kept = CapturedOutput::default();
        let mut out = OutputWriter {
            results: Box::new(kept.clone()),
            notices: Box::new(io::sink()),
            options: OutputOptions {
                output: OutputFormat::Table.into(),
                no_headers: false,
                quiet: true,
            },
            flags: ConnectionFlags::default(),
            draws_progress: false,
            width,
            is_closed: false,
        };
        let name = "a-name-of-forty-characters-0123456789abc".to_owned();
        let row = vec![name, "words ".repeat(40), "last".to_owned()];
        out.table(&["NAME", "DESCRIPTION", "AGE"], vec![row])
            .unwrap();
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    };
    let narrow = shown(Some(80));
    assert_eq!(narrow.lines().count(), 2, "{narrow}");
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 80),
        "{narrow}"
    );
    assert!(
        narrow.contains("0123456789abc") && narrow.contains('…'),
        "{narrow}"
    );
    let whole = shown(None);
    assert!(whole.contains(&"words ".repeat(39)), "{whole}");
}

#[test]
fn a_secret_that_is_shown_once_is_shown_beside_results_also_with_quiet() {
    let (results, notes) = (CapturedOutput::default(), CapturedOutput::default());
    let mut out = OutputWriter {
        results: Box::new(results.clone()),
        notices: Box::new(notes.clone()),
        options: OutputOptions {
            output: OutputFormat::Name.into(),
            no_headers: false,
            quiet: true,
        },
        flags: ConnectionFlags::default(),
        draws_progress: false,
        width: None,
        is_closed: false,
    };
    out.secret("organizations/acme/tokens/ci", "archestra_x");
    let text = |of: CapturedOutput| String::from_utf8(of.0.lock().unwrap().clone()).unwrap();
    let told = text(notes);
    assert!(
        told.contains("tokens/ci: the token is archestra_x;"),
        "{told}"
    );
    assert_eq!(text(results), "", "names can be piped");
}
