//! Where the command line writes: results to standard output in the asked-for shape, everything else to standard
//! error. A reader that hangs up (`| head`) is not a fault.

use std::{
    fmt::Display,
    io::{self, IsTerminal as _, Write},
};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use super::fault::Fault;

/// Shape of results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    #[default]
    Table,
    /// With more columns.
    Wide,
    /// Proto JSON of the API.
    Json,
    /// YAML; objects that operators write come as documents that `apply` takes.
    Yaml,
    /// Resource names only.
    Name,
}

/// How to write, as the flags say it.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputOptions {
    /// Shape of results.
    #[arg(
        short = 'o',
        long = "output",
        global = true,
        value_enum,
        default_value_t,
        help_heading = "Output"
    )]
    pub format: Format,
    /// Leave out the header line of tables.
    #[arg(long, global = true, help_heading = "Output")]
    pub no_headers: bool,
    /// Write results only: no progress, no hints.
    #[arg(short, long, global = true, help_heading = "Output")]
    pub quiet: bool,
}

/// The two streams of a command.
pub struct Out {
    results: Box<dyn Write + Send>,
    notes: Box<dyn Write + Send>,
    options: OutputOptions,
    progress: bool,
}

impl Out {
    /// On this process's own streams.
    pub fn standard(options: OutputOptions) -> Self {
        let progress = io::stderr().is_terminal() && !options.quiet;
        let (results, notes) = (Box::new(io::stdout()), Box::new(io::stderr()));
        Self {
            results,
            notes,
            options,
            progress,
        }
    }

    /// The shape that was asked for.
    pub fn format(&self) -> Format {
        self.options.format
    }

    /// Whether moving progress may be drawn: somebody is looking.
    pub fn draws_progress(&self) -> bool {
        self.progress
    }

    /// A line of the result.
    pub fn line(&mut self, text: impl Display) -> Result<(), Fault> {
        accept(writeln!(self.results, "{text}"))
    }

    /// A line for people, on standard error; silent with `--quiet`.
    pub fn note(&mut self, text: impl Display) {
        if !self.options.quiet {
            // Nobody can be told that standard error is closed.
            let _closed = writeln!(self.notes, "{text}");
        }
    }

    /// A fault, on standard error whatever the flags.
    pub fn fault(&mut self, fault: &Fault) {
        let _closed = writeln!(self.notes, "{fault}");
    }

    /// Raw bytes of the result.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        accept(
            self.results
                .write_all(bytes)
                .and_then(|()| self.results.flush()),
        )
    }

    /// A value as JSON, indented.
    pub fn json(&mut self, value: &Value) -> Result<(), Fault> {
        self.line(format_args!("{value:#}"))
    }

    /// A value as one YAML document.
    pub fn yaml(&mut self, value: &Value) -> Result<(), Fault> {
        let text = to_yaml(value)?;
        self.bytes(text.as_bytes())
    }

    /// Rows under headings.
    pub fn table(&mut self, headings: &[&str], rows: Vec<Vec<String>>) -> Result<(), Fault> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        if !self.options.no_headers {
            table.set_header(headings);
        }
        table.add_rows(rows);
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        for line in table.to_string().lines() {
            self.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// A value as YAML text.
pub fn to_yaml(value: &Value) -> Result<String, Fault> {
    let mut text = serde_saphyr::to_string(value)
        .map_err(|error| Fault::error(format!("cannot write YAML: {error}")))?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn accept(written: io::Result<()>) -> Result<(), Fault> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::error(format!("cannot write the result: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
