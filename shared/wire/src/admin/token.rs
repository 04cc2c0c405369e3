//! Conversion of tokens. Hash, hint and revocation are set by Toolgate: they come from the stored record, never from a
//! caller.

use std::collections::BTreeMap;

use toolgate_model::{
    AdminRole, AllowList, ObjectMeta, ObjectName, RateLimit, Slug, Timestamp, Token, TokenHash,
    TokenSubject,
};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    field,
    invalid::{FieldViolation, invalid},
    limits, rate_limit, resource_name,
};

invalid! {
    /// Error of an invalid token message.
    InvalidToken: "token";
}

/// Token as received, with the fields that a caller may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInput {
    /// Organization and id.
    pub name: ObjectName,
    /// Common metadata.
    pub meta: ObjectMeta,
    /// Subject that the token represents.
    pub scope: TokenSubject,
    /// Gateways that the token may call.
    pub gateways: AllowList<Slug>,
    /// Tools that the token may see and call.
    pub tools: AllowList<String>,
    /// Expiry time.
    pub expires: Option<Timestamp>,
    /// Role at the admin API.
    pub role: AdminRole,
    /// Limits of the rate of requests.
    pub rate_limits: Vec<RateLimit>,
}

impl TokenInput {
    /// Validates a message. The status is ignored.
    pub fn from_proto(proto: &pb::Token) -> Result<Self, InvalidToken> {
        let empty = pb::TokenSpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = resource_name::parse::<Token>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let role = match field::enum_value("spec.admin_role", spec.admin_role)? {
            pb::AdminRole::Unspecified => AdminRole::None,
            pb::AdminRole::Viewer => AdminRole::Viewer,
            pb::AdminRole::Editor => AdminRole::Editor,
            pb::AdminRole::Admin => AdminRole::Admin,
        };
        let under = |violation: FieldViolation| violation.under("spec");
        let gateways = field::allow_list("gateways", &spec.gateways, spec.no_gateways, field::slug);
        let tools = field::allow_list("tools", &spec.tools, spec.no_tools, |field, given| {
            field::required(field, given, limits::TOOL_NAME)
        });
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            scope: scope(spec.scope.as_ref()).map_err(under)?,
            gateways: gateways.map_err(under)?,
            tools: tools.map_err(under)?,
            expires: field::timestamp("spec.expire_time", spec.expire_time.as_ref())?,
            role,
            rate_limits: rate_limit::limits("spec.rate_limits", &spec.rate_limits)?,
        })
    }

    /// Returns the token with the hash and hint of its secret.
    pub fn minted(self, hash: TokenHash, hint: String) -> Token {
        Token {
            name: self.name,
            meta: self.meta,
            scope: self.scope,
            gateways: self.gateways,
            gateway_uids: BTreeMap::new(),
            tools: self.tools,
            expires: self.expires,
            role: self.role,
            rate_limits: self.rate_limits,
            hash,
            revoked: None,
            hint,
            system: false,
        }
    }
}

/// Converts a stored message and hash to a token.
pub fn token(proto: &pb::Token, hash: TokenHash) -> Result<Token, InvalidToken> {
    let input = TokenInput::from_proto(proto)?;
    let empty = pb::TokenStatus::default();
    let status = proto.status.as_ref().unwrap_or(&empty);
    let hint = field::line("status.hint", &status.hint, limits::SHORT)?;
    let at = field::timestamp("status.revoke_time", status.revoke_time.as_ref())?;
    // A revoked token without a revocation time stays revoked.
    let revoked = status.revoked.then(|| at.unwrap_or(Timestamp(0)));
    Ok(Token {
        revoked,
        system: status.system,
        ..input.minted(hash, hint)
    })
}

/// Converts to a message, without the hash.
pub fn token_to_proto(token: &Token) -> pb::Token {
    let role = match token.role {
        AdminRole::None => pb::AdminRole::Unspecified,
        AdminRole::Viewer => pb::AdminRole::Viewer,
        AdminRole::Editor => pb::AdminRole::Editor,
        AdminRole::Admin => pb::AdminRole::Admin,
    };
    let scope = match &token.scope {
        TokenSubject::Organization => pb::token_spec::Scope::Organization(true),
        TokenSubject::Team(id) => pb::token_spec::Scope::Team(id.to_string()),
        TokenSubject::User(id) => pb::token_spec::Scope::User(id.to_string()),
    };
    let (gateways, no_gateways) = field::allow_list_to_proto(&token.gateways);
    let (tools, no_tools) = field::allow_list_to_proto(&token.tools);
    pb::Token {
        metadata: meta_to_proto(resource_name::format::<Token>(&token.name), &token.meta),
        spec: Some(pb::TokenSpec {
            description: token.meta.description.clone(),
            gateways,
            tools,
            expire_time: token.expires.map(field::to_timestamp),
            admin_role: role.into(),
            no_gateways,
            no_tools,
            rate_limits: rate_limit::limits_to_proto(&token.rate_limits),
            scope: Some(scope),
        }),
        status: Some(pb::TokenStatus {
            revoked: token.revoked.is_some(),
            revoke_time: token.revoked.map(field::to_timestamp),
            hint: token.hint.clone(),
            system: token.system,
            problems: Vec::new(),
            problem_details: Vec::new(),
        }),
    }
}

fn scope(given: Option<&pb::token_spec::Scope>) -> Result<TokenSubject, FieldViolation> {
    match given {
        None | Some(pb::token_spec::Scope::Organization(true)) => Ok(TokenSubject::Organization),
        Some(pb::token_spec::Scope::Organization(false)) => {
            let reason = "must be true, or left out for `team` or `user`";
            Err(FieldViolation::new("organization", reason))
        }
        Some(pb::token_spec::Scope::Team(id)) => field::slug("team", id).map(TokenSubject::Team),
        Some(pb::token_spec::Scope::User(id)) => field::slug("user", id).map(TokenSubject::User),
    }
}
