//! Reading a parsed frame, and the edits that rewrite it.

use std::borrow::Cow;

use crate::{
    envelope::{Envelope, MessageMeta},
    method,
    object::{self, ObjectMembers},
    splice::{ByteEdit, ByteSpan},
    text::JsonString,
};

impl<'a> Envelope<'a> {
    /// Returns the method, or an empty string for responses.
    pub fn method(&self) -> &str {
        self.method.as_ref().map_or("", JsonString::as_str)
    }

    /// Returns the id as written.
    pub fn raw_id(&self) -> Option<&'a str> {
        self.id.map(|id| id.raw)
    }

    /// Returns `params._meta`.
    pub fn meta(&self) -> Option<&MessageMeta<'a>> {
        self.params.as_ref()?.meta.as_ref()
    }

    /// Returns the bytes of a span.
    pub fn slice(&self, span: ByteSpan) -> &'a [u8] {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    /// Returns the members of an object in the frame.
    pub fn members(&self, object: ByteSpan) -> ObjectMembers<'a> {
        object::members(self.slice(object))
    }

    /// Returns the value that a modern request of this method repeats in the `Mcp-Name` header.
    pub fn mcp_name(&self) -> Option<&JsonString<'a>> {
        let params = self.params.as_ref()?;
        match method::name_source(self.method())? {
            method::NameSource::Name => params.name.as_ref(),
            method::NameSource::Uri => params.uri.as_ref(),
            method::NameSource::TaskId => params.task_id.as_ref(),
        }
    }

    /// Returns an edit that replaces the id by `literal`.
    pub fn with_id(&self, literal: impl Into<Cow<'a, [u8]>>) -> Option<ByteEdit<'a>> {
        self.id.map(|id| ByteEdit::replace(id.span, literal))
    }

    /// Returns an edit that replaces `params._meta` by `object`, or inserts it together with `params` if that is
    /// missing.
    pub fn with_meta(&self, object: &[u8]) -> ByteEdit<'a> {
        match (&self.params, self.meta()) {
            (_, Some(meta)) => ByteEdit::replace(meta.span, object.to_vec()),
            (Some(params), None) => object::insert(self.source, params.span, "_meta", object),
            (None, None) => {
                let params = [b"{\"_meta\":", object, b"}"].concat();
                object::insert(self.source, self.root, "params", &params)
            }
        }
    }
}
