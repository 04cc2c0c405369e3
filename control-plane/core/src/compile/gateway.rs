//! Compiles one gateway: resolves its bindings to exposed tools, prompts and resources. The first binding to claim
//! a name keeps it. Entries that cannot be exposed are hidden and reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use toolgate_mcp::object;
use toolgate_model::{
    BindingSelection, Definition, Gateway, ObjectName, PrefixMode, ServerBinding,
    ServerDefinitions, Slug, ToolListing, ToolShapeSpec, TrustedIssuer, UriMode,
    snapshot::{
        ExposedPrompt, ExposedTool, GatewayResource, RATE_LIMITS, RESERVED_TOOL_NAMES,
        SHAPED_ARGUMENTS, ScopedRateLimit, ToolShape,
    },
};

use crate::{limits, state::StoreState};

use super::{
    ConfigProblem, ExposedKind, ProblemKind, identity_providers,
    name_allocator::{ClaimedName, NameAllocator},
    rate_limits, server, shapes,
};

/// Maximum number of problems reported per gateway.
const MAX_PROBLEMS: usize = 100;

/// Compiles `gateway` into its resource and its problems.
pub fn compile(
    state: &StoreState,
    gateway: &Gateway,
) -> (Option<GatewayResource>, Vec<ConfigProblem>) {
    if !state.owns_gateway_id(&gateway.name) {
        let kind = ProblemKind::IdTaken(gateway.name.id.clone());
        let field = "metadata.name".to_owned();
        return (None, vec![ConfigProblem { field, kind }]);
    }
    let mut exposure = GatewayBuilder::new(gateway.prefix, gateway.listing);
    let mut bound = BTreeSet::new();
    if gateway.prefix == PrefixMode::Single && gateway.bindings.len() > 1 {
        let count = gateway.bindings.len();
        exposure.report("spec.bindings".to_owned(), ProblemKind::NotSingle(count));
    }
    for (index, binding) in active_bindings(gateway) {
        let field = format!("spec.bindings[{index}]");
        if !bound.insert(&binding.server) {
            let duplicate = ProblemKind::BoundTwice(binding.server.clone());
            exposure.report(format!("{field}.server"), duplicate);
            continue;
        }
        let name = ObjectName::new(gateway.name.org.clone(), binding.server.clone());
        match server_definitions(state, &name) {
            Ok(catalogue) => {
                for text in &catalogue.omissions {
                    let (server, text) = (binding.server.clone(), text.clone());
                    let kind = ProblemKind::DefinitionsOmitted { server, text };
                    exposure.report(format!("{field}.server"), kind);
                }
                exposure.bind(&field, binding, catalogue);
            }
            Err(kind) => exposure.report(format!("{field}.server"), kind),
        }
    }
    let rate_limits = rate_limits::compile(state, gateway, active_bindings(gateway));
    let (trusted, problems) = identity_providers::compile(state, gateway);
    for problem in problems {
        exposure.report(problem.field, problem.kind);
    }
    exposure.into_resource(gateway, rate_limits, trusted)
}

/// Returns the bindings that the prefix mode allows, with their index.
pub(super) fn active_bindings(gateway: &Gateway) -> impl Iterator<Item = (usize, &ServerBinding)> {
    let at_most = match gateway.prefix {
        PrefixMode::Single => 1,
        PrefixMode::Always | PrefixMode::Never => limits::GATEWAY_BINDINGS,
    };
    gateway.bindings.iter().enumerate().take(at_most)
}

fn server_definitions<'a>(
    state: &'a StoreState,
    name: &ObjectName,
) -> Result<&'a ServerDefinitions, ProblemKind> {
    let Some(stored) = state.servers.get(name) else {
        return Err(ProblemKind::NoServer(name.clone()));
    };
    if server::compile(state, stored).is_err() {
        return Err(ProblemKind::ServerNotServed(name.id.clone()));
    }
    match state.definitions.get(name) {
        Some(catalogue) if catalogue.era.is_some() || offers_anything(catalogue) => Ok(catalogue),
        Some(_) | None => Err(ProblemKind::NotProbed(name.id.clone())),
    }
}

