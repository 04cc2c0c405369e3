//! Gateways with their bindings. The status is compiled, not stored: readers ignore it.

use toolgate_model::{Binding, Gateway, PrefixMode, Selection};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    Wire, field,
    invalid::{Violation, invalid},
    limits,
    resource_name::Collection,
};

invalid! {
    /// Why a message is no gateway.
    InvalidGateway: "gateway";
}

impl Wire for Gateway {
    type Proto = pb::Gateway;
    type Invalid = InvalidGateway;

    fn from_proto(proto: &pb::Gateway) -> Result<Self, InvalidGateway> {
        let empty = pb::GatewaySpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = Collection::Gateways
            .parse(name(proto.metadata.as_ref())?)
            .map_err(|e| Violation::new("metadata.name", e))?;
        let prefix = match field::known("spec.prefix", spec.prefix)? {
            pb::PrefixMode::Unspecified | pb::PrefixMode::Always => PrefixMode::Always,
            pb::PrefixMode::Single => PrefixMode::Single,
            pb::PrefixMode::Never => PrefixMode::Never,
        };
        let bindings = field::each("spec.bindings", &spec.bindings, limits::BINDINGS, binding)?;
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            prefix,
            bindings,
            instructions: field::text(
                "spec.instructions",
                &spec.instructions,
                limits::INSTRUCTIONS,
            )?,
        })
    }

    fn to_proto(&self) -> pb::Gateway {
        let prefix = match self.prefix {
            PrefixMode::Always => pb::PrefixMode::Always,
            PrefixMode::Single => pb::PrefixMode::Single,
            PrefixMode::Never => pb::PrefixMode::Never,
        };
        pb::Gateway {
            metadata: meta_to_proto(Collection::Gateways.format(&self.name), &self.meta),
            spec: Some(pb::GatewaySpec {
                description: self.meta.description.clone(),
                prefix: prefix.into(),
                bindings: self.bindings.iter().map(binding_to_proto).collect(),
                instructions: self.instructions.clone(),
            }),
            status: None,
        }
    }
}

fn binding(given: &pb::Binding) -> Result<Binding, Violation> {
    let server = field::slug("server", &given.server)?;
    let tools = selection("tools", &given.tools, given.all_tools)?;
    let unsaid = Binding::tools(server, tools);
    let prompts = match given.all_prompts {
        None if given.prompts.is_empty() => unsaid.prompts,
        all => selection("prompts", &given.prompts, all.unwrap_or_default())?,
    };
    Ok(Binding {
        prompts,
        resources: given.resources.unwrap_or(unsaid.resources),
        ..unsaid
    })
}

fn binding_to_proto(given: &Binding) -> pb::Binding {
    let (tools, all_tools) = selection_to_proto(&given.tools);
    let (prompts, all_prompts) = selection_to_proto(&given.prompts);
    pb::Binding {
        server: given.server.to_string(),
        tools,
        all_tools,
        prompts,
        all_prompts: Some(all_prompts),
        resources: Some(given.resources),
    }
}

fn selection(field: &str, given: &[String], all: bool) -> Result<Selection, Violation> {
    if !all {
        field::cap(field, given.len(), limits::TOOLS)?;
        for (at, name) in given.iter().enumerate() {
            field::required(&format!("{field}[{at}]"), name, limits::TOOL_NAME)?;
        }
        return Ok(Selection::Only(given.to_vec()));
    }
    if given.is_empty() {
        return Ok(Selection::All);
    }
    let reason = format!("must be empty together with `all_{field}`: keep one of the two");
    Err(Violation::new(field, reason))
}

fn selection_to_proto(given: &Selection) -> (Vec<String>, bool) {
    match given {
        Selection::All => (Vec::new(), true),
        Selection::Only(names) => (names.clone(), false),
    }
}
