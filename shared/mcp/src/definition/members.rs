//! Members of definitions with the types that the schemas of the protocol give them. Strict clients reject a whole list
//! because of one member of another type.

/// Member of an object in a definition.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: &'static str,
    pub(super) value: MemberType,
}

/// Type of a member.
#[derive(Debug)]
pub(super) enum MemberType {
    Text,
    Flag,
    /// Number of bytes.
    Size,
    /// Number from 0 to 1.
    Fraction,
    /// Timestamp with date, time and offset.
    Timestamp,
    /// String from this list.
    OneOf(&'static [&'static str]),
    /// Object with these members; others are not checked.
    Object(&'static [Member]),
    /// Object like [`Object`](Self::Object), in which the last-named member has to be present.
    Named(&'static str, &'static [Member]),
    /// List of this type.
    List(&'static MemberType),
    /// JSON Schema of the arguments of a tool.
    InputSchema,
    /// JSON Schema of the result of a tool.
    OutputSchema,
}

const fn member(name: &'static str, value: MemberType) -> Member {
    Member { name, value }
}

const META: Member = member("_meta", MemberType::Object(&[]));
const TITLE: Member = member("title", MemberType::Text);
const DESCRIPTION: Member = member("description", MemberType::Text);
const MIME_TYPE: Member = member("mimeType", MemberType::Text);
const TEXT: MemberType = MemberType::Text;

const ICON: MemberType = MemberType::Named(
    "src",
    &[
        member("src", MemberType::Text),
        MIME_TYPE,
        member("sizes", MemberType::List(&TEXT)),
        member("theme", MemberType::OneOf(&["light", "dark"])),
    ],
);
const ICONS: Member = member("icons", MemberType::List(&ICON));

const ROLE: MemberType = MemberType::OneOf(&["user", "assistant"]);
const ANNOTATIONS: Member = member(
    "annotations",
    MemberType::Object(&[
        member("audience", MemberType::List(&ROLE)),
        member("priority", MemberType::Fraction),
        member("lastModified", MemberType::Timestamp),
    ]),
);

const TOOL_ANNOTATIONS: Member = member(
    "annotations",
    MemberType::Object(&[
        TITLE,
        member("readOnlyHint", MemberType::Flag),
        member("destructiveHint", MemberType::Flag),
        member("idempotentHint", MemberType::Flag),
        member("openWorldHint", MemberType::Flag),
    ]),
);
const EXECUTION: Member = member(
    "execution",
    MemberType::Object(&[member(
        "taskSupport",
        MemberType::OneOf(&["required", "optional", "forbidden"]),
    )]),
);

const ARGUMENT: MemberType = MemberType::Named(
    "name",
    &[
        member("name", MemberType::Text),
        TITLE,
        DESCRIPTION,
        member("required", MemberType::Flag),
    ],
);

pub(super) const TOOL: &[Member] = &[
    TITLE,
    DESCRIPTION,
    member("inputSchema", MemberType::InputSchema),
    member("outputSchema", MemberType::OutputSchema),
    TOOL_ANNOTATIONS,
    EXECUTION,
    ICONS,
    META,
];

pub(super) const PROMPT: &[Member] = &[
    TITLE,
    DESCRIPTION,
    member("arguments", MemberType::List(&ARGUMENT)),
    ICONS,
    META,
];

pub(super) const RESOURCE: &[Member] = &[
    TITLE,
    DESCRIPTION,
    MIME_TYPE,
    member("size", MemberType::Size),
    ANNOTATIONS,
    ICONS,
    META,
];

pub(super) const TEMPLATE: &[Member] = &[TITLE, DESCRIPTION, MIME_TYPE, ANNOTATIONS, ICONS, META];
