//! JSON scanner used by all parsers of this crate: a strict single pass that builds no values. Long strings are skipped
//! with `memchr`.

use std::borrow::Cow;

use crate::{
    error::{FrameError, Reason},
    limits::Limits,
    splice::Span,
};

mod names;
mod string;

use names::Names;
pub(crate) use string::plain;
use string::unescape;

/// Type of a scanned value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    String,
    Integer,
    Float,
    True,
    False,
    Null,
}

/// Error that stopped the scanner, and its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) at: usize,
}

/// Scanner at a position in a text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: u32,
    limits: Limits,
}

/// Maximum number of members of one object for which duplicate names are detected at any depth of a frame.
pub(crate) const MEMBERS: usize = 65_536;

impl From<Fault> for FrameError {
    fn from(fault: Fault) -> Self {
        let Fault { reason, at } = fault;
        Self {
            reason,
            at,
            id: None,
        }
    }
}

impl<'a> Scanner<'a> {
    /// Creates a scanner at the root object of `source`, after checking size, encoding and first byte.
    pub(crate) fn open(source: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let scanner = Self::started(source, limits)?;
        match scanner.peek() {
            Some(b'{') => Ok(scanner),
            Some(b'[') => Err(scanner.fault(Reason::Batch)),
            Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                Err(scanner.fault(Reason::NotAnObject))
            }
            Some(_) | None => Err(scanner.fault(Reason::Syntax)),
        }
    }

    /// Creates a scanner at the root array of `source`, after checking size, encoding and first byte.
    pub(crate) fn array_of(source: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let scanner = Self::started(source, limits)?;
        match scanner.peek() {
            Some(b'[') => Ok(scanner),
            Some(_) | None => Err(scanner.fault(Reason::Syntax)),
        }
    }

    /// Creates a scanner at the first byte that is not white space.
    fn started(source: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let fault = |reason, at| Fault { reason, at };
        if source.len() > limits.bytes {
            return Err(fault(Reason::TooLarge, limits.bytes));
        }
        if source.starts_with(b"\xef\xbb\xbf") {
            return Err(fault(Reason::ByteOrderMark, 0));
        }
        let text = std::str::from_utf8(source)
            .map_err(|error| fault(Reason::NotUtf8, error.valid_up_to()))?;
        let mut scanner = Self::within(text, 0, limits);
        scanner.space();
        Ok(scanner)
    }

    /// Creates a scanner at byte `pos` of `text`.
    pub(crate) fn within(text: &'a str, pos: usize, limits: &Limits) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos,
            depth: 0,
            limits: *limits,
        }
    }

    /// Returns the current position.
    pub(crate) fn pos(&self) -> usize {
        self.pos
    }

    pub(crate) fn fault(&self, reason: Reason) -> Fault {
        let at = self.pos;
        Fault { reason, at }
    }

    pub(crate) fn fault_at(&self, reason: Reason, at: usize) -> Fault {
        Fault { reason, at }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the text of a span.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Checks that only white space follows.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.pos < self.bytes.len() {
            return Err(self.fault(Reason::Trailing));
        }
        Ok(())
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    fn take(&mut self, expected: u8) -> Result<(), Fault> {
        if self.peek() == Some(expected) {
            self.pos += 1;
            return Ok(());
        }
        Err(self.fault(Reason::Syntax))
    }

    fn enter(&mut self) -> Result<(), Fault> {
        self.pos += 1;
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.fault(Reason::TooDeep));
        }
        self.space();
        Ok(())
    }

    fn leave(&mut self) {
        self.pos += 1;
        self.depth -= 1;
    }

    /// Called after a member or element: moves to the next one and returns `true`, or returns `false` at the closing
    /// byte.
    fn more(&mut self, close: u8) -> Result<bool, Fault> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                self.space();
                Ok(true)
            }
            Some(byte) if byte == close => Ok(false),
            Some(_) | None => Err(self.fault(Reason::Syntax)),
        }
    }

    /// Skips the value at the current position.
    pub(crate) fn value(&mut self) -> Result<(Span, Shape), Fault> {
        let start = self.pos;
        let shape = match self.peek() {
            Some(b'"') => {
                self.string()?;
                Shape::String
            }
            Some(b'{') if self.limits.unique => {
                self.unique()?;
                Shape::Object
            }
            Some(b'{') => {
                self.enter()?;
                let mut another = self.peek() != Some(b'}');
                while another {
                    self.key()?;
                    self.value()?;
                    another = self.more(b'}')?;
                }
                self.leave();
                Shape::Object
            }
            Some(b'[') => {
                self.enter()?;
                let mut another = self.peek() != Some(b']');
                while another {
                    self.value()?;
                    another = self.more(b']')?;
                }
                self.leave();
                Shape::Array
            }
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true", Shape::True)?,
            Some(b'f') => self.word("false", Shape::False)?,
            Some(b'n') => self.word("null", Shape::Null)?,
            Some(_) | None => return Err(self.fault(Reason::Syntax)),
        };
        Ok((Span::new(start, self.pos), shape))
    }

    /// Skips the object at the current position and rejects duplicate names in it.
    fn unique(&mut self) -> Result<(), Fault> {
        self.enter()?;
        let mut seen = Names::new();
        let mut another = self.peek() != Some(b'}');
        while another {
            let (span, escaped) = self.key()?;
            if seen.count() >= MEMBERS {
                return Err(self.fault_at(Reason::TooManyMembers, span.start));
            }
            if !seen.add(self.unquote(span, escaped)) {
                return Err(self.fault_at(Reason::Duplicate, span.start));
            }
            self.value()?;
            another = self.more(b'}')?;
        }
        self.leave();
        Ok(())
    }

    /// Skips the name of a member and the colon, up to its value.
    fn key(&mut self) -> Result<(Span, bool), Fault> {
        let start = self.pos;
        let escaped = self.string()?;
        let span = Span::new(start, self.pos);
        self.space();
        self.take(b':')?;
        self.space();
        Ok((span, escaped))
    }

    /// Scans the object at the current position. `visit` is called with the unescaped name of each member while the
    /// scanner is at its value, and must skip that value. Duplicate names are rejected, however they are escaped.
    pub(crate) fn object<F>(&mut self, mut visit: F) -> Result<Span, Fault>
    where
        F: FnMut(&mut Self, &str) -> Result<(), Fault>,
    {
        self.named(|scanner, name, _| visit(scanner, &name))
    }

    /// Does the same as [`object`](Self::object), but passes an owned or borrowed name and the span where it was
    /// written.
    pub(crate) fn named<F>(&mut self, mut visit: F) -> Result<Span, Fault>
    where
        F: FnMut(&mut Self, Cow<'a, str>, Span) -> Result<(), Fault>,
    {
        let start = self.pos;
        self.enter()?;
        let mut seen = Names::new();
        let mut another = self.peek() != Some(b'}');
        while another {
            let (span, escaped) = self.key()?;
            let name = self.unquote(span, escaped);
            if seen.count() >= self.limits.members {
                return Err(self.fault_at(Reason::TooManyMembers, span.start));
            }
            if !seen.add(name.clone()) {
                return Err(self.fault_at(Reason::Duplicate, span.start));
            }
            visit(self, name, span)?;
            another = self.more(b'}')?;
        }
        self.leave();
        Ok(Span::new(start, self.pos))
    }

    /// Scans the array at the current position. `visit` is called at each element and must skip it.
    pub(crate) fn array<F>(&mut self, mut visit: F) -> Result<Span, Fault>
    where
        F: FnMut(&mut Self) -> Result<(), Fault>,
    {
        let start = self.pos;
        self.take(b'[')?;
        self.pos = start;
        self.enter()?;
        let mut another = self.peek() != Some(b']');
        while another {
            visit(self)?;
            another = self.more(b']')?;
        }
        self.leave();
        Ok(Span::new(start, self.pos))
    }

    /// Returns the value of a string literal that was already scanned.
    pub(crate) fn unquote(&self, literal: Span, escaped: bool) -> Cow<'a, str> {
        let inner = Span::new(literal.start + 1, literal.end.saturating_sub(1));
        let inner = self.text(inner);
        if escaped {
            Cow::Owned(unescape(inner))
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// Skips a string. Returns `true` if it contains an escape.
    pub(crate) fn string(&mut self) -> Result<bool, Fault> {
        self.take(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.pos..).unwrap_or_default();
            self.pos += plain(rest);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) | None => return Err(self.fault(Reason::Syntax)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let at = self.pos;
        self.pos += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pos += 1,
            Some(b'u') => {
                let first = self.hex()?;
                let lone = match first {
                    0xdc00..0xe000 => true,
                    0xd800..0xdc00 => !self.second_half()?,
                    _ => false,
                };
                if lone && self.limits.exact {
                    return Err(self.fault_at(Reason::LoneSurrogate, at));
                }
            }
            Some(_) | None => return Err(self.fault(Reason::Syntax)),
        }
        Ok(())
    }

    /// Skips the second half of a surrogate pair, if present.
    fn second_half(&mut self) -> Result<bool, Fault> {
        let before = self.pos;
        if self.peek() == Some(b'\\') {
            self.pos += 1;
            if self.peek() == Some(b'u') && (0xdc00..0xe000).contains(&self.hex()?) {
                return Ok(true);
            }
        }
        self.pos = before;
        Ok(false)
    }

    /// Reads the `u` and the four digits of an escape.
    fn hex(&mut self) -> Result<u32, Fault> {
        self.pos += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or(self.fault(Reason::Syntax))?;
            self.pos += 1;
        }
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let start = self.pos;
        while let Some(b'0'..=b'9') = self.peek() {
            self.pos += 1;
        }
        self.pos - start
    }

    fn number(&mut self) -> Result<Shape, Fault> {
        let start = self.pos;
        let mut shape = Shape::Integer;
        let mut scaled = false;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            return Err(self.fault(Reason::Syntax));
        }
        if self.peek() == Some(b'.') {
            shape = Shape::Float;
            self.pos += 1;
            if self.digits() == 0 {
                return Err(self.fault(Reason::Syntax));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            shape = Shape::Float;
            scaled = true;
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            if self.digits() == 0 {
                return Err(self.fault(Reason::Syntax));
            }
        }
        let span = Span::new(start, self.pos);
        if span.len() > self.limits.number {
            return Err(self.fault_at(Reason::Number, start));
        }
        // Some parsers turn an overflowing number into infinity, others report an error, so it is rejected here.
        let risky = self.limits.exact && (scaled || span.len() > 300);
        if risky && !self.text(span).parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(self.fault_at(Reason::Number, start));
        }
        Ok(shape)
    }

    fn word(&mut self, word: &str, shape: Shape) -> Result<Shape, Fault> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.fault(Reason::Syntax));
        }
        self.pos += word.len();
        Ok(shape)
    }
}

#[cfg(test)]
mod tests;
