//! Output of the command line: results go to standard output in the requested format, everything else to standard
//! error. A closed pipe (`| head`) is not an error.

pub mod cell;
pub mod connection_flags;
pub mod credential_fields;
pub mod error;
pub mod json_path;
pub mod line_diff;
pub mod nearest_name;
pub mod probe_advice;
pub mod prompt;
mod yaml_escapes;

use std::{
    borrow::Cow,
    fmt::Display,
    io::{self, IsTerminal as _, Write},
    str::FromStr,
};

use clap::ValueEnum;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets};
use serde_json::Value;
use toolgate_mcp::deceptive_text;

use self::{connection_flags::ConnectionFlags, json_path::JsonPathTemplate};
use crate::cli::output::error::CliError;

/// Format of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// Aligned columns for people.
    #[default]
    Table,
    /// Aligned columns, including columns that are hidden by default.
    Wide,
    /// Proto JSON of the API.
    Json,
    /// YAML; objects that operators write come as documents that `apply` takes.
    Yaml,
    /// Resource names only.
    Name,
}

/// Format of results at the command line.
#[derive(Debug, Clone, Default)]
pub struct OutputChoice {
    /// Format; JSON for a template.
    format: OutputFormat,
    /// Template of `-o jsonpath`.
    template: Option<JsonPathTemplate>,
}

impl From<OutputFormat> for OutputChoice {
    fn from(format: OutputFormat) -> Self {
        Self {
            format,
            template: None,
        }
    }
}

impl FromStr for OutputChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(template) = text.strip_prefix("jsonpath=") {
            return Ok(Self {
                format: OutputFormat::Json,
                template: Some(JsonPathTemplate::parse(template)?),
            });
        }
        let format = OutputFormat::from_str(text, false);
        format.map(Self::from).map_err(|_unknown| {
            "one of: table, wide, json, yaml, name, jsonpath=TEMPLATE, such as \
             jsonpath='{.items[*].metadata.name}'"
                .to_owned()
        })
    }
}

/// Output options of the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct OutputOptions {
    /// Shape of results: table, wide (a table with more columns), json, yaml (documents that `apply` takes), name (the
    /// names only), or jsonpath=TEMPLATE with a template as kubectl has it.
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        default_value = "table",
        value_name = "FORMAT",
        value_parser = OutputChoice::from_str,
        add = crate::cli::commands::completion::by(crate::cli::commands::completion::formats),
        help_heading = "Output"
    )]
    pub output: OutputChoice,
    /// Leave out the header line of tables.
    #[arg(long, global = true, help_heading = "Output")]
    pub no_headers: bool,
    /// Write results only: no progress, no hints.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// Writes a warning to standard error, regardless of the flags.
pub fn warn(text: impl Display) {
    let text = format!("warning: {text}");
    // A closed standard error cannot be reported.
    let _closed = writeln!(io::stderr(), "{}", escape_for_terminal(&text));
}

/// Writer to the two output streams of a command.
pub struct OutputWriter {
    results: Box<dyn Write + Send>,
    notices: Box<dyn Write + Send>,
    options: OutputOptions,
    /// Flags that commands in messages are given.
    flags: ConnectionFlags,
    draws_progress: bool,
    /// Width of the terminal that results go to.
    width: Option<u16>,
    /// True once the reader of the results has closed its pipe.
    is_closed: bool,
}

impl OutputWriter {
    /// Writes to standard output and standard error of the process. Commands in messages get `flags`.
    pub fn standard(options: OutputOptions, flags: ConnectionFlags) -> Self {
        let draws_progress = io::stderr().is_terminal() && !options.quiet;
        let (results, notices) = (Box::new(io::stdout()), Box::new(io::stderr()));
        let terminal = console::Term::stdout();
        let width = terminal.size_checked().filter(|_| terminal.is_term());
        Self {
            width: width.map(|(_rows, columns)| columns),
            results,
            notices,
            options,
            flags,
            draws_progress,
            is_closed: false,
        }
    }

    /// Returns `true` once the reader of the results has closed its pipe: a command that follows something can end.
    pub fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Requested format.
    pub fn format(&self) -> OutputFormat {
        self.options.output.format
    }

    /// Returns `true` if progress may be drawn: standard error is a terminal and `--quiet` is not set.
    pub fn draws_progress(&self) -> bool {
        self.draws_progress
    }

    /// Returns the number of columns of the terminal that results go to, or `None` if they go elsewhere.
    pub fn width(&self) -> Option<usize> {
        self.width.map(usize::from)
    }

    /// Writes a line of the result.
    pub fn line(&mut self, text: impl Display) -> Result<(), CliError> {
        let written = writeln!(self.results, "{}", escape_for_terminal(&text.to_string()));
        self.check_written(written)
    }

