//! Task ids in responses: the server's id is replaced by the gateway's, and the result of a task is rewritten like the
//! result of a call.

use toolgate_mcp::{
    Answer, Edit, Span,
    answer::ResultPart,
    object::{self, Member},
    splice::InvalidEdit,
    text::quote,
};

use crate::{
    plan::Target,
    seal::Binding,
    task::{TaskId, TaskSeal},
};

use super::{
    Relay,
    result::{is_task, scrubbed},
};

impl Relay {
    pub(super) fn is_of_task(&self) -> bool {
        matches!(self.call.target, Target::Task(_))
    }

    /// Adds the edits for a result that is a task or holds the state of one.
    pub(super) fn tasks<'e>(
        &self,
        answer: &Answer<'e>,
        result: &ResultPart<'_>,
        edits: &mut Vec<Edit<'e>>,
    ) -> Result<(), InvalidEdit> {
        match (&self.call.target, &self.call.tasks) {
            (Target::Task(task), _) => {
                for (member, span) in placed(answer, result) {
                    match &*member.name {
                        "taskId" => {
                            edits.push(Edit::replace(span, quote(&task.exposed).into_bytes()))
                        }
                        "result" => edits.extend(of_result(answer, span)),
                        _ => {}
                    }
                }
            }
            (_, Some(seal)) if is_task(result) => {
                let is_id = |(member, _): &(Member<'_>, Span)| member.name == "taskId";
                let id = placed(answer, result).find(is_id);
                let (member, span) = id.ok_or(InvalidEdit(result.span.start))?;
                let ours = self.sealed(seal, member.value);
                let ours = ours.ok_or(InvalidEdit(span.start))?;
                edits.push(Edit::replace(span, quote(&ours).into_bytes()));
            }
            (_, Some(_) | None) => {}
        }
        Ok(())
    }

    /// Seals the server's task id `original`, a JSON string as written.
    fn sealed(&self, seal: &TaskSeal, original: &[u8]) -> Option<String> {
        let tool = self.call.target.tool()?;
        let original: String = serde_json::from_slice(original).ok()?;
        let id = TaskId {
            server: tool.server.name.id.clone(),
            tool: tool.exposed.clone(),
            original: original.into(),
        };
        let binding = Binding {
            gateway: &self.call.gateway.name.id,
            principal: &seal.principal,
        };
        id.seal(&seal.sealer, binding)
    }
}

/// Members of a result, and the spans of their values in the message.
fn placed<'e>(
    answer: &Answer<'e>,
    result: &ResultPart<'_>,
) -> impl Iterator<Item = (Member<'e>, Span)> {
    let start = result.span.start;
    object::members(answer.slice(result.span)).map(move |member| {
        let span = Span::new(start + member.span.start, start + member.span.end);
        (member, span)
    })
}

/// Removes hop-by-hop members from the tool's result within a task.
fn of_result<'e>(answer: &Answer<'e>, result: Span) -> Option<Edit<'e>> {
    let mut members = object::members(answer.slice(result));
    let meta = members.find(|member| member.name == "_meta")?;
    let start = result.start;
    scrubbed(
        answer,
        Span::new(start + meta.span.start, start + meta.span.end),
    )
}
