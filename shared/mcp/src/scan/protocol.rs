//! Scan of objects of the protocol. Values are skipped, as others are, and names are noted that differ from those of the
//! protocol by case only.

use crate::{
    protocol_members::{MemberValue, NameMatch, ProtocolObject},
    splice::ByteSpan,
};

use super::{JsonScanner, ScanError, ValueType};

impl JsonScanner<'_> {
    /// Skips the value of the member `name` of an object of this kind. Sets `found` if the name, or one in an object of the
    /// protocol below, is a case variant.
    pub(crate) fn protocol_member(
        &mut self,
        object: &ProtocolObject,
        name: &str,
        found: &mut bool,
    ) -> Result<(ByteSpan, ValueType), ScanError> {
        match object.find(name) {
            NameMatch::Member(value) => self.protocol_value(value, found),
            NameMatch::CaseVariant => {
                *found = true;
                self.value()
            }
            NameMatch::Unknown => self.value(),
        }
    }

    /// Skips the value of a member of the protocol. Sets `found` if a name in its objects is a case variant.
    pub(crate) fn protocol_value(
        &mut self,
        value: MemberValue,
        found: &mut bool,
    ) -> Result<(ByteSpan, ValueType), ScanError> {
        let start = self.pos;
        if self.depth >= self.limits.depth {
            return self.value();
        }
        let shape = match (value, self.peek()) {
            (MemberValue::Objects(kind), Some(b'{')) => {
                self.enter()?;
                let mut another = self.peek() != Some(b'}');
                while another {
                    let (key, escaped) = self.key()?;
                    let name = self.unquote(key, escaped);
                    self.protocol_member(kind, &name, found)?;
                    another = self.next_element(b'}')?;
                }
                self.exit();
                ValueType::Object
            }
            (MemberValue::Named(kind), Some(b'{')) => {
                self.enter()?;
                let mut another = self.peek() != Some(b'}');
                while another {
                    self.key()?;
                    self.protocol_value(MemberValue::Objects(kind), found)?;
                    another = self.next_element(b'}')?;
                }
                self.exit();
                ValueType::Object
            }
            (MemberValue::Objects(_), Some(b'[')) => {
                self.enter()?;
                let mut another = self.peek() != Some(b']');
                while another {
                    self.protocol_value(value, found)?;
                    another = self.next_element(b']')?;
                }
                self.exit();
                ValueType::Array
            }
            _ => return self.value(),
        };
        Ok((ByteSpan::new(start, self.pos), shape))
    }
}
