//! Names of the members that the schemas of the protocol give to each object that servers send: one table per kind of object.
//! Values that the protocol leaves to servers, such as structured content, the data of logs and `_meta`, have no table.

use crate::{case_folding, method};

/// Kind of object whose members are named by the protocol. Servers may add others.
#[derive(Debug)]
pub struct ProtocolObject {
    members: &'static [ProtocolMember],
}

/// Member of a [`ProtocolObject`].
#[derive(Debug)]
struct ProtocolMember {
    name: &'static str,
    value: MemberValue,
}

/// Value of a member, as far as names in it are those of the protocol.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MemberValue {
    /// A value without objects of the protocol.
    Any,
    /// An object of this kind, or a list of such objects.
    Objects(&'static ProtocolObject),
    /// An object whose members are named by its author and hold objects of this kind.
    Named(&'static ProtocolObject),
}

/// A name, compared with those of the members of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NameMatch {
    /// The name of a member with this value.
    Member(MemberValue),
    /// A name that differs from that of a member by case only.
    CaseVariant,
    /// A name that the protocol does not define for this object.
    Unknown,
}

impl ProtocolObject {
    /// Compares a name with those of the members.
    pub(crate) fn find(&self, name: &str) -> NameMatch {
        let mut members = self.members.iter();
        if let Some(member) = members.find(|member| member.name == name) {
            return NameMatch::Member(member.value);
        }
        match case_folding::is_case_variant(name, self.names()) {
            true => NameMatch::CaseVariant,
            false => NameMatch::Unknown,
        }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|member| member.name)
    }
}

/// Returns the kind of the parameters of a request or notification that is passed on to clients.
pub fn of_params(method: &str) -> Option<&'static ProtocolObject> {
    match method {
        method::PROGRESS => Some(&PROGRESS),
        method::MESSAGE => Some(&LOG),
        method::ELICITATION_COMPLETE => Some(&ELICITATION_COMPLETE),
        method::ELICITATION => Some(&ELICITATION),
        method::SAMPLING => Some(&SAMPLING),
        method::ROOTS => Some(&ROOTS),
        _ => None,
    }
}

const fn any(name: &'static str) -> ProtocolMember {
    let value = MemberValue::Any;
    ProtocolMember { name, value }
}

const fn objects(name: &'static str, kind: &'static ProtocolObject) -> ProtocolMember {
    let value = MemberValue::Objects(kind);
    ProtocolMember { name, value }
}

const fn named(name: &'static str, kind: &'static ProtocolObject) -> ProtocolMember {
    let value = MemberValue::Named(kind);
    ProtocolMember { name, value }
}

/// `result` of a response to any method.
pub static RESULT: ProtocolObject = ProtocolObject {
    members: &[
        any("_meta"),
        any("resultType"),
        // Tools, prompts, resources and completions.
        objects("content", &CONTENT),
        any("structuredContent"),
        any("isError"),
        any("description"),
        objects("messages", &MESSAGE),
        objects("contents", &RESOURCE_CONTENTS),
        objects("completion", &COMPLETION),
        any("ttlMs"),
        any("cacheScope"),
        any("nextCursor"),
        // Input of the client. Its requests are read with the parameters of their methods.
        any("inputRequests"),
        any("requestState"),
        // Tasks.
        any("taskId"),
        any("status"),
        any("statusMessage"),
        any("createdAt"),
        any("lastUpdatedAt"),
        any("ttl"),
        any("pollInterval"),
        any("pollIntervalMs"),
        objects("task", &RESULT),
        objects("result", &RESULT),
        objects("error", &ERROR),
    ],
};

/// `error` of a response.
pub static ERROR: ProtocolObject = ProtocolObject {
    members: &[any("code"), any("message"), any("data")],
};

/// Member of `inputRequests`.
pub static INPUT_REQUEST: ProtocolObject = ProtocolObject {
    members: &[any("method"), any("params")],
};

/// Content block, of any type.
static CONTENT: ProtocolObject = ProtocolObject {
    members: &[
        any("type"),
        any("text"),
        any("data"),
        any("mimeType"),
        any("_meta"),
        objects("annotations", &ANNOTATIONS),
        objects("resource", &RESOURCE_CONTENTS),
        // Links to resources.
        any("uri"),
        any("name"),
        any("title"),
        any("description"),
        any("size"),
        objects("icons", &ICON),
        // Uses of tools.
        any("id"),
        any("input"),
        any("toolUseId"),
        objects("content", &CONTENT),
        any("structuredContent"),
        any("isError"),
    ],
};

static RESOURCE_CONTENTS: ProtocolObject = ProtocolObject {
    members: &[
        any("uri"),
        any("mimeType"),
        any("text"),
        any("blob"),
        any("_meta"),
        objects("annotations", &ANNOTATIONS),
    ],
};

static ANNOTATIONS: ProtocolObject = ProtocolObject {
    members: &[any("audience"), any("priority"), any("lastModified")],
};

static ICON: ProtocolObject = ProtocolObject {
    members: &[any("src"), any("mimeType"), any("sizes"), any("theme")],
};

static MESSAGE: ProtocolObject = ProtocolObject {
    members: &[any("role"), objects("content", &CONTENT), any("_meta")],
};

static COMPLETION: ProtocolObject = ProtocolObject {
    members: &[any("values"), any("total"), any("hasMore")],
};

static META: ProtocolObject = ProtocolObject {
    members: &[any(method::META_PROGRESS)],
};

static PROGRESS: ProtocolObject = ProtocolObject {
    members: &[
        any("progressToken"),
        any("progress"),
        any("total"),
        any("message"),
        any("_meta"),
    ],
};

