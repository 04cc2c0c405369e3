//! Ids of tasks as clients see them. An id names the server, the server's own id, and the tool whose call became the
//! task. It is encrypted for one principal and gateway, so that no proxy needs a table of tasks.

use std::sync::Arc;

use toolgate_model::{Principal, Slug};

use crate::{
    ClientStateCipher,
    client_state::{StateContext, StatePurpose},
};

/// Name of the tasks extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// Contents of an encrypted task id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskId {
    /// Server that has the task.
    pub server: Slug,
    /// Exposed name of the tool whose call became the task. Access to the task requires access to the tool.
    pub tool: Box<str>,
    /// The server's own task id.
    pub original: Box<str>,
}

/// Cipher of task ids for one principal.
#[derive(Debug, Clone)]
pub struct TaskIdCipher {
    pub(crate) cipher: ClientStateCipher,
    pub(crate) principal: Arc<Principal>,
}

const FORMAT: u8 = 1;

impl TaskId {
    /// Encrypts the id as text. The text is deterministic as long as the keys stay. Returns `None` if the server's id is
    /// too long.
    pub fn encrypt(&self, cipher: &ClientStateCipher, context: StateContext<'_>) -> Option<String> {
        let mut plain = Vec::with_capacity(3 + 64 + self.tool.len() + self.original.len());
        plain.push(FORMAT);
        for part in [self.server.as_str(), &self.tool] {
            plain.push(u8::try_from(part.len()).ok()?);
            plain.extend_from_slice(part.as_bytes());
        }
        plain.extend_from_slice(self.original.as_bytes());
        let text = cipher.encrypt_stable(StatePurpose::Task, context, &plain);
        (text.len() <= StatePurpose::Task.limit()).then_some(text)
    }

    /// Decrypts a text that was encrypted for this gateway and principal.
    pub fn decrypt(
        cipher: &ClientStateCipher,
        context: StateContext<'_>,
        text: &str,
    ) -> Option<Self> {
        let plain = cipher.decrypt(StatePurpose::Task, context, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (server, rest) = read_part(rest)?;
        let (tool, original) = read_part(rest)?;
        if format != FORMAT {
            return None;
        }
        Some(Self {
            server: server.parse().ok()?,
            tool: tool.into(),
            original: std::str::from_utf8(original).ok()?.into(),
        })
    }
}

fn read_part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at_checked(usize::from(length))?;
    Some((std::str::from_utf8(part).ok()?, rest))
}

#[cfg(test)]
mod tests;
