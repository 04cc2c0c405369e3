//! Log writer that keeps every event on one line: untrusted text with line breaks or terminal escapes must not be able
//! to forge log lines.

use std::io::{self, Write};

/// Writer that escapes every control character of an event except the final line break.
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
        if text.chars().any(char::is_control) {
            let mut escaped = String::with_capacity(text.len() + 16);
            for c in text.chars() {
                if c.is_control() {
                    escaped.extend(c.escape_default());
                } else {
                    escaped.push(c);
                }
            }
            escaped.push_str(end);
            self.to.write_all(escaped.as_bytes())?;
        } else {
            self.to.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
