//! Definitions of a server: the limits of what is kept of them, and the parts in which the store holds them.
//!
//! Definitions that fit one value of the store are one record. Larger ones are a manifest, at the key of the
//! definitions, that names its parts by digest. A part is written before a manifest names it, and is never changed. It
//! ends at a definition that its content selects, so that one changed definition changes one part:
//!
//! ```text
//! observed/catalogues/acme/files             manifest: everything but the lists; digests d1, d2, d3
//! observed/catalogue-parts/acme/files/d1     tools
//!                                    /d2     tools
//!                                    /d3     tools, prompts, resources, templates
//! ```

use std::{fmt, sync::Arc};

use toolgate_model::{Definition, DefinitionsPart, Digest, ObjectName, ServerDefinitions};

use crate::{
    limits,
    object::ControlObject,
    state::{ListedObject, StoreState},
};

#[cfg(test)]
mod tests;

/// Size in bytes that a part, or definitions in one record, have at most. Leaves room in a value of the store for
/// everything but the lists.
const MAX_PART_BYTES: usize = 960 * 1024;
/// Size in bytes from which on a part may end.
const MIN_PART_BYTES: usize = 640 * 1024;
/// Share of the definitions, of 256, that end a part of at least [`MIN_PART_BYTES`].
const PART_ENDS: u8 = 32;

/// Size in bytes of a record besides its definitions, about.
const RECORD_OVERHEAD: usize = 512;

/// Names of the lists, in the order of [`ServerDefinitions::lists`].
pub const LISTS: [&str; 4] = ["tools", "prompts", "resources", "templates"];

/// Limit that cuts a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionsLimit {
    /// Maximum number of entries of the list.
    Count(usize),
    /// [`limits::SERVER_DEFINITIONS_BYTES`] of all lists.
    Bytes,
    /// Maximum number of pages that are read of a list.
    Pages(usize),
    /// Maximum size of a list as it is read, in bytes.
    ReadBytes(usize),
}

/// Number of definitions that a server offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OfferedCount {
    /// All were counted.
    Exactly(usize),
    /// The list goes on after these.
    MoreThan(usize),
}

/// Definitions of one list that are left out because of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OmittedDefinitions {
    /// Name of the list, e.g. `tools`.
    pub list: &'static str,
    /// Number of definitions that are kept: the first ones.
    pub kept: usize,
    /// Number of definitions that the server offers.
    pub offered: OfferedCount,
    /// Limit that was reached.
    pub limit: DefinitionsLimit,
}

/// Returns the maximum number of entries of each list, in the order of [`LISTS`].
pub fn count_limits() -> [usize; 4] {
    [
        limits::SERVER_TOOLS,
        limits::SERVER_PROMPTS,
        limits::SERVER_RESOURCES,
        limits::SERVER_TEMPLATES,
    ]
}

/// Cuts the lists to their limits: the number of their entries, and the size of all of them. The first definitions are
/// kept, and a list takes room before the later ones. Returns what is left out.
pub fn cut_to_limits(definitions: &mut ServerDefinitions) -> Vec<OmittedDefinitions> {
    let mut omitted = Vec::new();
    let mut room = limits::SERVER_DEFINITIONS_BYTES;
    let lists = [
        &mut definitions.tools,
        &mut definitions.prompts,
        &mut definitions.resources,
        &mut definitions.templates,
    ];
    for ((list, name), count) in lists.into_iter().zip(LISTS).zip(count_limits()) {
        let offered = list.len();
        list.truncate(count);
        let fits = |it: &&Definition| match room.checked_sub(stored_size(it)) {
            Some(rest) if stored_size(it) <= MAX_PART_BYTES => {
                room = rest;
                true
            }
            Some(_) | None => false,
        };
        let kept = list.iter().take_while(fits).count();
        let limit = match kept < list.len() {
            true => DefinitionsLimit::Bytes,
            false => DefinitionsLimit::Count(count),
        };
        list.truncate(kept);
        if kept < offered {
            omitted.push(OmittedDefinitions {
                list: name,
                kept,
                offered: OfferedCount::Exactly(offered),
                limit,
            });
        }
    }
    omitted
}

/// Returns the parts in which the store holds the definitions, in order. None if they fit one record.
pub fn parts_of(definitions: &ServerDefinitions) -> Vec<NamedPart> {
    let all = definitions.lists().into_iter().flatten();
    if all.map(stored_size).sum::<usize>() <= MAX_PART_BYTES {
        return Vec::new();
    }
    let mut split = PartBuilder::new(definitions);
    split.add(&definitions.tools, |part| &mut part.tools);
    split.add(&definitions.prompts, |part| &mut part.prompts);
    split.add(&definitions.resources, |part| &mut part.resources);
    split.add(&definitions.templates, |part| &mut part.templates);
    split.finish()
}

/// Part with its digest.
pub type NamedPart = (Digest, Arc<DefinitionsPart>);

/// Writes that definitions need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DefinitionsWrites {
    /// Parts that the store does not have.
    pub parts: Vec<Arc<DefinitionsPart>>,
    /// Size in bytes of these parts and of the record of the definitions, about.
    pub bytes: usize,
}

