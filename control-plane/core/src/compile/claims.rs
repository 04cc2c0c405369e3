//! Assigns exposed names to the tools, or the prompts, of one gateway. The first claim of a name wins.

use std::collections::BTreeMap;

use toolgate_model::{Definition, Digest, PrefixMode, Shape, Slug, snapshot::ToolShape};

use super::{Collision, Named, ProblemKind, exposed_name};

/// Exposed name and the tool or prompt that holds it.
pub(super) struct Claim {
    pub(super) exposed: String,
    pub(super) server: Slug,
    pub(super) original: String,
    pub(super) digest: Digest,
    pub(super) shape: Option<ToolShape>,
}

/// Exposed names of one kind, tools or prompts, in one gateway.
pub(super) struct Claims {
    what: Named,
    mode: PrefixMode,
    limit: usize,
    own: &'static [&'static str],
    granted: Vec<Claim>,
    taken: BTreeMap<String, usize>,
    over: usize,
}

impl Claims {
    pub(super) fn new(what: Named, mode: PrefixMode, limit: usize) -> Self {
        Self {
            what,
            mode,
            limit,
            own: &[],
            granted: Vec::new(),
            taken: BTreeMap::new(),
            over: 0,
        }
    }

    /// Sets the names that the gateway reserves for its own tools.
    pub(super) fn without(self, own: &'static [&'static str]) -> Self {
        Self { own, ..self }
    }

    pub(super) fn what(&self) -> Named {
        self.what
    }

    /// Claims a name for `definition`: the alias of its shape, if any, else its exposed name.
    pub(super) fn claim(
        &mut self,
        server: &Slug,
        definition: &Definition,
        shape: Option<&Shape>,
    ) -> Result<(), ProblemKind> {
        let alias = shape.and_then(|shape| shape.alias.clone());
        let exposed = alias.unwrap_or_else(|| exposed_name(self.mode, server, &definition.name));
        if let Some(exposed) = self.own.iter().find(|own| **own == exposed) {
            return Err(ProblemKind::OwnName {
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
            return Err(ProblemKind::Collision(Box::new(Collision {
                what: self.what,
                exposed,
                server: server.clone(),
                name: definition.name.clone(),
                other: earlier.server.clone(),
                other_name: earlier.original.clone(),
            })));
        }
        if self.granted.len() >= self.limit {
            self.over += 1;
            return Ok(());
        }
        self.taken.insert(exposed.clone(), self.granted.len());
        self.granted.push(Claim {
            exposed,
            server: server.clone(),
            original: definition.name.clone(),
            digest: definition.digest,
            shape: shape.and_then(shaped),
        });
        Ok(())
    }

    /// Returns a problem if more names were claimed than the limit allows.
    pub(super) fn excess(&self) -> Option<ProblemKind> {
        let found = self.granted.len() + self.over;
        (self.over > 0).then_some(ProblemKind::TooMany {
            what: self.what,
            found,
            limit: self.limit,
        })
    }

    /// Returns the entries sorted by exposed name. The order of the exposed list is then independent of the order
    /// in which servers list, so a list cached by an agent stays valid.
    pub(super) fn sorted<T>(mut self, make: impl Fn(Claim) -> T) -> Vec<T> {
        self.granted
            .sort_by(|one, other| one.exposed.cmp(&other.exposed));
        self.granted.into_iter().map(make).collect()
    }
}

/// Returns the effect of a shape apart from the alias; `None` if it has no other effect.
fn shaped(shape: &Shape) -> Option<ToolShape> {
    let shaped = ToolShape {
        description: shape.description.clone(),
        fixed: shape.fixed.clone(),
        hidden: shape.hidden.clone(),
    };
    (shaped != ToolShape::default()).then_some(shaped)
}
