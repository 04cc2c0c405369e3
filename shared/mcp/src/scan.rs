//! The one reader of JSON: a strict single pass that builds nothing. Long strings are crossed with `memchr`.

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

/// What kind of value was crossed.
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

/// Why scanning stopped, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: Reason,
    pub(crate) at: usize,
}

/// A place in the text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pos: usize,
    depth: u32,
    limits: Limits,
}

/// Members of one object anywhere in a frame whose names are told apart.
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
    /// At the start of `source`, whose size, encoding and first byte have been checked.
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

    /// At the array that `source` is, whose size and encoding have been checked.
    pub(crate) fn array_of(source: &'a [u8], limits: &Limits) -> Result<Self, Fault> {
        let scanner = Self::started(source, limits)?;
        match scanner.peek() {
            Some(b'[') => Ok(scanner),
            Some(_) | None => Err(scanner.fault(Reason::Syntax)),
        }
    }

    /// At the first byte that is no white space.
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

    /// At the byte `pos` of `text`.
    pub(crate) fn within(text: &'a str, pos: usize, limits: &Limits) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            pos,
            depth: 0,
            limits: *limits,
        }
    }

    /// Where it stands.
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

    /// The text of a span.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }

    /// Nothing but white space may follow.
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

    /// After a member or item: whether another one follows, up to which it then moves.
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

    /// Crosses the value that starts here.
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

    /// Crosses the object that starts here, in which no name may come twice.
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

    /// Crosses a member's name and colon, up to its value.
    fn key(&mut self) -> Result<(Span, bool), Fault> {
        let start = self.pos;
        let escaped = self.string()?;
        let span = Span::new(start, self.pos);
        self.space();
        self.take(b':')?;
        self.space();
        Ok((span, escaped))
    }

    /// Crosses the object that starts here, telling each member's name (unescaped) with the scanner at its value,
    /// which the visitor has to cross. No name may come twice, however it is escaped.
    pub(crate) fn object<F>(&mut self, mut visit: F) -> Result<Span, Fault>
    where
        F: FnMut(&mut Self, &str) -> Result<(), Fault>,
    {
        self.named(|scanner, name, _| visit(scanner, &name))
    }

    /// The same, with the name to keep and the place where it was written.
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

    /// Crosses the array that starts here, with the scanner at each item, which the visitor has to cross.
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

    /// The value of a string literal that has been crossed.
    pub(crate) fn unquote(&self, literal: Span, escaped: bool) -> Cow<'a, str> {
        let inner = Span::new(literal.start + 1, literal.end.saturating_sub(1));
        let inner = self.text(inner);
        if escaped {
            Cow::Owned(unescape(inner))
        } else {
            Cow::Borrowed(inner)
        }
    }

    /// Crosses a string; whether it holds an escape.
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

    /// Crosses the second half of a character, if that is what comes.
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

    /// The `u` and its four digits.
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
        // Some readers make infinity of it, others an error: nobody gets to differ.
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
