//! Requests as lines of a table whose columns grow with their content. At a terminal, lines are at most as wide as the terminal:
//! cells are cut, and columns that have no room are left out.

use serde_json::Value;
use toolgate_mcp::versions;

use crate::cli::output::cell;

/// Space between two columns.
const GAP: usize = 2;
/// End of a cell that is cut.
const ELLIPSIS: char = '…';

/// Column of the table.
#[derive(Debug)]
struct CallColumn {
    heading: &'static str,
    /// Width without content.
    width: usize,
    /// Width to which cells are cut at a terminal.
    narrow: usize,
    /// Order in which columns are left out at a terminal, the highest first; 0 for a column that stays.
    rank: u8,
}

const fn column(heading: &'static str, width: usize, narrow: usize, rank: u8) -> CallColumn {
    CallColumn {
        heading,
        width,
        narrow,
        rank,
    }
}

/// Columns of every format.
static COLUMNS: [CallColumn; 11] = [
    column("TIME", 24, 24, 0),
    column("PROXY", 8, 6, 5),
    column("CALLER", 12, 8, 0),
    column("CLIENT", 12, 6, 6),
    column("ERA", 6, 6, 8),
    column("METHOD", 12, 10, 4),
    column("TOOL", 16, 12, 0),
    column("SERVER", 8, 6, 3),
    column("RESULT", 8, 8, 0),
    column("DURATION", 8, 8, 2),
    column("BYTES", 6, 6, 7),
];

/// Further columns of the wide format.
static WIDE_COLUMNS: [CallColumn; 5] = [
    column("GATEWAY", 8, 6, 13),
    column("VERSION", 10, 10, 12),
    column("TOKEN", 8, 6, 9),
    column("REQUEST", 7, 7, 10),
    column("NUMBER", 6, 6, 11),
];

/// Columns with their widths so far.
#[derive(Debug)]
pub(super) struct CallColumns {
    is_wide: bool,
    /// Number of columns of the terminal, if lines go to one.
    terminal: Option<usize>,
    /// Widths of the content of all columns.
    widths: Vec<usize>,
    /// True for each column that is shown.
    shown: Vec<bool>,
}

impl CallColumns {
    pub(super) fn new(is_wide: bool, terminal: Option<usize>) -> Self {
        let mut columns = Self {
            is_wide,
            terminal,
            widths: Vec::new(),
            shown: Vec::new(),
        };
        columns.widths = columns.all().map(|column| column.width).collect();
        columns.shown = vec![true; columns.widths.len()];
        columns.leave_out();
        columns
    }

    fn all(&self) -> impl Iterator<Item = &'static CallColumn> + use<> {
        let wide = if self.is_wide { WIDE_COLUMNS.len() } else { 0 };
        COLUMNS.iter().chain(WIDE_COLUMNS.iter().take(wide))
    }

    /// Leaves out the columns that have no room at the terminal.
    fn leave_out(&mut self) {
        let Some(terminal) = self.terminal else {
            return;
        };
        while line_width(self.shown_of(self.all().map(|it| it.narrow))) > terminal {
            let shown = self.all().enumerate().filter(|(at, _)| self.shown[*at]);
            let last = shown.max_by_key(|(_, column)| column.rank);
            match last.filter(|(_, column)| column.rank > 0) {
                Some((at, _)) => self.shown[at] = false,
                None => return,
            }
        }
    }

    /// Returns the items of the columns that are shown.
    fn shown_of<T>(&self, items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
        let shown = self.shown.iter().zip(items);
        shown.filter_map(|(shown, item)| shown.then_some(item))
    }

    /// Returns the headings of the columns that are left out.
    pub(super) fn left_out(&self) -> Vec<&'static str> {
        let all = self.shown.iter().zip(self.all());
        all.filter(|(shown, _)| !**shown)
            .map(|(_, column)| column.heading)
            .collect()
    }

    /// Returns the line of the headings.
    pub(super) fn heading(&mut self) -> String {
        let headings = self.all().map(|column| column.heading.to_owned());
        self.line(headings.collect())
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
        for (cell, width) in cells.iter().zip(&mut self.widths) {
            *width = (*width).max(cell.chars().count());
        }
        let mut line = String::new();
        for (cell, width) in self.shown_of(cells.iter()).zip(self.fitting_widths()) {
            let cell = cut(cell, width);
            line += &format!("{cell:<width$}{:GAP$}", "");
        }
        line.trim_end().to_owned()
    }

    /// Returns the widths of the columns that are shown. The widest ones are narrowed until a line fits the terminal.
    fn fitting_widths(&self) -> Vec<usize> {
        let mut widths: Vec<_> = self.shown_of(self.widths.iter().copied()).collect();
        let Some(terminal) = self.terminal else {
            return widths;
        };
        let narrow: Vec<_> = self.shown_of(self.all().map(|it| it.narrow)).collect();
        let mut excess = line_width(widths.iter().copied()).saturating_sub(terminal);
        while excess > 0 {
            let spare = widths.iter_mut().zip(&narrow);
            let spare = spare.filter(|(width, narrow)| **width > **narrow);
            let Some((widest, _)) = spare.max_by_key(|(width, _)| **width) else {
                break;
            };
            *widest -= 1;
            excess -= 1;
        }
        widths
    }
}

/// Returns the width of a line with columns of these widths.
fn line_width(widths: impl Iterator<Item = usize>) -> usize {
    let with_gaps = widths.map(|width| width + GAP).sum::<usize>();
    with_gaps.saturating_sub(GAP)
}

/// Cuts a cell to a width.
fn cut(cell: &str, width: usize) -> String {
    if cell.chars().count() <= width {
        return cell.to_owned();
    }
    let kept = cell.chars().take(width.saturating_sub(1));
    kept.chain([ELLIPSIS]).collect()
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
