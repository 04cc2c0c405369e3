//! Conversion of gateways with their bindings. The status is computed, not stored, and ignored in received messages.

use std::{collections::BTreeMap, time::Duration};

use toolgate_model::{
    BindingSelection, Gateway, PrefixMode, ServerBinding, ToolListing, ToolShapeSpec,
};
use toolgate_proto::admin::v1 as pb;

use super::{
    identity_provider::{admitted, admitted_to_proto},
    meta::{meta, meta_to_proto, name},
};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits, rate_limit, resource_name, tool_shape as arguments,
};

invalid! {
    /// Error of an invalid gateway message.
    InvalidGateway: "gateway";
}

impl ProtoConversion for Gateway {
    type Proto = pb::Gateway;
    type Invalid = InvalidGateway;

    fn from_proto(proto: &pb::Gateway) -> Result<Self, InvalidGateway> {
        let empty = pb::GatewaySpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = resource_name::parse::<Gateway>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let prefix = match field::enum_value("spec.prefix", spec.prefix)? {
            pb::PrefixMode::Unspecified | pb::PrefixMode::Always => PrefixMode::Always,
            pb::PrefixMode::Single => PrefixMode::Single,
            pb::PrefixMode::Never => PrefixMode::Never,
        };
        let listing = match field::enum_value("spec.listing", spec.listing)? {
            pb::ToolListing::Unspecified | pb::ToolListing::All => ToolListing::All,
            pb::ToolListing::Progressive => ToolListing::Progressive,
        };
        let bindings = field::each("spec.bindings", &spec.bindings, limits::BINDINGS, binding)?;
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            prefix,
            listing,
            bindings,
            instructions: field::text(
                "spec.instructions",
                &spec.instructions,
                limits::INSTRUCTIONS,
            )?,
            rate_limits: rate_limit::limits("spec.rate_limits", &spec.rate_limits)?,
            identity_providers: admitted(&spec.identity_providers)?,
        })
    }

    fn to_proto(&self) -> pb::Gateway {
        let prefix = match self.prefix {
            PrefixMode::Always => pb::PrefixMode::Always,
            PrefixMode::Single => pb::PrefixMode::Single,
            PrefixMode::Never => pb::PrefixMode::Never,
        };
        let listing = match self.listing {
            ToolListing::All => pb::ToolListing::All,
            ToolListing::Progressive => pb::ToolListing::Progressive,
        };
        pb::Gateway {
            metadata: meta_to_proto(resource_name::format::<Gateway>(&self.name), &self.meta),
            spec: Some(pb::GatewaySpec {
                description: self.meta.description.clone(),
                prefix: prefix.into(),
                bindings: self.bindings.iter().map(binding_to_proto).collect(),
                instructions: self.instructions.clone(),
                listing: listing.into(),
                rate_limits: rate_limit::limits_to_proto(&self.rate_limits),
                identity_providers: admitted_to_proto(&self.identity_providers),
            }),
            status: None,
        }
    }
}

fn binding(given: &pb::Binding) -> Result<ServerBinding, FieldViolation> {
    let server = field::slug("server", &given.server)?;
    let tools = selection("tools", &given.tools, given.all_tools)?;
    let defaults = ServerBinding::tools(server, tools);
    let prompts = match given.all_prompts {
        None if given.prompts.is_empty() => defaults.prompts,
        all => selection("prompts", &given.prompts, all.unwrap_or_default())?,
    };
    Ok(ServerBinding {
        prompts,
        resources: given.resources.unwrap_or(defaults.resources),
        shapes: shapes(&given.shapes)?,
        timeout: timeout(given.timeout.as_ref())?,
        rate_limits: rate_limit::limits("rate_limits", &given.rate_limits)?,
        ..defaults
    })
}

fn binding_to_proto(given: &ServerBinding) -> pb::Binding {
    let (tools, all_tools) = selection_to_proto(&given.tools);
    let (prompts, all_prompts) = selection_to_proto(&given.prompts);
    pb::Binding {
        server: given.server.to_string(),
        tools,
        all_tools,
        prompts,
        all_prompts: Some(all_prompts),
        resources: Some(given.resources),
        shapes: given.shapes.iter().map(shape_to_proto).collect(),
        timeout: given.timeout.map(field::to_duration),
        rate_limits: rate_limit::limits_to_proto(&given.rate_limits),
    }
}

fn timeout(given: Option<&prost_types::Duration>) -> Result<Option<Duration>, FieldViolation> {
    let checked = given.map(|it| field::timeout("timeout", Some(it), Duration::ZERO));
    checked.transpose()
}

fn shapes(
    given: &BTreeMap<String, pb::Shape>,
) -> Result<BTreeMap<String, ToolShapeSpec>, FieldViolation> {
    field::max_count("shapes", given.len(), limits::TOOLS)?;
    let one = |(tool, given): (&String, &pb::Shape)| {
        let path = format!("shapes[{tool:?}]");
        let tool = field::required(&path, tool, limits::TOOL_NAME)?;
        let shape = shape(given).map_err(|violation| violation.under(&path))?;
        Ok((tool, shape))
    };
    given.iter().map(one).collect()
}

fn shape(given: &pb::Shape) -> Result<ToolShapeSpec, FieldViolation> {
    let alias = given.alias.as_ref();
    let alias = alias.map(|it| field::required("alias", it, limits::TOOL_NAME));
    Ok(ToolShapeSpec {
        alias: alias.transpose()?,
        description: arguments::description(given.description.as_ref())?,
        fixed: arguments::fixed(&given.fixed)?,
        hidden: arguments::hidden(&given.hidden)?,
    })
}

fn shape_to_proto((tool, given): (&String, &ToolShapeSpec)) -> (String, pb::Shape) {
    let shape = pb::Shape {
        alias: given.alias.clone(),
        description: given.description.clone(),
        fixed: given.fixed.clone(),
        hidden: given.hidden.clone(),
    };
    (tool.clone(), shape)
}

fn selection(field: &str, given: &[String], all: bool) -> Result<BindingSelection, FieldViolation> {
    if !all {
        field::max_count(field, given.len(), limits::TOOLS)?;
        for (at, name) in given.iter().enumerate() {
            field::required(&format!("{field}[{at}]"), name, limits::TOOL_NAME)?;
        }
        return Ok(BindingSelection::Only(given.to_vec()));
    }
    if given.is_empty() {
        return Ok(BindingSelection::All);
    }
    let reason = format!("must be empty together with `all_{field}`: keep one of the two");
    Err(FieldViolation::new(field, reason))
}

fn selection_to_proto(given: &BindingSelection) -> (Vec<String>, bool) {
    match given {
        BindingSelection::All => (Vec::new(), true),
        BindingSelection::Only(names) => (names.clone(), false),
    }
}
