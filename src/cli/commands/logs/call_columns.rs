//! Requests as lines of a table whose columns grow with their content.

use serde_json::Value;
use toolgate_mcp::versions;

use crate::cli::output::cell;

/// Headings, and the least width of each column.
const COLUMNS: [(&str, usize); 11] = [
    ("TIME", 24),
    ("PROXY", 8),
    ("CALLER", 12),
    ("CLIENT", 12),
    ("ERA", 6),
    ("METHOD", 12),
    ("TOOL", 16),
    ("SERVER", 8),
    ("RESULT", 8),
    ("DURATION", 8),
    ("BYTES", 6),
];

/// Further columns of the wide format.
const WIDE_COLUMNS: [(&str, usize); 5] = [
    ("GATEWAY", 8),
    ("VERSION", 10),
    ("TOKEN", 8),
    ("REQUEST", 7),
    ("NUMBER", 6),
];

/// Columns with their widths so far.
#[derive(Debug)]
pub(super) struct CallColumns {
    is_wide: bool,
    widths: Vec<usize>,
}

impl CallColumns {
    pub(super) fn new(is_wide: bool) -> Self {
        let wide = WIDE_COLUMNS.iter().filter(|_| is_wide);
        let widths = COLUMNS.iter().chain(wide).map(|(_, width)| *width);
        Self {
            is_wide,
            widths: widths.collect(),
        }
    }

    /// Returns the line of the headings.
    pub(super) fn heading(&mut self) -> String {
        let wide = WIDE_COLUMNS.iter().filter(|_| self.is_wide);
        let headings = COLUMNS.iter().chain(wide);
        let headings = headings.map(|(heading, _)| (*heading).to_owned()).collect();
        self.line(headings)
    }

    /// Returns the line of a request.
    pub(super) fn row(&mut self, call: &Value) -> String {
        let text = |pointer| cell::text(call, pointer);
        let mut cells = vec![
            text("/time"),
            text("/proxy"),
            text("/principal"),
            text("/client"),
            era(call).to_owned(),
            text("/method"),
            text("/tool"),
            text("/server"),
            result(call),
            duration(call),
            number(call, "responseBytes"),
        ];
        if self.is_wide {
            cells.extend([
                cell::id(call, "/gateway"),
                text("/protocolVersion"),
                text("/token"),
                number(call, "requestBytes"),
                number(call, "sequence"),
            ]);
        }
        self.line(cells)
    }

    fn line(&mut self, cells: Vec<String>) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            *width = (*width).max(cell.chars().count());
            line += &format!("{cell:<width$}  ", width = *width);
        }
        line.trim_end().to_owned()
    }
}

/// Returns the era of the protocol version.
fn era(call: &Value) -> &'static str {
    match call["protocolVersion"].as_str() {
        None | Some("") => "-",
        Some(versions::MODERN) => "modern",
        Some(_) => "legacy",
    }
}

/// Returns the result in words, with the reason if there is one.
fn result(call: &Value) -> String {
    let result = call["result"].as_str().unwrap_or_default();
    let words = result.strip_prefix("CALL_RESULT_").unwrap_or(result);
    let words = words.to_ascii_lowercase().replace('_', " ");
    match call["reason"].as_str() {
        None | Some("") => words,
        Some(reason) => format!("{words}: {reason}"),
    }
}

/// Returns a number, which proto JSON writes as a string and leaves out if it is 0.
fn number(call: &Value, field: &str) -> String {
    call[field].as_str().unwrap_or("0").to_owned()
}

/// Returns the duration with three significant digits or less.
fn duration(call: &Value) -> String {
    let micros: u64 = number(call, "durationUs").parse().unwrap_or_default();
    match micros {
        0..1_000 => format!("{micros}us"),
        1_000..10_000 => format!("{}.{:02}ms", micros / 1_000, micros % 1_000 / 10),
        10_000..1_000_000 => format!("{}ms", micros / 1_000),
        1_000_000..60_000_000 => {
            format!("{}.{:02}s", micros / 1_000_000, micros % 1_000_000 / 10_000)
        }
        _ => cell::format_duration(micros / 1_000_000),
    }
}