    /// Writes the header line of a table, unless `--no-headers` is set.
    pub fn heading(&mut self, text: impl Display) -> Result<(), CliError> {
        match self.options.no_headers {
            true => Ok(()),
            false => self.line(text),
        }
    }

    /// Writes a line of information to standard error, unless `--quiet` is set.
    pub fn notice(&mut self, text: impl Display) {
        if !self.options.quiet {
            // A closed standard error cannot be reported.
            let text = text.to_string();
            let text = self.flags.add_to(&text);
            let _closed = writeln!(self.notices, "{}", escape_for_terminal(&text));
        }
    }

    /// Writes a secret that is shown only once to standard error, regardless of the flags: the result does not hold it.
    pub fn secret(&mut self, name: impl Display, secret: &str) {
        let text =
            format!("{name}: the token is {secret}; it is shown here and nowhere else: keep it");
        let _closed = writeln!(self.notices, "{}", escape_for_terminal(&text));
    }

    /// Writes an error to standard error, regardless of the flags.
    pub fn error(&mut self, fault: &CliError) {
        let text = fault.to_string();
        let text = self.flags.add_to(&text);
        let _closed = writeln!(self.notices, "{}", escape_for_terminal(&text));
    }

    /// Writes raw bytes of the result.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let written = self.results.write_all(bytes);
        let written = written.and_then(|()| self.results.flush());
        self.check_written(written)
    }

    /// Writes a value as indented JSON.
    pub fn json(&mut self, value: &Value) -> Result<(), CliError> {
        if let Some(template) = &self.options.output.template {
            let text = template.fill(value);
            let end = if text.ends_with('\n') || text.is_empty() {
                ""
            } else {
                "\n"
            };
            let text = escape_for_terminal(&text);
            let written = write!(self.results, "{text}{end}");
            return self.check_written(written);
        }
        let text = format!("{value:#}");
        let escaped = escape(&text, json_escape);
        let written = writeln!(self.results, "{escaped}");
        self.check_written(written)
    }

    /// Writes a value of a stream as JSON in one line.
    pub fn json_line(&mut self, value: &Value) -> Result<(), CliError> {
        match &self.options.output.template {
            Some(_) => self.json(value),
            None => {
                let text = value.to_string();
                let written = writeln!(self.results, "{}", escape(&text, json_escape));
                self.check_written(written)
            }
        }
    }

    /// Reports an error of writing, unless it is that the reader has closed its pipe.
    fn check_written(&mut self, written: io::Result<()>) -> Result<(), CliError> {
        match written {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.is_closed = true;
                Ok(())
            }
            Err(error) => Err(CliError::error(format!("cannot write the result: {error}"))),
        }
    }

    /// Writes a value as one YAML document.
    pub fn yaml(&mut self, value: &Value) -> Result<(), CliError> {
        let text = to_yaml(value)?;
        self.bytes(text.as_bytes())
    }

    /// Writes a table with headings. At a terminal, its lines are as wide as the terminal at most, and cells that are too
    /// long end with an ellipsis; elsewhere every cell is whole.
    pub fn table(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !self.options.no_headers {
            table.set_header(headings);
        }
        for cells in rows {
            let mut row = Row::from(cells);
            if self.width.is_some() {
                row.max_height(1);
            }
            table.add_row(row);
        }
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
            // A name that is cut off could not be used.
            if let Some(names) = table.column_mut(0) {
                names.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.to_string().lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// Escapes text for a terminal: text of servers must not contain control sequences or deceptive characters.
fn escape_for_terminal(text: &str) -> Cow<'_, str> {
    escape(text, |c| c.escape_unicode().to_string())
}

/// Returns `text` with each deceptive character and each carriage return written by `write`.
fn escape(text: &str, write: impl Fn(char) -> String) -> Cow<'_, str> {
    deceptive_text::escaped_with(text, |c| c == '\r', write)
}

/// Returns the escape of a character in JSON: one for each UTF-16 unit.
fn json_escape(c: char) -> String {
    let units = c.encode_utf16(&mut [0; 2]).to_vec();
    units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
}

/// Formats a value as YAML. Strings with deceptive characters are double-quoted, with escapes in their place, so that
/// the document reads back as the same value.
pub fn to_yaml(value: &Value) -> Result<String, CliError> {
    let format = |value: &Value| {
        serde_saphyr::to_string(value)
            .map_err(|error| CliError::error(format!("cannot write YAML: {error}")))
    };
    let mut text = format(value)?;
    if yaml_escapes::has_escapes(&text) {
        let mut placeholders = yaml_escapes::Placeholders::new(&text);
        let replaced = placeholders.replace(value);
        text = placeholders.resolve(&format(&replaced)?);
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
