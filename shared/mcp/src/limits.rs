//! Bounds of one frame. Whoever reads bytes of a stranger passes one of these.

/// What a frame may measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole frame.
    pub bytes: usize,
    /// Levels of nesting, the root being the first.
    pub depth: u32,
    /// Members of the root, of `params`, of `result` and of `_meta`, each.
    pub members: usize,
    /// Bytes of an id as written.
    pub id: usize,
    /// Bytes of one number as written.
    pub number: usize,
    /// Whether what readers read differently, half a character or a number without end, is refused.
    pub exact: bool,
    /// Whether no object in it, however deep, may have a name twice.
    pub unique: bool,
}

impl Limits {
    /// Of a request by a client.
    pub const REQUEST: Self = Self {
        bytes: 4 * 1024 * 1024,
        depth: 64,
        members: 128,
        id: 512,
        number: 512,
        exact: true,
        unique: false,
    };

    /// Of a message by a server. How large it may be is a setting of the server, which is held where it is read; this is
    /// the most that can be set.
    pub const ANSWER: Self = Self {
        bytes: 64 * 1024 * 1024,
        depth: 64,
        members: 256,
        id: 512,
        number: 512,
        exact: true,
        unique: false,
    };

    /// Of an answer whose parts are each checked by itself, so that a bad one spoils no other.
    pub const OF_PARTS: Self = Self {
        depth: 512,
        number: usize::MAX,
        exact: false,
        ..Self::ANSWER
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::REQUEST
    }
}
