//! Compiles one gateway: resolves its bindings to exposed tools, prompts and resources. The first binding to claim
//! a name keeps it. Entries that cannot be exposed are hidden and reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use toolgate_mcp::object;
use toolgate_model::{
    Binding, Catalogue, Definition, Gateway, Listing, Name, PrefixMode, Selection, Shape, Slug,
    UriMode,
    snapshot::{
        ExposedPrompt, ExposedTool, GatewayResource, OWN_TOOLS, SHAPED_ARGUMENTS, ToolShape,
    },
};

use crate::{limits, state::State};

use super::{
    Named, Problem, ProblemKind,
    claims::{Claim, Claims},
    server, shapes,
};

/// Maximum number of problems reported per gateway.
const PROBLEMS: usize = 100;

/// Compiles `gateway` into its resource and its problems. `owner` is the organization that owns the gateway id.
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
    let mut exposure = Exposure::new(gateway.prefix, gateway.listing);
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

/// Returns the bindings that the prefix mode allows, with their index.
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
        Some(catalogue) if catalogue.era.is_some() || offers_anything(catalogue) => Ok(catalogue),
        Some(_) | None => Err(ProblemKind::NotProbed(name.id.clone())),
    }
}

/// Returns `true` if an earlier probe found tools, prompts or resources.
fn offers_anything(catalogue: &Catalogue) -> bool {
    !catalogue.tools.is_empty() || !catalogue.prompts.is_empty() || offers_resources(catalogue)
}

/// Returns `true` if the server has resources. The capability counts too: a server may have resources that it
/// neither lists nor covers by a template.
fn offers_resources(catalogue: &Catalogue) -> bool {
    !catalogue.resources.is_empty()
        || !catalogue.templates.is_empty()
        || object::get(catalogue.capabilities.as_bytes(), "resources").is_some()
}

/// Gateway resource under construction.
struct Exposure<'a> {
    uris: UriMode,
    tools: Claims,
    prompts: Claims,
    resources: Vec<Slug>,
    timeouts: BTreeMap<Slug, Duration>,
    seen_uris: BTreeMap<&'a str, &'a Slug>,
    problems: Vec<Problem>,
}

