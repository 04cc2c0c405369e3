//! Log writer that keeps every event on one line: untrusted text with line breaks, terminal escapes or characters that
//! change the reading direction must not be able to forge log lines.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use toolgate_mcp::deceptive_text;

use super::LogFormat;

/// Writer that escapes every control or deceptive character of an event except the final line break. In JSON, such characters
/// are in strings only, and are escaped as `\u` with four digits.
#[derive(Debug)]
pub struct SingleLineWriter<W> {
    to: W,
    format: LogFormat,
}

impl SingleLineWriter<io::Stderr> {
    /// Writes to standard error.
    pub fn stderr(format: LogFormat) -> Self {
        Self {
            to: io::stderr(),
            format,
        }
    }
}

#[cfg(test)]
impl<W> SingleLineWriter<W> {
    /// Writes to `to`.
    pub fn onto(to: W, format: LogFormat) -> Self {
        Self { to, format }
    }
}

/// Returns `true` for control characters and for the separators that viewers show as line breaks.
fn breaks_line(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Returns the escape of a character in a JSON string.
fn json_escape(c: char) -> String {
    let units = |unit: &u16| format!("\\u{unit:04x}");
    c.encode_utf16(&mut [0; 2]).iter().map(units).collect()
}

impl<W: Write> Write for SingleLineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let (line, end) = match event.strip_suffix(b"\n") {
            Some(line) => (line, "\n"),
            None => (event, ""),
        };
        let Ok(text) = std::str::from_utf8(line) else {
            self.to.write_all(b"(not UTF-8)\n")?;
            return Ok(event.len());
        };
        let escape = |c: char| match self.format {
            LogFormat::Text => c.escape_default().to_string(),
            LogFormat::Json => json_escape(c),
        };
        match deceptive_text::escaped_with(text, breaks_line, escape) {
            Cow::Borrowed(_) => self.to.write_all(event)?,
            Cow::Owned(escaped) => self.to.write_all((escaped + end).as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