/// Returns `true` if an earlier probe found tools, prompts or resources.
fn offers_anything(catalogue: &ServerDefinitions) -> bool {
    !catalogue.tools.is_empty() || !catalogue.prompts.is_empty() || offers_resources(catalogue)
}

/// Returns `true` if the server has resources. The capability counts too: a server may have resources that it
/// neither lists nor covers by a template.
fn offers_resources(catalogue: &ServerDefinitions) -> bool {
    !catalogue.resources.is_empty()
        || !catalogue.templates.is_empty()
        || object::get(catalogue.capabilities.as_bytes(), "resources").is_some()
}

/// Gateway resource under construction.
struct GatewayBuilder<'a> {
    uris: UriMode,
    tools: NameAllocator,
    prompts: NameAllocator,
    resources: Vec<Slug>,
    timeouts: BTreeMap<Slug, Duration>,
    seen_uris: BTreeMap<&'a str, &'a Slug>,
    problems: Vec<ConfigProblem>,
}

impl<'a> GatewayBuilder<'a> {
    fn new(mode: PrefixMode, listing: ToolListing) -> Self {
        let own: &[&str] = match listing {
            ToolListing::All => &[],
            ToolListing::Progressive => &RESERVED_TOOL_NAMES,
        };
        Self {
            uris: match mode {
                PrefixMode::Always => UriMode::Prefixed,
                PrefixMode::Single | PrefixMode::Never => UriMode::Through,
            },
            tools: NameAllocator::new(ExposedKind::Tool, mode, limits::GATEWAY_TOOLS)
                .with_reserved(own),
            prompts: NameAllocator::new(ExposedKind::Prompt, mode, limits::GATEWAY_PROMPTS),
            resources: Vec::new(),
            timeouts: BTreeMap::new(),
            seen_uris: BTreeMap::new(),
            problems: Vec::new(),
        }
    }

    fn report(&mut self, field: String, kind: ProblemKind) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(ConfigProblem { field, kind });
        }
    }

    fn bind(&mut self, field: &str, binding: &'a ServerBinding, catalogue: &'a ServerDefinitions) {
        let server = &binding.server;
        let tools = select_definitions(&binding.tools, &catalogue.tools);
        let shaped = &binding.shapes;
        let mut tools = claim_names(&mut self.tools, (field, "tools"), server, tools, shaped);
        tools.extend(shapes::ineffective_shapes(field, binding, catalogue));
        let prompts = select_definitions(&binding.prompts, &catalogue.prompts);
        let shaped = &BTreeMap::new();
        let prompts = claim_names(
            &mut self.prompts,
            (field, "prompts"),
            server,
            prompts,
            shaped,
        );
        for (field, kind) in tools.into_iter().chain(prompts) {
            self.report(field, kind);
        }
        let limits = &binding.rate_limits;
        for problem in rate_limits::unknown_tools(field, limits, server, catalogue) {
            self.report(problem.field, problem.kind);
        }
        if let Some(most) = binding.timeout {
            self.timeouts.insert(server.clone(), most);
        }
        if binding.resources && offers_resources(catalogue) {
            self.resources.push(server.clone());
            self.report_duplicate_uris(field, server, catalogue);
        }
    }

    /// Reports resources that cannot be read because a server bound earlier lists the same URI.
    fn report_duplicate_uris(
        &mut self,
        field: &str,
        server: &'a Slug,
        catalogue: &'a ServerDefinitions,
    ) {
        if self.uris == UriMode::Prefixed {
            return;
        }
        for resource in &catalogue.resources {
            let first = *self.seen_uris.entry(&resource.name).or_insert(server);
            if first != server {
                let kind = ProblemKind::DuplicateUri {
                    uri: resource.name.clone(),
                    server: server.clone(),
                    first: first.clone(),
                };
                self.report(format!("{field}.resources"), kind);
            }
        }
    }

    fn into_resource(
        mut self,
        gateway: &Gateway,
        rate_limits: Vec<ScopedRateLimit>,
        identity_providers: Vec<TrustedIssuer>,
    ) -> (Option<GatewayResource>, Vec<ConfigProblem>) {
        let excess = [self.tools.limit_problem(), self.prompts.limit_problem()];
        for kind in excess.into_iter().flatten() {
            self.report("spec.bindings".to_owned(), kind);
        }
        let mut alike = self.tools.confusable_names();
        alike.extend(self.prompts.confusable_names());
        for kind in alike {
            self.report("spec.bindings".to_owned(), kind);
        }
        let mut servers: Vec<Slug> = Vec::new();
        for (_, binding) in active_bindings(gateway) {
            if !servers.contains(&binding.server) {
                servers.push(binding.server.clone());
            }
        }
        let tools = self.tools.sorted(exposed_tool);
        let uid = gateway.meta.uid;
        let resource = GatewayResource {
            uid: (!uid.is_nil()).then_some(uid),
            display_name: gateway.meta.display_name.clone(),
            instructions: gateway.instructions.clone(),
            must_understand: must_understand(&tools, &rate_limits),
            tools,
            prompts: self.prompts.sorted(exposed_prompt),
            resources: self.resources,
            uris: self.uris,
            listing: gateway.listing,
            servers,
            timeouts: self.timeouts,
            rate_limits,
            identity_providers,
        };
        (Some(resource), self.problems)
    }
}

