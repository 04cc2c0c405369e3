//! Credentials. The value comes in open, beside the model, and never goes out.

use toolgate_model::{Credential, CredentialKind, Meta, Name, SealedBlob};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    OpenValue, field,
    invalid::{Violation, invalid},
    resource_name::Collection,
};

invalid! {
    /// Why a message is no credential.
    InvalidCredential: "credential";
}

/// A credential as it comes in: everything checked, the value still open.
#[derive(Debug, PartialEq, Eq)]
pub struct CredentialInput {
    /// Owner and id.
    pub name: Name,
    /// Beside its own fields.
    pub meta: Meta,
    /// Lower-case header name.
    pub header: String,
    /// The header value; none keeps the stored one.
    pub value: Option<OpenValue>,
}

impl CredentialInput {
    /// Checks a message.
    pub fn from_proto(proto: &pb::Credential) -> Result<Self, InvalidCredential> {
        let description = proto.spec.as_ref().map_or("", |s| &s.description);
        let name = Collection::Credentials
            .parse(name(proto.metadata.as_ref())?)
            .map_err(|e| Violation::new("metadata.name", e))?;
        let meta = meta(proto.metadata.as_ref(), description)?;
        let kind = proto.spec.as_ref().and_then(|spec| spec.kind.as_ref());
        let Some(pb::credential_spec::Kind::StaticHeader(given)) = kind else {
            let reason = "is required: set `static_header` with `header` and `value`";
            return Err(Violation::new("spec.static_header", reason).into());
        };
        let header = field::header_name("spec.static_header.header", &given.header)?;
        let value = match given.value.as_bytes() {
            [] => None,
            value => {
                field::header_value("spec.static_header.value", value)?;
                Some(OpenValue::new(value.to_vec()))
            }
        };
        Ok(Self {
            name,
            meta,
            header,
            value,
        })
    }

    /// The credential, once its value is sealed.
    pub fn sealed(self, value: SealedBlob) -> Credential {
        let header = self.header;
        Credential {
            name: self.name,
            meta: self.meta,
            kind: CredentialKind::StaticHeader { header, value },
        }
    }
}

/// A credential from its stored message and its sealed value.
pub fn credential(
    proto: &pb::Credential,
    value: SealedBlob,
) -> Result<Credential, InvalidCredential> {
    CredentialInput::from_proto(proto).map(|input| input.sealed(value))
}

/// As a message, without the value.
pub fn credential_to_proto(credential: &Credential) -> pb::Credential {
    let CredentialKind::StaticHeader { header, value: _ } = &credential.kind;
    let kind = pb::credential_spec::Kind::StaticHeader(pb::StaticHeader {
        header: header.clone(),
        value: String::new(),
    });
    let name = Collection::Credentials.format(&credential.name);
    pb::Credential {
        metadata: meta_to_proto(name, &credential.meta),
        spec: Some(pb::CredentialSpec {
            description: credential.meta.description.clone(),
            kind: Some(kind),
        }),
    }
}
