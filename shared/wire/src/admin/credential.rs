//! Conversion of credentials. The value is received in plaintext, separate from the model, and is never sent back.

use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, ObjectMeta, ObjectName, SealedBlob,
};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    PlaintextValue, field,
    invalid::{FieldViolation, invalid},
    resource_name,
};

invalid! {
    /// Error of an invalid credential message.
    InvalidCredential: "credential";
}

/// Credential as received: validated, with its value in plaintext.
#[derive(Debug, PartialEq, Eq)]
pub struct CredentialInput {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Origins that the value may be sent to. Empty only in stores written by builds that did not know the field.
    pub hosts: CredentialHosts,
    /// Header name in lower case.
    pub header: String,
    /// Header value. `None` keeps the stored value.
    pub value: Option<PlaintextValue>,
}

impl CredentialInput {
    /// Validates a message.
    pub fn from_proto(proto: &pb::Credential) -> Result<Self, InvalidCredential> {
        let description = proto.spec.as_ref().map_or("", |s| &s.description);
        let name = resource_name::parse::<Credential>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let meta = meta(proto.metadata.as_ref(), description)?;
        let hosts = proto.spec.as_ref().map_or(&[][..], |spec| &spec.hosts);
        let hosts = field::credential_hosts("spec.hosts", hosts)?;
        let kind = proto.spec.as_ref().and_then(|spec| spec.kind.as_ref());
        let Some(pb::credential_spec::Kind::StaticHeader(given)) = kind else {
            let reason = "is required: set `static_header` with `header` and `value`";
            return Err(FieldViolation::new("spec.static_header", reason).into());
        };
        let header = field::header_name("spec.static_header.header", &given.header)?;
        let value = match given.value.as_bytes() {
            [] => None,
            value => {
                field::header_value("spec.static_header.value", value)?;
                Some(PlaintextValue::new(value.to_vec()))
            }
        };
        Ok(Self {
            name,
            meta,
            hosts,
            header,
            value,
        })
    }

    /// Returns the credential with its sealed value.
    pub fn sealed(self, value: SealedBlob) -> Credential {
        let header = self.header;
        Credential {
            name: self.name,
            meta: self.meta,
            hosts: self.hosts,
            kind: CredentialKind::StaticHeader { header, value },
        }
    }
}

/// Converts a stored message and its sealed value to a credential.
pub fn credential(
    proto: &pb::Credential,
    value: SealedBlob,
) -> Result<Credential, InvalidCredential> {
    CredentialInput::from_proto(proto).map(|input| input.sealed(value))
}

/// Converts to a message, without the value.
pub fn credential_to_proto(credential: &Credential) -> pb::Credential {
    let CredentialKind::StaticHeader { header, value: _ } = &credential.kind;
    let kind = pb::credential_spec::Kind::StaticHeader(pb::StaticHeader {
        header: header.clone(),
        value: String::new(),
    });
    let name = resource_name::format::<Credential>(&credential.name);
    pb::Credential {
        metadata: meta_to_proto(name, &credential.meta),
        spec: Some(pb::CredentialSpec {
            description: credential.meta.description.clone(),
            hosts: field::credential_hosts_to_proto(&credential.hosts),
            kind: Some(kind),
        }),
    }
}
