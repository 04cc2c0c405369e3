//! Skipping of values without recursion, so that the depth of their nesting is not limited.

use super::{JsonScanner, ScanError, ValueType};

/// Objects and arrays that are open, one bit each: 1 is an object.
#[derive(Default)]
struct OpenContainers {
    bits: Vec<u64>,
    len: usize,
}

impl OpenContainers {
    fn push(&mut self, is_object: bool) {
        let (word, bit) = (self.len / 64, self.len % 64);
        if word == self.bits.len() {
            self.bits.push(0);
        }
        if let Some(bits) = self.bits.get_mut(word) {
            *bits = (*bits & !(1 << bit)) | (u64::from(is_object) << bit);
        }
        self.len += 1;
    }

    fn pop(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// Returns `true` if the innermost container is an object, and `None` if none is open.
    fn innermost(&self) -> Option<bool> {
        let last = self.len.checked_sub(1)?;
        let bits = self.bits.get(last / 64)?;
        Some(bits >> (last % 64) & 1 == 1)
    }
}

impl JsonScanner<'_> {
    /// Skips the value at the current position, however deep it is nested. Duplicate names in it are not detected.
    pub(super) fn skip_nested(&mut self) -> Result<ValueType, ScanError> {
        let outermost = match self.peek() {
            Some(b'{') => ValueType::Object,
            Some(_) | None => ValueType::Array,
        };
        let mut open = OpenContainers::default();
        loop {
            match self.peek() {
                Some(byte @ (b'{' | b'[')) => {
                    self.pos += 1;
                    self.skip_whitespace();
                    let is_object = byte == b'{';
                    open.push(is_object);
                    if self.peek() != Some(closing_byte(is_object)) {
                        if is_object {
                            self.key()?;
                        }
                        continue;
                    }
                    self.pos += 1;
                    open.pop();
                }
                Some(_) | None => {
                    self.scalar()?;
                }
            }
            // A value has ended, and each container whose last value it is ends with it.
            loop {
                let Some(is_object) = open.innermost() else {
                    return Ok(outermost);
                };
                if self.next_element(closing_byte(is_object))? {
                    if is_object {
                        self.key()?;
                    }
                    break;
                }
                self.pos += 1;
                open.pop();
            }
        }
    }
}

fn closing_byte(is_object: bool) -> u8 {
    if is_object { b'}' } else { b']' }
}