impl DefinitionsWrites {
    /// Returns the writes of `definitions` to a store in this state.
    pub fn of(definitions: &ServerDefinitions, state: &StoreState) -> Self {
        let mut parts = parts_of(definitions);
        let head = definitions.instructions.len() + definitions.capabilities.len();
        let head = head + RECORD_OVERHEAD + size_of::<Digest>() * parts.len();
        let lists = parts.is_empty().then(|| definitions.lists());
        let bytes = |it: &Definition| it.name.len() + it.json.len();
        let in_record = lists
            .into_iter()
            .flatten()
            .flatten()
            .map(bytes)
            .sum::<usize>();
        parts.retain(|(digest, part)| !state.has_part(&part.server, *digest));
        let parts: Vec<_> = parts.into_iter().map(|(_, part)| part).collect();
        let of_part = |part: &Arc<DefinitionsPart>| {
            let lists = [&part.tools, &part.prompts, &part.resources, &part.templates];
            lists.into_iter().flatten().map(stored_size).sum::<usize>()
        };
        let in_parts: usize = parts.iter().map(of_part).sum();
        Self {
            parts,
            bytes: head + in_record + in_parts,
        }
    }
}

/// Size in bytes of a definition in the store, at most.
fn stored_size(definition: &Definition) -> usize {
    definition.name.len() + definition.json.len() + limits::DEFINITION_OVERHEAD
}

/// Splits definitions into parts.
struct PartBuilder {
    parts: Vec<NamedPart>,
    part: DefinitionsPart,
    bytes: usize,
}

impl PartBuilder {
    fn new(definitions: &ServerDefinitions) -> Self {
        Self {
            parts: Vec::new(),
            part: DefinitionsPart::empty(definitions.server.clone()),
            bytes: 0,
        }
    }

    fn add(
        &mut self,
        definitions: &[Definition],
        list: impl Fn(&mut DefinitionsPart) -> &mut Vec<Definition>,
    ) {
        for definition in definitions {
            let bytes = stored_size(definition);
            if self.bytes + bytes > MAX_PART_BYTES {
                self.end();
            }
            self.bytes += bytes;
            list(&mut self.part).push(definition.clone());
            let [first, ..] = definition.digest.0;
            if self.bytes >= MIN_PART_BYTES && first < PART_ENDS {
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if self.bytes > 0 {
            let next = DefinitionsPart::empty(self.part.server.clone());
            let part = std::mem::replace(&mut self.part, next);
            self.parts.push((part.digest(), Arc::new(part)));
            self.bytes = 0;
        }
    }

    fn finish(mut self) -> Vec<NamedPart> {
        self.end();
        self.parts
    }
}

impl StoreState {
    /// Returns `true` if the store has the part of a server's definitions with this digest.
    pub fn has_part(&self, server: &ObjectName, digest: Digest) -> bool {
        self.definitions_parts.contains(&(server.clone(), digest))
    }

    /// Returns the digests of the stored parts of a server's definitions.
    pub(crate) fn part_digests(&self, server: &ObjectName) -> Vec<Digest> {
        let lowest = (server.clone(), Digest([0; 32]));
        let is_lowest = self.definitions_parts.contains(&lowest);
        let parts = self.definitions_parts.after(Some(&lowest));
        let own = parts.map(|(id, _)| id).take_while(|id| id.0 == *server);
        let lowest = is_lowest.then_some(lowest.1);
        lowest.into_iter().chain(own.map(|id| id.1)).collect()
    }

    /// Returns the object with its lists, if it is the manifest of definitions that are stored in parts. Fails if a part
    /// is missing.
    pub(crate) fn assembled(&self, object: ControlObject) -> Result<ControlObject, String> {
        let ControlObject::Definitions(manifest) = &object else {
            return Ok(object);
        };
        if manifest.parts.is_empty() || !manifest.is_empty() {
            return Ok(object);
        }
        let mut definitions = ServerDefinitions::clone(manifest);
        for digest in &manifest.parts {
            let id = (manifest.server.clone(), *digest);
            let Some(part) = self.definitions_parts.get(&id) else {
                let digest = digest.to_hex();
                return Err(format!("the part {digest} of the definitions is missing"));
            };
            definitions.tools.extend_from_slice(&part.tools);
            definitions.prompts.extend_from_slice(&part.prompts);
            definitions.resources.extend_from_slice(&part.resources);
            definitions.templates.extend_from_slice(&part.templates);
        }
        Ok(ControlObject::Definitions(Arc::new(definitions)))
    }

    /// Returns `true` if the entry could not be read when it was seen, because a part was missing, and can be read now.
    pub(crate) fn can_complete(&self, entry: &ListedObject) -> bool {
        let Some(Ok(ControlObject::Definitions(manifest))) = &entry.object else {
            return false;
        };
        let has = |digest: &Digest| self.has_part(&manifest.server, *digest);
        self.quarantine.contains_key(&entry.key)
            && !manifest.parts.is_empty()
            && manifest.parts.iter().all(has)
    }
}

impl fmt::Display for OfferedCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{}", GroupedNumber(*count)),
            Self::MoreThan(count) => write!(f, "more than {}", GroupedNumber(*count)),
        }
    }
}

impl fmt::Display for OmittedDefinitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kept, offered, list) = (GroupedNumber(self.kept), self.offered, self.list);
        write!(f, "{kept} of {offered} {list}: limit of ")?;
        match self.limit {
            DefinitionsLimit::Count(count) => write!(
                f,
                "{} {list} of a server; put the others behind another server, or have the server list fewer",
                GroupedNumber(count)
            ),
            DefinitionsLimit::Bytes => write!(
                f,
                "{} MiB for the definitions of a server; put the others behind another server, or have the server shorten \
                 them",
                limits::SERVER_DEFINITIONS_BYTES >> 20
            ),
            DefinitionsLimit::Pages(pages) => write!(
                f,
                "{pages} pages of a list; have the server list more on a page"
            ),
            DefinitionsLimit::ReadBytes(bytes) => write!(
                f,
                "{} MiB that are read of a list; have the server shorten its definitions",
                bytes >> 20
            ),
        }
    }
}

/// Number with a comma between groups of three digits.
struct GroupedNumber(usize);

impl fmt::Display for GroupedNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.char_indices() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}
