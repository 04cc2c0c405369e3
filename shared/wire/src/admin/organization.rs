//! Conversion of organizations.

use toolgate_model::Organization;
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    ProtoConversion, invalid::FieldViolation, invalid::invalid, rate_limit, resource_name,
};

invalid! {
    /// Error of an invalid organization message.
    InvalidOrganization: "organization";
}

impl ProtoConversion for Organization {
    type Proto = pb::Organization;
    type Invalid = InvalidOrganization;

    fn from_proto(proto: &pb::Organization) -> Result<Self, InvalidOrganization> {
        let id = resource_name::parse::<Organization>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let empty = pb::OrganizationSpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        Ok(Self {
            id,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            rate_limits: rate_limit::limits("spec.rate_limits", &spec.rate_limits)?,
        })
    }

    fn to_proto(&self) -> pb::Organization {
        pb::Organization {
            metadata: meta_to_proto(resource_name::format::<Organization>(&self.id), &self.meta),
            spec: Some(pb::OrganizationSpec {
                description: self.meta.description.clone(),
                rate_limits: rate_limit::limits_to_proto(&self.rate_limits),
            }),
        }
    }
}
