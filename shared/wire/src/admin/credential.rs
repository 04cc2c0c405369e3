//! Conversion of credentials. Values are received in plaintext, separate from the model, and are
//! never sent back.

use toolgate_model::{
    Credential, CredentialHosts, CredentialKind, FieldPlace, ObjectMeta, ObjectName, SealedBlob,
    SealedField,
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

/// Credential as received: validated, with its values in plaintext.
#[derive(Debug, PartialEq, Eq)]
pub struct CredentialInput {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Origins that the values may be sent to. Empty only in stores written by builds that did not know the field.
    pub hosts: CredentialHosts,
    /// Headers, then query parameters.
    pub fields: CredentialFields,
}

/// Headers and query parameters of a credential as received.
#[derive(Debug, PartialEq, Eq)]
pub enum CredentialFields {
    /// Single header, the form that all builds know.
    StaticHeader(FieldInput),
    /// Several headers and query parameters.
    Several(Vec<FieldInput>),
}

/// Header or query parameter as received.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldInput {
    /// Path of the value in the message, for violations.
    pub path: String,
    /// Part of the request.
    pub place: FieldPlace,
    /// Header name in lower case, or name of the query parameter before percent-encoding.
    pub name: String,
    /// Value. `None` keeps the stored value.
    pub value: Option<PlaintextValue>,
}

impl FieldInput {
    fn new(
        place: FieldPlace,
        path: &str,
        name: (&str, &str),
        value: &str,
    ) -> Result<Self, FieldViolation> {
        let (name_field, name) = name;
        let name = field::request_field_name(place, &format!("{path}.{name_field}"), name)?;
        let path = format!("{path}.value");
        let value = match value.as_bytes() {
            [] => None,
            value => {
                field::request_field_value(place, &path, value)?;
                Some(PlaintextValue::new(value.to_vec()))
            }
        };
        Ok(Self {
            path,
            place,
            name,
            value,
        })
    }
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
        let fields = match kind {
            Some(pb::credential_spec::Kind::StaticHeader(given)) => {
                CredentialFields::StaticHeader(header("spec.static_header", given)?)
            }
            Some(pb::credential_spec::Kind::RequestFields(given)) => {
                CredentialFields::Several(request_fields(given)?)
            }
            None => {
                let reason = "is required: set `static_header` with `header` and `value`, or `request_fields`";
                return Err(FieldViolation::new("spec.static_header", reason).into());
            }
        };
        Ok(Self {
            name,
            meta,
            hosts,
            fields,
        })
    }

    /// Returns the credential with the stored values that `value_of` returns for its headers and query parameters.
    pub fn with_values<E>(
        self,
        mut value_of: impl FnMut(&CredentialFields, &FieldInput) -> Result<SealedBlob, E>,
    ) -> Result<Credential, E> {
        let kind = match &self.fields {
            CredentialFields::StaticHeader(only) => CredentialKind::StaticHeader {
                value: value_of(&self.fields, only)?,
                header: only.name.clone(),
            },
            CredentialFields::Several(several) => {
                let one = |given: &FieldInput| {
                    Ok(SealedField {
                        place: given.place,
                        value: value_of(&self.fields, given)?,
                        name: given.name.clone(),
                    })
                };
                CredentialKind::RequestFields(several.iter().map(one).collect::<Result<_, E>>()?)
            }
        };
        Ok(Credential {
            name: self.name,
            meta: self.meta,
            hosts: self.hosts,
            kind,
        })
    }
}

fn header(path: &str, given: &pb::StaticHeader) -> Result<FieldInput, FieldViolation> {
    let name = ("header", &*given.header);
    FieldInput::new(FieldPlace::Header, path, name, &given.value)
}

fn request_fields(given: &pb::RequestFields) -> Result<Vec<FieldInput>, FieldViolation> {
    const PREFIX: &str = "spec.request_fields.";
    field::request_field_counts(PREFIX, given.headers.len(), given.query.len())?;
    let headers = given.headers.iter().enumerate();
    let headers = headers.map(|(at, given)| header(&format!("{PREFIX}headers[{at}]"), given));
    let query = given.query.iter().enumerate().map(|(at, given)| {
        let path = format!("{PREFIX}query[{at}]");
        FieldInput::new(
            FieldPlace::Query,
            &path,
            ("name", &given.name),
            &given.value,
        )
    });
    let fields = headers.chain(query).collect::<Result<Vec<_>, _>>()?;
    let names = fields.iter().map(|field| (field.place, &*field.name));
    field::unique_request_fields(PREFIX, names)?;
    Ok(fields)
}

/// Converts a stored message and its sealed values, in the order of its headers and query parameters, to a credential.
pub fn credential(
    proto: &pb::Credential,
    values: Vec<SealedBlob>,
) -> Result<Credential, InvalidCredential> {
    let mut values = values.into_iter();
    let counted = || FieldViolation::new("values", "are not one for each header and parameter");
    let sealed = CredentialInput::from_proto(proto)?
        .with_values(|_, _| values.next().ok_or_else(counted))?;
    match values.next() {
        Some(_) => Err(counted().into()),
        None => Ok(sealed),
    }
}

/// Converts to a message, without the values.
pub fn credential_to_proto(credential: &Credential) -> pb::Credential {
    let kind = match &credential.kind {
        CredentialKind::StaticHeader { header, value: _ } => {
            pb::credential_spec::Kind::StaticHeader(header_to_proto(header))
        }
        CredentialKind::RequestFields(fields) => {
            let mut message = pb::RequestFields::default();
            for field in fields {
                match field.place {
                    FieldPlace::Header => message.headers.push(header_to_proto(&field.name)),
                    FieldPlace::Query => message.query.push(pb::QueryParameter {
                        name: field.name.clone(),
                        value: String::new(),
                    }),
                }
            }
            pb::credential_spec::Kind::RequestFields(message)
        }
    };
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

fn header_to_proto(name: &str) -> pb::StaticHeader {
    pb::StaticHeader {
        header: name.to_owned(),
        value: String::new(),
    }
}
