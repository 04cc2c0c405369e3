//! Gateways with their bindings. The status is compiled, not stored: readers ignore it.

use toolgate_model::{Binding, Gateway, PrefixMode, ToolSelection};
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
        field::cap("spec.bindings", spec.bindings.len(), limits::BINDINGS)?;
        let bindings = spec.bindings.iter().enumerate();
        let bindings: Result<Vec<_>, Violation> = bindings
            .map(|(at, given)| binding(given).map_err(|v| v.under(&format!("spec.bindings[{at}]"))))
            .collect();
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            prefix,
            bindings: bindings?,
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
    field::cap("tools", given.tools.len(), limits::TOOLS)?;
    let tools = if given.all_tools {
        if !given.tools.is_empty() {
            let reason = "must be empty together with `all_tools`: keep one of the two";
            return Err(Violation::new("tools", reason));
        }
        ToolSelection::All
    } else {
        for (at, tool) in given.tools.iter().enumerate() {
            field::required(&format!("tools[{at}]"), tool, limits::TOOL_NAME)?;
        }
        ToolSelection::Only(given.tools.clone())
    };
    Ok(Binding { server, tools })
}

fn binding_to_proto(given: &Binding) -> pb::Binding {
    let (all_tools, tools) = match &given.tools {
        ToolSelection::All => (true, Vec::new()),
        ToolSelection::Only(tools) => (false, tools.clone()),
    };
    pb::Binding {
        server: given.server.to_string(),
        tools,
        all_tools,
    }
}