/// Selected entry: its index in the binding if it is selected by name, and the server's definition, or the name
/// if the server does not offer it.
type SelectedEntry<'a> = (Option<usize>, Result<&'a Definition, &'a str>);

fn select_definitions<'a>(
    selection: &'a BindingSelection,
    offered: &'a [Definition],
) -> Vec<SelectedEntry<'a>> {
    match selection {
        BindingSelection::All => offered.iter().map(|it| (None, Ok(it))).collect(),
        BindingSelection::Only(names) => {
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
fn claim_names(
    claims: &mut NameAllocator,
    (binding, list): (&str, &str),
    server: &Slug,
    chosen: Vec<SelectedEntry<'_>>,
    shapes: &BTreeMap<String, ToolShapeSpec>,
) -> Vec<(String, ProblemKind)> {
    let mut problems = Vec::new();
    for (at, found) in chosen {
        let claimed = match found {
            Ok(definition) => claims.claim(server, definition, shapes.get(&definition.name)),
            Err(name) => Err(ProblemKind::NotOffered {
                server: server.clone(),
                what: claims.kind(),
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

/// Returns the features that a proxy must support to serve the gateway. A proxy of an earlier build would let callers
/// choose arguments that are fixed or hidden here, or would not limit; it must deny the gateway instead.
fn must_understand(tools: &[ExposedTool], rate_limits: &[ScopedRateLimit]) -> Vec<String> {
    let shapes = tools.iter().filter_map(|tool| tool.shape.as_ref());
    let arguments = |shape: &ToolShape| !shape.fixed.is_empty() || !shape.hidden.is_empty();
    let any = shapes.into_iter().any(arguments);
    let fields = [
        (any, SHAPED_ARGUMENTS),
        (!rate_limits.is_empty(), RATE_LIMITS),
    ];
    let fields = fields.into_iter().filter(|(needed, _)| *needed);
    fields.map(|(_, field)| field.to_owned()).collect()
}

fn exposed_tool(claim: ClaimedName) -> ExposedTool {
    ExposedTool {
        exposed: claim.exposed,
        server: claim.server,
        original: claim.original,
        digest: claim.digest,
        shape: claim.shape,
    }
}

fn exposed_prompt(claim: ClaimedName) -> ExposedPrompt {
    ExposedPrompt {
        exposed: claim.exposed,
        server: claim.server,
        original: claim.original,
        digest: claim.digest,
    }
}
