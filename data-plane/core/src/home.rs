//! Where something is kept that cannot move: which proxy owns it, and where that one's neighbours reach it. Travels inside
//! sealed text only, so that nobody can send a proxy to an address of their own.

use toolgate_model::Slug;

/// Longest address that is taken along, in bytes.
pub const ADDRESS_LIMIT: usize = 160;

/// A proxy, as its neighbours find it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Home {
    /// Which. Its certificate has to say so too.
    pub proxy: Slug,
    /// `host:port` of its listener for neighbours; none if they cannot reach it.
    pub at: Option<Box<str>>,
}

impl Home {
    /// Of a proxy. An address that is too long is left out.
    pub fn new(proxy: Slug, at: Option<&str>) -> Self {
        let at = at.filter(|at| !at.is_empty() && at.len() <= ADDRESS_LIMIT);
        Self {
            proxy,
            at: at.map(Box::from),
        }
    }

    /// Appends it: each part behind its length.
    pub fn write(&self, out: &mut Vec<u8>) {
        for part in [self.proxy.as_str(), self.at.as_deref().unwrap_or_default()] {
            // Both are bounded far below this.
            out.push(u8::try_from(part.len()).unwrap_or_default());
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// What [`write`](Self::write) wrote, and what follows it.
    pub fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (proxy, rest) = part(bytes)?;
        let (at, rest) = part(rest)?;
        let proxy = proxy.parse().ok()?;
        Some((Self::new(proxy, Some(at)), rest))
    }
}

fn part(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests;
