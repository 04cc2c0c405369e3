//! Conversion of tokens. Hash, hint and revocation are set by Toolgate: they come from the stored record, never from a
//! caller.

use toolgate_model::{AdminRole, Meta, Name, Reach, Slug, Subject, Timestamp, Token, TokenHash};
use toolgate_proto::admin::v1 as pb;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    field,
    invalid::{Violation, invalid},
    limits,
    resource_name::Collection,
};

invalid! {
    /// Error of an invalid token message.
    InvalidToken: "token";
}

/// Token as received, with the fields that a caller may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInput {
    /// Organization and id.
    pub name: Name,
    /// Common metadata.
    pub meta: Meta,
    /// Subject that the token represents.
    pub scope: Subject,
    /// Gateways that the token may call.
    pub gateways: Reach<Slug>,
    /// Tools that the token may see and call.
    pub tools: Reach<String>,
    /// Expiry time.
    pub expires: Option<Timestamp>,
    /// Role at the admin API.
    pub role: AdminRole,
}

impl TokenInput {
    /// Validates a message. The status is ignored.
    pub fn from_proto(proto: &pb::Token) -> Result<Self, InvalidToken> {
        let empty = pb::TokenSpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = Collection::Tokens
            .parse(name(proto.metadata.as_ref())?)
            .map_err(|e| Violation::new("metadata.name", e))?;
        let role = match field::known("spec.admin_role", spec.admin_role)? {
            pb::AdminRole::Unspecified => AdminRole::None,
            pb::AdminRole::Viewer => AdminRole::Viewer,
            pb::AdminRole::Editor => AdminRole::Editor,
            pb::AdminRole::Admin => AdminRole::Admin,
        };
        let under = |violation: Violation| violation.under("spec");
        let gateways = field::reach("gateways", &spec.gateways, spec.no_gateways, field::slug);
        let tools = field::reach("tools", &spec.tools, spec.no_tools, |field, given| {
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
        })
    }

    /// Returns the token with the hash and hint of its secret.
    pub fn minted(self, hash: TokenHash, hint: String) -> Token {
        Token {
            name: self.name,
            meta: self.meta,
            scope: self.scope,
            gateways: self.gateways,
            tools: self.tools,
            expires: self.expires,
            role: self.role,
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
        Subject::Organization => pb::token_spec::Scope::Organization(true),
        Subject::Team(id) => pb::token_spec::Scope::Team(id.to_string()),
        Subject::User(id) => pb::token_spec::Scope::User(id.to_string()),
    };
    let (gateways, no_gateways) = field::to_reach(&token.gateways);
    let (tools, no_tools) = field::to_reach(&token.tools);
    pb::Token {
        metadata: meta_to_proto(Collection::Tokens.format(&token.name), &token.meta),
        spec: Some(pb::TokenSpec {
            description: token.meta.description.clone(),
            gateways,
            tools,
            expire_time: token.expires.map(field::to_timestamp),
            admin_role: role.into(),
            no_gateways,
            no_tools,
            scope: Some(scope),
        }),
        status: Some(pb::TokenStatus {
            revoked: token.revoked.is_some(),
            revoke_time: token.revoked.map(field::to_timestamp),
            hint: token.hint.clone(),
            system: token.system,
        }),
    }
}

fn scope(given: Option<&pb::token_spec::Scope>) -> Result<Subject, Violation> {
    match given {
        None | Some(pb::token_spec::Scope::Organization(true)) => Ok(Subject::Organization),
        Some(pb::token_spec::Scope::Organization(false)) => {
            let reason = "must be true, or left out for `team` or `user`";
            Err(Violation::new("organization", reason))
        }
        Some(pb::token_spec::Scope::Team(id)) => field::slug("team", id).map(Subject::Team),
        Some(pb::token_spec::Scope::User(id)) => field::slug("user", id).map(Subject::User),
    }
}
