//! Tasks of servers, as clients know them: an id of ours that says which server has the task, what it calls it, and by
//! which tool it came to be. Sealed for one principal and gateway, so no proxy keeps a table of tasks.

use std::sync::Arc;

use toolgate_model::{Principal, Slug};

use crate::{
    Sealer,
    seal::{Binding, Purpose},
};

/// The extension.
pub const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// What a task id of ours says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskId {
    /// The server that has it.
    pub server: Slug,
    /// The tool whose call it is, by its exposed name: who may no longer call it may not follow it either.
    pub tool: Box<str>,
    /// The server's own id for it.
    pub original: Box<str>,
}

/// What seals the task that a call may become.
#[derive(Debug, Clone)]
pub struct TaskSeal {
    pub(crate) sealer: Sealer,
    pub(crate) principal: Arc<Principal>,
}

const FORMAT: u8 = 1;

impl TaskId {
    /// The text. One task has one text, as long as the keys stay; none if its server's id is too long to be carried.
    pub fn seal(&self, sealer: &Sealer, binding: Binding<'_>) -> Option<String> {
        let mut plain = Vec::with_capacity(3 + 64 + self.tool.len() + self.original.len());
        plain.push(FORMAT);
        for part in [self.server.as_str(), &self.tool] {
            plain.push(u8::try_from(part.len()).ok()?);
            plain.extend_from_slice(part.as_bytes());
        }
        plain.extend_from_slice(self.original.as_bytes());
        let text = sealer.seal_stable(Purpose::Task, binding, &plain);
        (text.len() <= Purpose::Task.limit()).then_some(text)
    }

    /// What a text says, if we sealed it for this gateway and principal.
    pub fn open(sealer: &Sealer, binding: Binding<'_>, text: &str) -> Option<Self> {
        let plain = sealer.open(Purpose::Task, binding, text)?;
        let (&[format], rest) = plain.split_first_chunk()?;
        let (server, rest) = part(rest)?;
        let (tool, original) = part(rest)?;
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

fn part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    let (part, rest) = rest.split_at_checked(usize::from(length))?;
    Some((std::str::from_utf8(part).ok()?, rest))
}

#[cfg(test)]
mod tests;
