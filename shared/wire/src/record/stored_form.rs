//! Stored form of the kinds. Most kinds are stored as their message of the admin API. Kinds with values that no message
//! contains, or with values that need not be stored, have a form of their own.

use std::collections::BTreeMap;

use toolgate_model::{
    Credential, CredentialKind, SealedBlob, ServerDefinitions, Slug, Token, Uid, for_each_kind,
};
use toolgate_proto::{admin::v1 as admin_pb, store::v1 as pb};

use crate::{InvalidMessage, ProtoConversion, admin, field, invalid::FieldViolation, limits};

/// Object that can be stored.
pub(super) trait StoredForm: Sized {
    /// Message in the store.
    type RecordMessage;

    /// Converts to the stored message.
    fn to_stored(&self) -> Self::RecordMessage;

    /// Validates and converts the stored message.
    fn from_stored(stored: &Self::RecordMessage) -> Result<Self, FieldViolation>;
}

/// Implements the usual form for a kind; the kinds named here have their own.
macro_rules! usual_form {
    (Credential, $Object:ty) => {};
    (Token, $Object:ty) => {};
    (Definitions, $Object:ty) => {};
    ($Kind:ident, $Object:ty) => {
        impl StoredForm for $Object {
            type RecordMessage = <Self as ProtoConversion>::Proto;

            fn to_stored(&self) -> Self::RecordMessage {
                self.to_proto()
            }

            fn from_stored(stored: &Self::RecordMessage) -> Result<Self, FieldViolation> {
                Self::from_proto(stored).map_err(violation)
            }
        }
    };
}

macro_rules! usual_forms {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) $drest:tt)* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) $orest:tt)* }
    ) => {
        $(usual_form!($D, $DObject);)*
        $(usual_form!($O, $OObject);)*
    };
}

for_each_kind!(usual_forms);

/// Adds the sealed values to the message.
impl StoredForm for Credential {
    type RecordMessage = pb::StoredCredential;

    fn to_stored(&self) -> pb::StoredCredential {
        let credential = Some(admin::credential_to_proto(self));
        match &self.kind {
            CredentialKind::StaticHeader { header: _, value } => pb::StoredCredential {
                credential,
                value: Some(sealed_to_proto(value)),
                values: Vec::new(),
            },
            CredentialKind::RequestFields(fields) => pb::StoredCredential {
                credential,
                value: None,
                values: fields.iter().map(|it| sealed_to_proto(&it.value)).collect(),
            },
        }
    }

    fn from_stored(stored: &pb::StoredCredential) -> Result<Self, FieldViolation> {
        let message = stored.credential.as_ref();
        let message = message.ok_or_else(|| missing("credential"))?;
        let values = stored.value.iter().chain(&stored.values).map(sealed);
        let values: Vec<SealedBlob> = values.collect::<Result<_, _>>()?;
        if values.is_empty() {
            return Err(missing("value"));
        }
        admin::credential(message, values).map_err(violation)
    }
}

/// Adds the hash of the secret to the message.
impl StoredForm for Token {
    type RecordMessage = pb::StoredToken;

    fn to_stored(&self) -> pb::StoredToken {
        let text = |(id, uid): (&Slug, &Uid)| (id.to_string(), uid.to_string());
        pb::StoredToken {
            token: Some(admin::token_to_proto(self)),
            hash: self.hash.0.to_vec(),
            gateway_uids: self.gateway_uids.iter().map(text).collect(),
        }
    }

    fn from_stored(stored: &pb::StoredToken) -> Result<Self, FieldViolation> {
        let token = stored.token.as_ref().ok_or_else(|| missing("token"))?;
        let hash = field::token_hash("hash", &stored.hash)?;
        let mut token = admin::token(token, hash).map_err(violation)?;
        token.meta.uid = Uid::of_token(&token.name, &token.hash);
        token.gateway_uids = gateway_uids(&stored.gateway_uids)?;
        Ok(token)
    }
}

fn gateway_uids(given: &BTreeMap<String, String>) -> Result<BTreeMap<Slug, Uid>, FieldViolation> {
    let one = |(id, uid): (&String, &String)| {
        let path = format!("gateway_uids[{id:?}]");
        let uid = uid.parse();
        Ok((
            field::slug(&path, id)?,
            uid.map_err(|e| FieldViolation::new(&path, e))?,
        ))
    };
    given.iter().map(one).collect()
}

/// Leaves out the descriptions, which are part of the definitions already.
impl StoredForm for ServerDefinitions {
    type RecordMessage = admin_pb::Catalogue;

    fn to_stored(&self) -> admin_pb::Catalogue {
        let mut message = self.to_proto();
        let lists = [
            &mut message.tools,
            &mut message.prompts,
            &mut message.resources,
            &mut message.templates,
        ];
        for definition in lists.into_iter().flatten() {
            definition.description.clear();
        }
        message
    }

    fn from_stored(stored: &admin_pb::Catalogue) -> Result<Self, FieldViolation> {
        Self::from_proto(stored).map_err(violation)
    }
}

/// Converts definitions whose lists are stored in parts: the record holds everything else, and names the parts.
pub(super) fn manifest_to_proto(definitions: &ServerDefinitions) -> pb::CatalogueManifest {
    let mut head = definitions.clone();
    head.clear_lists();
    pb::CatalogueManifest {
        catalogue: Some(head.to_proto()),
        parts: definitions.parts.iter().map(|it| it.0.to_vec()).collect(),
    }
}

/// Validates and converts definitions whose lists are stored in parts. The lists are empty until the parts are read.
pub(super) fn manifest(given: &pb::CatalogueManifest) -> Result<ServerDefinitions, FieldViolation> {
    let head = given.catalogue.as_ref();
    let head = head.ok_or_else(|| missing("catalogue"))?;
    let mut definitions = ServerDefinitions::from_proto(head).map_err(violation)?;
    if !definitions.is_empty() {
        let reason = "lists definitions beside its parts";
        return Err(FieldViolation::new("catalogue", reason));
    }
    let parts = &given.parts;
    if parts.is_empty() {
        return Err(missing("parts"));
    }
    definitions.parts = field::each("parts", parts, limits::DEFINITION_PARTS, |it| {
        field::digest("digest", it)
    })?;
    Ok(definitions)
}

pub(super) fn sealed_to_proto(blob: &SealedBlob) -> pb::SealedBlob {
    pb::SealedBlob {
        key_id: blob.key_id.clone(),
        wrapped_key: blob.wrapped_key.clone(),
        ciphertext: blob.ciphertext.clone(),
    }
}

pub(super) fn sealed(given: &pb::SealedBlob) -> Result<SealedBlob, FieldViolation> {
    let key_id = field::required("key_id", &given.key_id, limits::SHORT)?;
    if given.wrapped_key.is_empty() || given.ciphertext.is_empty() {
        return Err(missing("ciphertext"));
    }
    Ok(SealedBlob {
        key_id,
        wrapped_key: given.wrapped_key.clone(),
        ciphertext: given.ciphertext.clone(),
    })
}

fn missing(field: &str) -> FieldViolation {
    FieldViolation::new(field, "is missing")
}

fn violation(invalid: impl InvalidMessage) -> FieldViolation {
    FieldViolation::new(invalid.field(), invalid.reason())
}