impl<'a> Exposure<'a> {
    fn new(mode: PrefixMode, listing: Listing) -> Self {
        let own: &[&str] = match listing {
            Listing::All => &[],
            Listing::Progressive => &OWN_TOOLS,
        };
        Self {
            uris: match mode {
                PrefixMode::Always => UriMode::Prefixed,
                PrefixMode::Single | PrefixMode::Never => UriMode::Through,
            },
            tools: Claims::new(Named::Tool, mode, limits::GATEWAY_TOOLS).without(own),
            prompts: Claims::new(Named::Prompt, mode, limits::GATEWAY_PROMPTS),
            resources: Vec::new(),
            timeouts: BTreeMap::new(),
            seen_uris: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn report(&mut self, field: String, kind: ProblemKind) {
        if self.problems.len() < PROBLEMS {
            self.problems.push(Problem { field, kind });
        }
    }

    fn bind(&mut self, field: &str, binding: &'a Binding, catalogue: &'a Catalogue) {
        let server = &binding.server;
        let tools = choose(&binding.tools, &catalogue.tools);
        let shaped = &binding.shapes;
        let mut tools = claim(&mut self.tools, (field, "tools"), server, tools, shaped);
        tools.extend(shapes::idle(field, binding, catalogue));
        let prompts = choose(&binding.prompts, &catalogue.prompts);
        let shaped = &BTreeMap::new();
        let prompts = claim(
            &mut self.prompts,
            (field, "prompts"),
            server,
            prompts,
            shaped,
        );
        for (field, kind) in tools.into_iter().chain(prompts) {
            self.report(field, kind);
        }
        if let Some(most) = binding.timeout {
            self.timeouts.insert(server.clone(), most);
        }
        if binding.resources && offers_resources(catalogue) {
            self.resources.push(server.clone());
            self.compare_uris(field, server, catalogue);
        }
    }

    /// Reports resources that cannot be read because a server bound earlier lists the same URI.
    fn compare_uris(&mut self, field: &str, server: &'a Slug, catalogue: &'a Catalogue) {
        if self.uris == UriMode::Prefixed {
            return;
        }
        for resource in &catalogue.resources {
            let first = *self.seen_uris.entry(&resource.name).or_insert(server);
            if first != server {
                let kind = ProblemKind::SameUri {
                    uri: resource.name.clone(),
                    server: server.clone(),
                    first: first.clone(),
                };
                self.report(format!("{field}.resources"), kind);
            }
        }
    }

    fn into_resource(mut self, gateway: &Gateway) -> (Option<GatewayResource>, Vec<Problem>) {
        let excess = [self.tools.excess(), self.prompts.excess()];
        for kind in excess.into_iter().flatten() {
            self.report("spec.bindings".to_owned(), kind);
        }
        let mut servers: Vec<Slug> = Vec::new();
        for (_, binding) in served(gateway) {
            if !servers.contains(&binding.server) {
                servers.push(binding.server.clone());
            }
        }
        let tools = self.tools.sorted(exposed_tool);
        let resource = GatewayResource {
            display_name: gateway.meta.display_name.clone(),
            instructions: gateway.instructions.clone(),
            must_understand: must_understand(&tools),
            tools,
            prompts: self.prompts.sorted(exposed_prompt),
            resources: self.resources,
            uris: self.uris,
            listing: gateway.listing,
            servers,
            timeouts: self.timeouts,
        };
        (Some(resource), self.problems)
    }
}

/// Selected entry: its index in the binding if it is selected by name, and the server's definition, or the name
/// if the server does not offer it.
type Chosen<'a> = (Option<usize>, Result<&'a Definition, &'a str>);

fn choose<'a>(selection: &'a Selection, offered: &'a [Definition]) -> Vec<Chosen<'a>> {
    match selection {
        Selection::All => offered.iter().map(|it| (None, Ok(it))).collect(),
        Selection::Only(names) => {
            // If a server lists a name twice, the first definition is used.
            let by_name = offered.iter().rev().map(|it| (it.name.as_str(), it));
            let by_name: BTreeMap<&str, &Definition> = by_name.collect();
            let named = |(at, name): (usize, &'a String)| {
                let found = by_name.get(name.as_str()).copied();
                (Some(at), found.ok_or(name.as_str()))
            };
            names.iter().enumerate().map(named).collect()
        }
    }
}

/// Claims names for the selected definitions. Returns the problems by field.
fn claim(
    claims: &mut Claims,
    (binding, list): (&str, &str),
    server: &Slug,
    chosen: Vec<Chosen<'_>>,
    shapes: &BTreeMap<String, Shape>,
) -> Vec<(String, ProblemKind)> {
    let mut problems = Vec::new();
    for (at, found) in chosen {
        let claimed = match found {
            Ok(definition) => claims.claim(server, definition, shapes.get(&definition.name)),
            Err(name) => Err(ProblemKind::NotOffered {
                server: server.clone(),
                what: claims.what(),
                name: name.to_owned(),
            }),
        };
        if let Err(kind) = claimed {
            let field = at.map_or_else(
                || binding.to_owned(),
                |at| format!("{binding}.{list}[{at}]"),
            );
            problems.push((field, kind));
        }
    }
    problems
}

/// Returns the features that a proxy must support to serve these tools. A proxy of an earlier build would let
/// callers choose arguments that are fixed or hidden here; it must deny the gateway instead.
fn must_understand(tools: &[ExposedTool]) -> Vec<String> {
    let shapes = tools.iter().filter_map(|tool| tool.shape.as_ref());
    let arguments = |shape: &ToolShape| !shape.fixed.is_empty() || !shape.hidden.is_empty();
    let any = shapes.into_iter().any(arguments);
    let field = any.then(|| SHAPED_ARGUMENTS.to_owned());
    field.into_iter().collect()
}

fn exposed_tool(claim: Claim) -> ExposedTool {
    ExposedTool {
        exposed: claim.exposed,
        server: claim.server,
        original: claim.original,
        digest: claim.digest,
        shape: claim.shape,
    }
}

fn exposed_prompt(claim: Claim) -> ExposedPrompt {
    ExposedPrompt {
        exposed: claim.exposed,
        server: claim.server,
        original: claim.original,
        digest: claim.digest,
    }
}
