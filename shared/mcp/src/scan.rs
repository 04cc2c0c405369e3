//! JSON scanner used by all parsers of this crate: a strict single pass that builds no values. Long strings are skipped
//! with `memchr`.

use std::borrow::Cow;

use crate::{
    error::{FrameError, FrameErrorKind},
    limits::FrameLimits,
    splice::ByteSpan,
};

mod deep;
mod names;
mod protocol;
pub(crate) mod string;

use names::NameSet;
use string::{plain_prefix_len, unescape};

/// Type of a scanned value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValueType {
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
pub(crate) struct ScanError {
    pub(crate) reason: FrameErrorKind,
    pub(crate) at: usize,
}

/// Scanner at a position in a text.
pub(crate) struct JsonScanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: u32,
    limits: FrameLimits,
}

/// Maximum number of members of one object for which duplicate names are detected at any depth of a frame.
pub(crate) const MAX_UNIQUE_NAMES: usize = 65_536;

impl From<ScanError> for FrameError {
    fn from(fault: ScanError) -> Self {
        let ScanError { reason, at } = fault;
        Self {
            reason,
            at,
            id: None,
        }
    }
}

impl<'a> JsonScanner<'a> {
    /// Creates a scanner at the root object of `source`, after checking size, encoding and first byte.
    pub(crate) fn open(source: &'a [u8], limits: &FrameLimits) -> Result<Self, ScanError> {
        let scanner = Self::start(source, limits)?;
        match scanner.peek() {
            Some(b'{') => Ok(scanner),
            Some(b'[') => Err(scanner.error(FrameErrorKind::Batch)),
            Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                Err(scanner.error(FrameErrorKind::NotAnObject))
            }
            Some(_) | None => Err(scanner.error(FrameErrorKind::Syntax)),
        }
    }

    /// Creates a scanner at the root array of `source`, after checking size, encoding and first byte.
    pub(crate) fn array_of(source: &'a [u8], limits: &FrameLimits) -> Result<Self, ScanError> {
        let scanner = Self::start(source, limits)?;
        match scanner.peek() {
            Some(b'[') => Ok(scanner),
            Some(_) | None => Err(scanner.error(FrameErrorKind::Syntax)),
        }
    }

    /// Creates a scanner at the first byte that is not white space.
    fn start(source: &'a [u8], limits: &FrameLimits) -> Result<Self, ScanError> {
        let fault = |reason, at| ScanError { reason, at };
        if source.len() > limits.bytes {
            return Err(fault(FrameErrorKind::TooLarge, limits.bytes));
        }
        if source.starts_with(b"\xef\xbb\xbf") {
            return Err(fault(FrameErrorKind::ByteOrderMark, 0));
        }
        let text = std::str::from_utf8(source)
            .map_err(|error| fault(FrameErrorKind::NotUtf8, error.valid_up_to()))?;
        let mut scanner = Self::within(text, 0, limits);
        scanner.skip_whitespace();
        Ok(scanner)
    }

    /// Creates a scanner at byte `pos` of `text`.
    pub(crate) fn within(text: &'a str, pos: usize, limits: &FrameLimits) -> Self {
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

    pub(crate) fn error(&self, reason: FrameErrorKind) -> ScanError {
        let at = self.pos;
        ScanError { reason, at }
    }

    pub(crate) fn error_at(&self, reason: FrameErrorKind, at: usize) -> ScanError {
        ScanError { reason, at }
    }

    pub(crate) fn limits(&self) -> &FrameLimits {
        &self.limits
    }

    /// Returns the text of a span.
    pub(crate) fn text(&self, span: ByteSpan) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Checks that only white space follows.
    pub(crate) fn end(&mut self) -> Result<(), ScanError> {
        self.skip_whitespace();
        if self.pos < self.bytes.len() {
            return Err(self.error(FrameErrorKind::Trailing));
        }
        Ok(())
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.pos += 1;
        }
    }

    fn expect_byte(&mut self, expected: u8) -> Result<(), ScanError> {
        if self.peek() == Some(expected) {
            self.pos += 1;
            return Ok(());
        }
        Err(self.error(FrameErrorKind::Syntax))
    }

    fn enter(&mut self) -> Result<(), ScanError> {
        self.pos += 1;
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.error(FrameErrorKind::TooDeep));
        }
        self.skip_whitespace();
        Ok(())
    }

    fn exit(&mut self) {
        self.pos += 1;
        self.depth -= 1;
    }

    /// Called after a member or element: moves to the next one and returns `true`, or returns `false` at the closing
    /// byte.
    fn next_element(&mut self, close: u8) -> Result<bool, ScanError> {
        self.skip_whitespace();
        match self.peek() {
            Some(b',') => {
                self.pos += 1;
                self.skip_whitespace();
                Ok(true)
            }
            Some(byte) if byte == close => Ok(false),
            Some(_) | None => Err(self.error(FrameErrorKind::Syntax)),
        }
    }

    /// Skips the value at the current position.
    pub(crate) fn value(&mut self) -> Result<(ByteSpan, ValueType), ScanError> {
        let start = self.pos;
        let shape = match self.peek() {
            Some(b'{' | b'[') if self.depth >= self.limits.depth && self.limits.skip_deep => {
                self.skip_nested()?
            }
            Some(b'{') if self.limits.unique_names => {
                self.unique_object()?;
                ValueType::Object
            }
            Some(b'{') => {
                self.enter()?;
                let mut another = self.peek() != Some(b'}');
                while another {
                    self.key()?;
                    self.value()?;
                    another = self.next_element(b'}')?;
                }
                self.exit();
                ValueType::Object
            }
            Some(b'[') => {
                self.enter()?;
                let mut another = self.peek() != Some(b']');
                while another {
                    self.value()?;
                    another = self.next_element(b']')?;
                }
                self.exit();
                ValueType::Array
            }
            Some(_) | None => self.scalar()?,
        };
        Ok((ByteSpan::new(start, self.pos), shape))
    }

    /// Skips the string, number or literal at the current position.
    fn scalar(&mut self) -> Result<ValueType, ScanError> {
        match self.peek() {
            Some(b'"') => {
                self.string()?;
                Ok(ValueType::String)
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", ValueType::True),
            Some(b'f') => self.literal("false", ValueType::False),
            Some(b'n') => self.literal("null", ValueType::Null),
            Some(_) | None => Err(self.error(FrameErrorKind::Syntax)),
        }
    }

    /// Skips the object at the current position and rejects duplicate names in it.
    fn unique_object(&mut self) -> Result<(), ScanError> {
        self.enter()?;
        let mut seen = NameSet::new();
        let mut another = self.peek() != Some(b'}');
        while another {
            let (span, escaped) = self.key()?;
            if seen.count() >= MAX_UNIQUE_NAMES {
                return Err(self.error_at(FrameErrorKind::TooManyMembers, span.start));
            }
            if !seen.add(self.unquote(span, escaped)) {
                return Err(self.error_at(FrameErrorKind::Duplicate, span.start));
            }
            self.value()?;
            another = self.next_element(b'}')?;
        }
        self.exit();
        Ok(())
    }

    /// Skips the name of a member and the colon, up to its value.
    fn key(&mut self) -> Result<(ByteSpan, bool), ScanError> {
        let start = self.pos;
        let escaped = self.string()?;
        let span = ByteSpan::new(start, self.pos);
        self.skip_whitespace();
        self.expect_byte(b':')?;
        self.skip_whitespace();
        Ok((span, escaped))
    }

    /// Scans the object at the current position. `visit` is called with the unescaped name of each member while the
    /// scanner is at its value, and must skip that value. Duplicate names are rejected, however they are escaped.
    pub(crate) fn object<F>(&mut self, mut visit: F) -> Result<ByteSpan, ScanError>
    where
        F: FnMut(&mut Self, &str) -> Result<(), ScanError>,
    {
        self.object_members(|scanner, name, _| visit(scanner, &name))
    }

    /// Does the same as [`object`](Self::object), but passes an owned or borrowed name and the span where it was
    /// written.
    pub(crate) fn object_members<F>(&mut self, mut visit: F) -> Result<ByteSpan, ScanError>
    where
        F: FnMut(&mut Self, Cow<'a, str>, ByteSpan) -> Result<(), ScanError>,
    {
        let start = self.pos;
        self.enter()?;
        let mut seen = NameSet::new();
        let mut another = self.peek() != Some(b'}');
        while another {
            let (span, escaped) = self.key()?;
            let name = self.unquote(span, escaped);
            if seen.count() >= self.limits.members {
                return Err(self.error_at(FrameErrorKind::TooManyMembers, span.start));
            }
            if !seen.add(name.clone()) {
                return Err(self.error_at(FrameErrorKind::Duplicate, span.start));
            }
            visit(self, name, span)?;
            another = self.next_element(b'}')?;
        }
        self.exit();
        Ok(ByteSpan::new(start, self.pos))
    }

    /// Scans the array at the current position. `visit` is called at each element and must skip it.
    pub(crate) fn array<F>(&mut self, mut visit: F) -> Result<ByteSpan, ScanError>
    where
        F: FnMut(&mut Self) -> Result<(), ScanError>,
    {
        let start = self.pos;
        self.expect_byte(b'[')?;
        self.pos = start;
        self.enter()?;
        let mut another = self.peek() != Some(b']');
        while another {
            visit(self)?;
            another = self.next_element(b']')?;
        }
        self.exit();
        Ok(ByteSpan::new(start, self.pos))
    }

    /// Returns the value of a string literal that was already scanned.
    pub(crate) fn unquote(&self, literal: ByteSpan, escaped: bool) -> Cow<'a, str> {
        let inner = ByteSpan::new(literal.start + 1, literal.end.saturating_sub(1));
        let inner = self.text(inner);
        if escaped {
            Cow::Owned(unescape(inner))
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// Skips a string. Returns `true` if it contains an escape.
    pub(crate) fn string(&mut self) -> Result<bool, ScanError> {
        self.expect_byte(b'"')?;
        let mut escaped = false;
        loop {
            let rest = self.bytes.get(self.pos..).unwrap_or_default();
            self.pos += plain_prefix_len(rest);
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) | None => return Err(self.error(FrameErrorKind::Syntax)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        let at = self.pos;
        self.pos += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pos += 1,
            Some(b'u') => {
                let first = self.hex()?;
                let lone = match first {
                    0xdc00..0xe000 => true,
                    0xd800..0xdc00 => !self.low_surrogate()?,
                    _ => false,
                };
                if lone && self.limits.strict_values {
                    return Err(self.error_at(FrameErrorKind::LoneSurrogate, at));
                }
            }
            Some(_) | None => return Err(self.error(FrameErrorKind::Syntax)),
        }
        Ok(())
    }

    /// Skips the second half of a surrogate pair, if present.
    fn low_surrogate(&mut self) -> Result<bool, ScanError> {
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
    fn hex(&mut self) -> Result<u32, ScanError> {
        self.pos += 1;
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or(self.error(FrameErrorKind::Syntax))?;
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

    fn number(&mut self) -> Result<ValueType, ScanError> {
        let start = self.pos;
        let mut shape = ValueType::Integer;
        let mut scaled = false;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let digits = self.digits();
        if digits == 0 || (leading_zero && digits > 1) {
            return Err(self.error(FrameErrorKind::Syntax));
        }
        if self.peek() == Some(b'.') {
            shape = ValueType::Float;
            self.pos += 1;
            if self.digits() == 0 {
                return Err(self.error(FrameErrorKind::Syntax));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            shape = ValueType::Float;
            scaled = true;
            self.pos += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.pos += 1;
            }
            if self.digits() == 0 {
                return Err(self.error(FrameErrorKind::Syntax));
            }
        }
        let span = ByteSpan::new(start, self.pos);
        if span.len() > self.limits.number {
            return Err(self.error_at(FrameErrorKind::Number, start));
        }
        // Some parsers turn an overflowing number into infinity, others report an error, so it is rejected here.
        let risky = self.limits.strict_values && (scaled || span.len() > 300);
        if risky && !self.text(span).parse::<f64>().is_ok_and(f64::is_finite) {
            return Err(self.error_at(FrameErrorKind::Number, start));
        }
        Ok(shape)
    }

    fn literal(&mut self, word: &str, shape: ValueType) -> Result<ValueType, ScanError> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(self.error(FrameErrorKind::Syntax));
        }
        self.pos += word.len();
        Ok(shape)
    }
}

#[cfg(test)]
mod tests;
