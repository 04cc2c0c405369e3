//! Task ids in responses: the server's id is replaced by the gateway's, and the result of a task is rewritten like the
//! result of a call.

use toolgate_mcp::{
    ByteEdit, ByteSpan, ServerMessage,
    object::{self, ObjectMember},
    server_message::ResultMembers,
    splice::InvalidEdit,
    text::quote,
};

use crate::{
    client_state::{
        StateContext,
        task::{TaskId, TaskIdCipher},
    },
    plan::RequestTarget,
};

use super::{
    ResponseRelay,
    result::{is_task, scrub_meta},
};

impl ResponseRelay {
    pub(super) fn is_task_request(&self) -> bool {
        matches!(self.call.target, RequestTarget::Task(_))
    }

    /// Adds the edits for a result that is a task or holds the state of one.
    pub(super) fn task_edits<'e>(
        &self,
        answer: &ServerMessage<'e>,
        result: &ResultMembers<'_>,
        edits: &mut Vec<ByteEdit<'e>>,
    ) -> Result<(), InvalidEdit> {
        match (&self.call.target, &self.call.task_cipher) {
            (RequestTarget::Task(task), _) => {
                for (member, span) in members_with_spans(answer, result) {
                    match &*member.name {
                        "taskId" => {
                            edits.push(ByteEdit::replace(span, quote(&task.exposed).into_bytes()))
                        }
                        "result" => edits.extend(scrub_result_meta(answer, span)),
                        _ => {}
                    }
                }
            }
            (_, Some(encrypt)) if is_task(result) => {
                let is_id = |(member, _): &(ObjectMember<'_>, ByteSpan)| member.name == "taskId";
                let id = members_with_spans(answer, result).find(is_id);
                let (member, span) = id.ok_or(InvalidEdit(result.span.start))?;
                let encrypted_id = self.encrypt_task_id(encrypt, member.value);
                let encrypted_id = encrypted_id.ok_or(InvalidEdit(span.start))?;
                edits.push(ByteEdit::replace(span, quote(&encrypted_id).into_bytes()));
            }
            (_, Some(_) | None) => {}
        }
        Ok(())
    }

    /// Encrypts the server's task id `original`, a JSON string as written.
    fn encrypt_task_id(&self, encrypt: &TaskIdCipher, original: &[u8]) -> Option<String> {
        let tool = self.call.target.tool()?;
        let original: String = serde_json::from_slice(original).ok()?;
        let id = TaskId {
            server: tool.server.name.id.clone(),
            tool: tool.exposed.clone(),
            original: original.into(),
        };
        let context = StateContext {
            gateway: &self.call.gateway.name.id,
            principal: &encrypt.principal,
        };
        id.encrypt(&encrypt.cipher, context)
    }
}

/// Members of a result, and the spans of their values in the message.
fn members_with_spans<'e>(
    answer: &ServerMessage<'e>,
    result: &ResultMembers<'_>,
) -> impl Iterator<Item = (ObjectMember<'e>, ByteSpan)> {
    let start = result.span.start;
    object::members(answer.slice(result.span)).map(move |member| {
        let span = ByteSpan::new(start + member.span.start, start + member.span.end);
        (member, span)
    })
}

/// Removes hop-by-hop members from the tool's result within a task.
fn scrub_result_meta<'e>(answer: &ServerMessage<'e>, result: ByteSpan) -> Option<ByteEdit<'e>> {
    let mut members = object::members(answer.slice(result));
    let meta = members.find(|member| member.name == "_meta")?;
    let start = result.start;
    scrub_meta(
        answer,
        ByteSpan::new(start + meta.span.start, start + meta.span.end),
    )
}