static LOG: ProtocolObject = ProtocolObject {
    members: &[any("level"), any("logger"), any("data"), any("_meta")],
};

static ELICITATION_COMPLETE: ProtocolObject = ProtocolObject {
    members: &[any("elicitationId"), any("_meta")],
};

static ELICITATION: ProtocolObject = ProtocolObject {
    members: &[
        any("mode"),
        any("message"),
        objects("requestedSchema", &SCHEMA),
        any("url"),
        any("elicitationId"),
        any("task"),
        objects("_meta", &META),
    ],
};

static SAMPLING: ProtocolObject = ProtocolObject {
    members: &[
        objects("messages", &MESSAGE),
        objects("modelPreferences", &MODEL_PREFERENCES),
        any("systemPrompt"),
        any("includeContext"),
        any("temperature"),
        any("maxTokens"),
        any("stopSequences"),
        any("metadata"),
        objects("tools", &TOOL),
        objects("toolChoice", &TOOL_CHOICE),
        any("task"),
        objects("_meta", &META),
    ],
};

static MODEL_PREFERENCES: ProtocolObject = ProtocolObject {
    members: &[
        objects("hints", &MODEL_HINT),
        any("costPriority"),
        any("speedPriority"),
        any("intelligencePriority"),
    ],
};

static MODEL_HINT: ProtocolObject = ProtocolObject {
    members: &[any("name")],
};

static TOOL_CHOICE: ProtocolObject = ProtocolObject {
    members: &[any("mode")],
};

static ROOTS: ProtocolObject = ProtocolObject {
    members: &[objects("_meta", &META)],
};

/// Definition of a tool.
pub static TOOL: ProtocolObject = ProtocolObject {
    members: &[
        any("name"),
        any("title"),
        any("description"),
        objects("inputSchema", &SCHEMA),
        objects("outputSchema", &SCHEMA),
        objects("annotations", &TOOL_ANNOTATIONS),
        objects("execution", &EXECUTION),
        objects("icons", &ICON),
        any("_meta"),
    ],
};

static TOOL_ANNOTATIONS: ProtocolObject = ProtocolObject {
    members: &[
        any("title"),
        any("readOnlyHint"),
        any("destructiveHint"),
        any("idempotentHint"),
        any("openWorldHint"),
    ],
};

static EXECUTION: ProtocolObject = ProtocolObject {
    members: &[any("taskSupport")],
};

/// Definition of a prompt.
pub static PROMPT: ProtocolObject = ProtocolObject {
    members: &[
        any("name"),
        any("title"),
        any("description"),
        objects("arguments", &PROMPT_ARGUMENT),
        objects("icons", &ICON),
        any("_meta"),
    ],
};

static PROMPT_ARGUMENT: ProtocolObject = ProtocolObject {
    members: &[
        any("name"),
        any("title"),
        any("description"),
        any("required"),
    ],
};

/// Definition of a resource.
pub static RESOURCE: ProtocolObject = ProtocolObject {
    members: &[
        any("uri"),
        any("name"),
        any("title"),
        any("description"),
        any("mimeType"),
        any("size"),
        objects("annotations", &ANNOTATIONS),
        objects("icons", &ICON),
        any("_meta"),
    ],
};

/// Definition of a resource template.
pub static TEMPLATE: ProtocolObject = ProtocolObject {
    members: &[
        any("uriTemplate"),
        any("name"),
        any("title"),
        any("description"),
        any("mimeType"),
        objects("annotations", &ANNOTATIONS),
        objects("icons", &ICON),
        any("_meta"),
    ],
};

/// JSON Schema: the keywords of the 2020-12 vocabularies, those of draft 7 that clients still read, `enumNames` of forms, and
/// `x-mcp-header`.
static SCHEMA: ProtocolObject = ProtocolObject {
    members: &[
        any("$schema"),
        any("$id"),
        any("$ref"),
        any("$dynamicRef"),
        any("$anchor"),
        any("$dynamicAnchor"),
        any("$comment"),
        named("$defs", &SCHEMA),
        named("definitions", &SCHEMA),
        any("type"),
        any("title"),
        any("description"),
        any("default"),
        any("deprecated"),
        any("readOnly"),
        any("writeOnly"),
        any("examples"),
        any("enum"),
        any("enumNames"),
        any("const"),
        any("format"),
        any("contentEncoding"),
        any("contentMediaType"),
        any("pattern"),
        any("minLength"),
        any("maxLength"),
        any("minimum"),
        any("maximum"),
        any("exclusiveMinimum"),
        any("exclusiveMaximum"),
        any("multipleOf"),
        any("minItems"),
        any("maxItems"),
        any("uniqueItems"),
        any("minContains"),
        any("maxContains"),
        any("minProperties"),
        any("maxProperties"),
        any("required"),
        any("dependentRequired"),
        any("x-mcp-header"),
        named("properties", &SCHEMA),
        named("patternProperties", &SCHEMA),
        named("dependentSchemas", &SCHEMA),
        objects("additionalProperties", &SCHEMA),
        objects("unevaluatedProperties", &SCHEMA),
        objects("propertyNames", &SCHEMA),
        objects("items", &SCHEMA),
        objects("prefixItems", &SCHEMA),
        objects("unevaluatedItems", &SCHEMA),
        objects("additionalItems", &SCHEMA),
        objects("contains", &SCHEMA),
        objects("contentSchema", &SCHEMA),
        objects("allOf", &SCHEMA),
        objects("anyOf", &SCHEMA),
        objects("oneOf", &SCHEMA),
        objects("not", &SCHEMA),
        objects("if", &SCHEMA),
        objects("then", &SCHEMA),
        objects("else", &SCHEMA),
    ],
};
