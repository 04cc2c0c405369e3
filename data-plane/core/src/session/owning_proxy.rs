//! Proxy that owns state which cannot move, and its address for peers. It is only transmitted inside encrypted text, so
//! that a client cannot make a proxy connect to an address of the client's choice.

use toolgate_model::Slug;

/// Maximum length of an address, in bytes.
pub const ADDRESS_LIMIT: usize = 160;

/// Proxy as addressed by its peers.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwningProxy {
    /// Id of the proxy. Its certificate must name the same id.
    pub proxy: Slug,
    /// `host:port` of its listener for peers; `None` if peers cannot reach it.
    pub address: Option<Box<str>>,
}

impl OwningProxy {
    /// Creates the owner record of a proxy. An empty address or one longer than [`ADDRESS_LIMIT`] is left out.
    pub fn new(proxy: Slug, at: Option<&str>) -> Self {
        let at = at.filter(|at| !at.is_empty() && at.len() <= ADDRESS_LIMIT);
        Self {
            proxy,
            address: at.map(Box::from),
        }
    }

    /// Appends the encoded form: each part is preceded by its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        for part in [
            self.proxy.as_str(),
            self.address.as_deref().unwrap_or_default(),
        ] {
            // Both parts are far shorter than 256 bytes.
            out.push(u8::try_from(part.len()).unwrap_or_default());
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Decodes the output of [`write`](Self::write) and returns it with the remaining bytes.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (proxy, rest) = read_part(bytes)?;
        let (at, rest) = read_part(rest)?;
        let proxy = proxy.parse().ok()?;
        Some((Self::new(proxy, Some(at)), rest))
    }
}

fn read_part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests;
