//! Names claimed in one gateway by tools, or by prompts: the first to claim one keeps it.

use std::collections::BTreeMap;

use toolgate_model::{Definition, Digest, PrefixMode, Shape, Slug, snapshot::ToolShape};

use super::{Collision, Named, ProblemKind, exposed_name};

/// One name, and whose it is.
pub(super) struct Claim {
    pub(super) exposed: String,
    pub(super) server: Slug,
    pub(super) original: String,
    pub(super) digest: Digest,
    pub(super) shape: Option<ToolShape>,
}

/// The names of one kind.
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

    /// Without these names, which the gateway has itself.
    pub(super) fn without(self, own: &'static [&'static str]) -> Self {
        Self { own, ..self }
    }

    pub(super) fn what(&self) -> Named {
        self.what
    }

    /// Claims a name for what `definition` defines: its alias, if the operator chose one.
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

    /// More were claimed than there may be.
    pub(super) fn excess(&self) -> Option<ProblemKind> {
        let found = self.granted.len() + self.over;
        (self.over > 0).then_some(ProblemKind::TooMany {
            what: self.what,
            found,
            limit: self.limit,
        })
    }

    /// By name, so that a list keeps its order when a server lists in another one: what agents have cached of it
    /// stays good.
    pub(super) fn sorted<T>(mut self, make: impl Fn(Claim) -> T) -> Vec<T> {
        self.granted
            .sort_by(|one, other| one.exposed.cmp(&other.exposed));
        self.granted.into_iter().map(make).collect()
    }
}

/// What a shape changes beside the name; none if that is nothing.
fn shaped(shape: &Shape) -> Option<ToolShape> {
    let shaped = ToolShape {
        description: shape.description.clone(),
        fixed: shape.fixed.clone(),
        hidden: shape.hidden.clone(),
    };
    (shaped != ToolShape::default()).then_some(shaped)
}
