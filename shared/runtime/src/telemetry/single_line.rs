//! Log writer that keeps every event on one line: untrusted text with line breaks, terminal escapes or characters that
//! change the reading direction must not be able to forge log lines.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use toolgate_mcp::deceptive_text;

/// Writer that escapes every control or deceptive character of an event except the final line break.
#[derive(Debug)]
pub struct SingleLineWriter<W> {
    to: W,
}

impl SingleLineWriter<io::Stderr> {
    /// Writes to standard error.
    pub fn stderr() -> Self {
        Self { to: io::stderr() }
    }
}

#[cfg(test)]
impl<W> SingleLineWriter<W> {
    /// Writes to `to`.
    pub fn onto(to: W) -> Self {
        Self { to }
    }
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
        let escape = |c: char| c.escape_default().to_string();
        match deceptive_text::escaped_with(text, char::is_control, escape) {
            Cow::Borrowed(_) => self.to.write_all(event)?,
            Cow::Owned(escaped) => self.to.write_all((escaped + end).as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
