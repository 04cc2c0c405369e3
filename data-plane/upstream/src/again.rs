//! A call that a modern server answered with questions: it is made once more, with the answers.

use bytes::Bytes;

/// What goes along.
pub(crate) struct Again {
    /// `inputResponses`; none if nothing was asked.
    pub(crate) responses: Option<Bytes>,
    /// `requestState`, as the server wrote it.
    pub(crate) state: Option<Box<str>>,
}
