//! Assigns exposed names to the tools, or the prompts, of one gateway. The first claim of a name wins.

use std::collections::{BTreeMap, btree_map::Entry};

use toolgate_mcp::deceptive_text::confusable;
use toolgate_model::{Definition, Digest, PrefixMode, Slug, ToolShapeSpec, snapshot::ToolShape};

use super::{
    ConfusableNames, ExposedKind, NameCollision, NameOrigin, ProblemKind,
    exposed_name::{exposed_name, shortened_from},
};

/// Exposed name and the tool or prompt that holds it.
pub(super) struct ClaimedName {
    pub(super) exposed: String,
    pub(super) server: Slug,
    pub(super) original: String,
    pub(super) digest: Digest,
    pub(super) shape: Option<ToolShape>,
    /// Whole name, if `exposed` is a shortened form of it.
    shortened_from: Option<String>,
}

/// Exposed names of one kind, tools or prompts, in one gateway.
pub(super) struct NameAllocator {
    kind: ExposedKind,
    mode: PrefixMode,
    limit: usize,
    reserved: &'static [&'static str],
    granted: Vec<ClaimedName>,
    taken: BTreeMap<String, usize>,
    over_limit: usize,
}

impl NameAllocator {
    pub(super) fn new(kind: ExposedKind, mode: PrefixMode, limit: usize) -> Self {
        Self {
            kind,
            mode,
            limit,
            reserved: &[],
            granted: Vec::new(),
            taken: BTreeMap::new(),
            over_limit: 0,
        }
    }

    /// Sets the names that the gateway reserves for its own tools.
    pub(super) fn with_reserved(self, own: &'static [&'static str]) -> Self {
        Self {
            reserved: own,
            ..self
        }
    }

    pub(super) fn kind(&self) -> ExposedKind {
        self.kind
    }

    /// Claims a name for `definition`: the alias of its shape, if any, else its exposed name.
    pub(super) fn claim(
        &mut self,
        server: &Slug,
        definition: &Definition,
        shape: Option<&ToolShapeSpec>,
    ) -> Result<(), ProblemKind> {
        let alias = shape.and_then(|shape| shape.alias.clone());
        let (mode, kind, own) = (self.mode, self.kind, &definition.name);
        let (exposed, shortened_from) = match alias {
            Some(alias) => (alias, None),
            None => {
                let exposed = exposed_name(mode, kind, server, own);
                let whole = shortened_from(mode, server, own, &exposed);
                (exposed, whole)
            }
        };
        if let Some(exposed) = self.reserved.iter().find(|own| **own == exposed) {
            return Err(ProblemKind::ReservedName {
                exposed,
                server: server.clone(),
                name: definition.name.clone(),
            });
        }
        let earlier = self
            .taken
            .get(&exposed)
            .and_then(|at| self.granted.get(*at));
        if let Some(earlier) = earlier {
            return Err(ProblemKind::Collision(Box::new(NameCollision {
                what: self.kind,
                exposed,
                server: server.clone(),
                name: definition.name.clone(),
                other: earlier.server.clone(),
                other_name: earlier.original.clone(),
            })));
        }
        if self.granted.len() >= self.limit {
            self.over_limit += 1;
            return Ok(());
        }
        self.taken.insert(exposed.clone(), self.granted.len());
        self.granted.push(ClaimedName {
            exposed,
            server: server.clone(),
            original: definition.name.clone(),
            digest: definition.digest,
            shape: shape.and_then(tool_shape),
            shortened_from,
        });
        Ok(())
    }

    /// Returns a problem if more names were claimed than the limit allows.
    pub(super) fn limit_problem(&self) -> Option<ProblemKind> {
        let found = self.granted.len() + self.over_limit;
        (self.over_limit > 0).then_some(ProblemKind::TooMany {
            what: self.kind,
            found,
            limit: self.limit,
        })
    }

    /// Returns a problem for each name that renders like an earlier one. Names that were shortened are compared as they
    /// were before: their hashes differ although a reader sees no difference.
    pub(super) fn confusable_names(&self) -> Vec<ProblemKind> {
        let reserved = self.reserved.iter();
        let mut seen: BTreeMap<String, (&str, NameOrigin)> = reserved
            .map(|own| (confusable::skeleton(own), (*own, NameOrigin::Gateway)))
            .collect();
        let mut problems = Vec::new();
        for claim in &self.granted {
            let whole = claim.shortened_from.as_deref();
            match seen.entry(confusable::skeleton(whole.unwrap_or(&claim.exposed))) {
                Entry::Vacant(free) => {
                    free.insert((&claim.exposed, NameOrigin::Server(claim.server.clone())));
                }
                Entry::Occupied(earlier) => {
                    let (other_exposed, other) = earlier.get().clone();
                    problems.push(ProblemKind::LooksAlike(Box::new(ConfusableNames {
                        what: self.kind,
                        exposed: claim.exposed.clone(),
                        server: claim.server.clone(),
                        other_exposed: other_exposed.to_owned(),
                        other,
                    })));
                }
            }
        }
        problems
    }

    /// Returns the entries sorted by exposed name. The order of the exposed list is then independent of the order
    /// in which servers list, so a list cached by an agent stays valid.
    pub(super) fn sorted<T>(mut self, make: impl Fn(ClaimedName) -> T) -> Vec<T> {
        self.granted
            .sort_by(|one, other| one.exposed.cmp(&other.exposed));
        self.granted.into_iter().map(make).collect()
    }
}

/// Returns the effect of a shape apart from the alias; `None` if it has no other effect.
fn tool_shape(shape: &ToolShapeSpec) -> Option<ToolShape> {
    let shaped = ToolShape {
        description: shape.description.clone(),
        fixed: shape.fixed.clone(),
        hidden: shape.hidden.clone(),
    };
    (shaped != ToolShape::default()).then_some(shaped)
}
