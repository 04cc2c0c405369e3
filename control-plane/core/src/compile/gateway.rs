//! One gateway: bindings to exposed tools, sorted by name. The first binding to claim a name keeps it; whatever cannot be
//! exposed is hidden and reported.

use std::collections::{BTreeMap, BTreeSet};

use toolgate_model::{
    Binding, Catalogue, Digest, Gateway, Name, PrefixMode, Slug, ToolDefinition, ToolSelection,
    snapshot::{ExposedTool, GatewayResource},
};

use crate::{limits, state::State};

use super::{Collision, Problem, ProblemKind, exposed_name, server};

/// Problems kept of one gateway; more say nothing new.
const PROBLEMS: usize = 100;

/// The resource of `gateway` within `state`, and its problems. `owner` is the organization that its id belongs to.
pub fn compile(
    state: &State,
    gateway: &Gateway,
    owner: &Slug,
) -> (Option<GatewayResource>, Vec<Problem>) {
    if *owner != gateway.name.org {
        let kind = ProblemKind::IdTaken(gateway.name.id.clone());
        let field = "metadata.name".to_owned();
        return (None, vec![Problem { field, kind }]);
    }
    let mut exposure = Exposure::new(gateway.prefix);
    let mut bound = BTreeSet::new();
    if gateway.prefix == PrefixMode::Single && gateway.bindings.len() > 1 {
        let count = gateway.bindings.len();
        exposure.report("spec.bindings".to_owned(), ProblemKind::NotSingle(count));
    }
    for (index, binding) in served(gateway) {
        let field = format!("spec.bindings[{index}]");
        if !bound.insert(&binding.server) {
            let twice = ProblemKind::BoundTwice(binding.server.clone());
            exposure.report(format!("{field}.server"), twice);
            continue;
        }
        let name = Name::new(gateway.name.org.clone(), binding.server.clone());
        match offered(state, &name) {
            Ok(catalogue) => exposure.bind(&field, binding, catalogue),
            Err(kind) => exposure.report(format!("{field}.server"), kind),
        }
    }
    exposure.into_resource(gateway)
}

/// Bindings that the prefix mode lets through.
fn served(gateway: &Gateway) -> impl Iterator<Item = (usize, &Binding)> {
    let at_most = match gateway.prefix {
        PrefixMode::Single => 1,
        PrefixMode::Always | PrefixMode::Never => limits::GATEWAY_BINDINGS,
    };
    gateway.bindings.iter().enumerate().take(at_most)
}

fn offered<'a>(state: &'a State, name: &Name) -> Result<&'a Catalogue, ProblemKind> {
    let Some(stored) = state.servers.get(name) else {
        return Err(ProblemKind::NoServer(name.clone()));
    };
    if server::compile(state, stored).is_err() {
        return Err(ProblemKind::ServerNotServed(name.id.clone()));
    }
    match state.catalogues.get(name) {
        Some(catalogue) if catalogue.era.is_some() || !catalogue.tools.is_empty() => Ok(catalogue),
        Some(_) | None => Err(ProblemKind::NotProbed(name.id.clone())),
    }
}

/// What has been exposed so far.
struct Exposure {
    mode: PrefixMode,
    tools: Vec<ExposedTool>,
    taken: BTreeMap<String, usize>,
    over: usize,
    problems: Vec<Problem>,
}

impl Exposure {
    fn new(mode: PrefixMode) -> Self {
        Self {
            mode,
            tools: Vec::new(),
            taken: BTreeMap::new(),
            over: 0,
            problems: Vec::new(),
        }
    }

    fn report(&mut self, field: String, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(Problem { field, kind });
        }
    }

    fn bind(&mut self, field: &str, binding: &Binding, catalogue: &Catalogue) {
        match &binding.tools {
            ToolSelection::All => {
                for tool in &catalogue.tools {
                    self.expose(field.to_owned(), &binding.server, tool);
                }
            }
            ToolSelection::Only(names) => {
                let offered: BTreeMap<&str, &ToolDefinition> = catalogue
                    .tools
                    .iter()
                    .rev()
                    .map(|tool| (tool.name.as_str(), tool))
                    .collect();
                for (index, name) in names.iter().enumerate() {
                    let field = format!("{field}.tools[{index}]");
                    match offered.get(name.as_str()) {
                        Some(tool) => self.expose(field, &binding.server, tool),
                        None => {
                            let server = binding.server.clone();
                            let tool = name.clone();
                            self.report(field, ProblemKind::NoTool { server, tool });
                        }
                    }
                }
            }
        }
    }

    fn expose(&mut self, field: String, server: &Slug, tool: &ToolDefinition) {
        let exposed = exposed_name(self.mode, server, &tool.name);
        let earlier = self.taken.get(&exposed).and_then(|at| self.tools.get(*at));
        if let Some(earlier) = earlier {
            let collision = Collision {
                exposed,
                server: server.clone(),
                tool: tool.name.clone(),
                other: earlier.server.clone(),
                other_tool: earlier.original.clone(),
            };
            return self.report(field, ProblemKind::Collision(Box::new(collision)));
        }
        if self.tools.len() >= limits::GATEWAY_TOOLS {
            self.over += 1;
            return;
        }
        self.taken.insert(exposed.clone(), self.tools.len());
        self.tools
            .push(exposed_tool(exposed, server, &tool.name, tool.digest));
    }

    fn into_resource(mut self, gateway: &Gateway) -> (Option<GatewayResource>, Vec<Problem>) {
        if self.over > 0 {
            let found = self.tools.len() + self.over;
            let limit = limits::GATEWAY_TOOLS;
            let kind = ProblemKind::TooManyTools { found, limit };
            self.report("spec.bindings".to_owned(), kind);
        }
        let mut servers: Vec<Slug> = Vec::new();
        for (_, binding) in served(gateway) {
            if !servers.contains(&binding.server) {
                servers.push(binding.server.clone());
            }
        }
        // By name, so that a list keeps its order when a server lists its tools in another one: what agents have cached
        // of a prompt stays good.
        self.tools
            .sort_by(|one, other| one.exposed.cmp(&other.exposed));
        let resource = GatewayResource {
            display_name: gateway.meta.display_name.clone(),
            instructions: gateway.instructions.clone(),
            tools: self.tools,
            servers,
            must_understand: Vec::new(),
        };
        (Some(resource), self.problems)
    }
}

fn exposed_tool(exposed: String, server: &Slug, original: &str, digest: Digest) -> ExposedTool {
    ExposedTool {
        exposed,
        server: server.clone(),
        original: original.to_owned(),
        digest,
    }
}
