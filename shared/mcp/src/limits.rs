//! Limits of one frame. Every parser of untrusted bytes takes one of these.

/// Maximum length of an id as written, in bytes, in messages of either side.
pub const MAX_ID_LEN: usize = 512;

/// Limits of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// Maximum size of the frame in bytes.
    pub bytes: usize,
    /// Maximum nesting depth. The root has depth 1.
    pub depth: u32,
    /// Maximum number of members in each of the root, `params`, `result` and `_meta`.
    pub members: usize,
    /// Maximum length of an id as written, in bytes.
    pub id: usize,
    /// Maximum length of a number as written, in bytes.
    pub number: usize,
    /// True if values that parsers interpret differently are rejected: unpaired surrogates and numbers out of range.
    pub strict_values: bool,
    /// True if an optional member that is `null` counts as absent.
    pub null_members: bool,
    /// True if duplicate names are rejected in all objects, at any depth.
    pub unique_names: bool,
    /// True if a value that is nested deeper than `depth` is skipped instead of rejected.
    pub skip_deep: bool,
}

impl FrameLimits {
    /// Limits of a request of a client.
    pub const REQUEST: Self = Self {
        bytes: 4 * 1024 * 1024,
        depth: 64,
        members: 128,
        id: MAX_ID_LEN,
        number: 512,
        strict_values: true,
        null_members: false,
        unique_names: false,
        skip_deep: false,
    };

    /// Limits of a message of a server. The maximum message size is a setting of the server and enforced where the
    /// message is read; the size here is the largest value of that setting. Values are forwarded as they are written, and
    /// a client can read or reject an odd one by itself: they do not cost it the whole message.
    pub const SERVER_MESSAGE: Self = Self {
        bytes: 64 * 1024 * 1024,
        depth: 64,
        members: 256,
        id: MAX_ID_LEN,
        number: 512,
        strict_values: false,
        null_members: true,
        unique_names: false,
        skip_deep: false,
    };

    /// Limits of a definition. A definition that some clients cannot read would cost them the whole list.
    pub const DEFINITION: Self = Self {
        strict_values: true,
        ..Self::SERVER_MESSAGE
    };

    /// Limits of a response whose parts are validated one by one, so that an invalid part does not affect the others.
    pub const LENIENT: Self = Self {
        depth: 512,
        number: usize::MAX,
        skip_deep: true,
        ..Self::SERVER_MESSAGE
    };
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self::REQUEST
    }
}
