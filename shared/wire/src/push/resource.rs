//! Resources, each checked by itself: kind, security fields, every field, then the digest over what was understood.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_model::{
    Digest, Resource, ResourceKey, Subject, Timeouts, Timestamp, ToolDefinition,
    snapshot::{
        CatalogueResource, CredentialRef, Entry, ExposedTool, GatewayResource, ServerResource,
        TokenResource,
    },
};
use toolgate_proto::push::v1 as pb;

use super::key::{key, key_to_proto};
use crate::{admin, field, invalid::Violation, limits};

/// Security fields of a gateway that this build obeys. A gateway that names another one is denied.
pub const UNDERSTOOD: [&str; 0] = [];

/// What became of one resource of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// Checked; serve it.
    Checked(ResourceKey, Entry),
    /// Keep its last good form.
    Refused(RefusedResource),
    /// A gateway that this build would serve more openly than it should: deny every call to it.
    Deny(ResourceKey, RefusedResource),
}

/// A resource that was not taken, as it goes into the Nack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedResource {
    /// Its key as received: its kind may be unknown to this build.
    pub key: Option<pb::ResourceKey>,
    /// The key, where this build knows the kind.
    pub known: Option<ResourceKey>,
    /// Why, with the field.
    pub reason: String,
}

/// Checks one resource.
pub fn receive(given: &pb::Resource) -> Received {
    let refused = |known: Option<ResourceKey>, reason: String| RefusedResource {
        key: given.key.clone(),
        known,
        reason: reason.chars().take(limits::REASON).collect(),
    };
    let key = match key(given.key.as_ref()) {
        Ok(key) => key,
        Err(invalid) => return Received::Refused(refused(None, invalid.to_string())),
    };
    if let Some(unknown) = not_understood(given) {
        let reason = format!(
            "must_understand: this proxy does not know `{unknown}` and denies the gateway; upgrade the proxy"
        );
        return Received::Deny(key.clone(), refused(Some(key), reason));
    }
    match checked(&key, given) {
        Ok(entry) => Received::Checked(key, entry),
        Err(violation) => Received::Refused(refused(Some(key), violation.to_string())),
    }
}

/// As a message.
pub fn resource_to_proto(key: &ResourceKey, entry: &Entry) -> pb::Resource {
    let body = match &*entry.resource {
        Resource::Gateway(gateway) => pb::resource::Body::Gateway(gateway_to_proto(gateway)),
        Resource::Server(server) => pb::resource::Body::Server(server_to_proto(server)),
        Resource::Catalogue(given) => pb::resource::Body::Catalogue(catalogue_to_proto(given)),
        Resource::Token(token) => pb::resource::Body::Token(token_to_proto(token)),
    };
    pb::Resource {
        key: Some(key_to_proto(key)),
        digest: entry.digest.0.to_vec(),
        body: Some(body),
    }
}

/// What a proxy says it holds. An entry that does not check is left out: that resource is then sent again.
pub fn digests(given: &[pb::Held]) -> BTreeMap<ResourceKey, Digest> {
    let checked = |held: &pb::Held| {
        let digest = field::digest("digest", &held.digest).ok()?;
        Some((key(held.key.as_ref()).ok()?, digest))
    };
    let bounded = given.iter().take(limits::RESOURCES);
    bounded.filter_map(checked).collect()
}

/// What is held, as messages.
pub fn digests_to_proto(held: &BTreeMap<ResourceKey, Digest>) -> Vec<pb::Held> {
    let to_proto = |(key, digest): (&ResourceKey, &Digest)| pb::Held {
        key: Some(key_to_proto(key)),
        digest: digest.0.to_vec(),
    };
    held.iter().map(to_proto).collect()
}

fn not_understood(given: &pb::Resource) -> Option<&str> {
    let Some(pb::resource::Body::Gateway(gateway)) = &given.body else {
        return None;
    };
    let mut named = gateway.must_understand.iter().map(String::as_str);
    named.find(|field| !UNDERSTOOD.contains(field))
}

fn checked(key: &ResourceKey, given: &pb::Resource) -> Result<Entry, Violation> {
    use toolgate_model::ResourceKind as Kind;
    let resource = match (key.kind, &given.body) {
        (Kind::Gateway, Some(pb::resource::Body::Gateway(body))) => {
            Resource::Gateway(gateway(body).map_err(|v| v.under("gateway"))?)
        }
        (Kind::Server, Some(pb::resource::Body::Server(body))) => {
            Resource::Server(server(body).map_err(|v| v.under("server"))?)
        }
        (Kind::Catalogue, Some(pb::resource::Body::Catalogue(body))) => {
            Resource::Catalogue(catalogue(body).map_err(|v| v.under("catalogue"))?)
        }
        (Kind::Token, Some(pb::resource::Body::Token(body))) => {
            Resource::Token(token(body).map_err(|v| v.under("token"))?)
        }
        (_, None) => {
            return Err(Violation::new(
                "body",
                "is missing or unknown to this build",
            ));
        }
        (_, Some(_)) => return Err(Violation::new("body", "is not of the kind in the key")),
    };
    let entry = Entry::new(resource);
    if entry.digest == field::digest("digest", &given.digest)? {
        return Ok(entry);
    }
    let reason = format!(
        "is not that of the content, which is {}: this build does not read all of it",
        entry.digest.to_hex()
    );
    Err(Violation::new("digest", reason))
}

fn gateway(given: &pb::Gateway) -> Result<GatewayResource, Violation> {
    field::cap("tools", given.tools.len(), limits::TOOLS)?;
    field::cap("servers", given.servers.len(), limits::BINDINGS)?;
    field::cap(
        "must_understand",
        given.must_understand.len(),
        limits::MUST_UNDERSTAND,
    )?;
    let tools = given.tools.iter().enumerate();
    let tools: Result<Vec<_>, Violation> = tools
        .map(|(at, given)| tool(given).map_err(|v| v.under(&format!("tools[{at}]"))))
        .collect();
    let servers = given.servers.iter().enumerate();
    let servers: Result<Vec<_>, Violation> = servers
        .map(|(at, given)| field::slug(&format!("servers[{at}]"), given))
        .collect();
    Ok(GatewayResource {
        display_name: field::bounded("display_name", &given.display_name, limits::DISPLAY_NAME)?,
        instructions: field::bounded("instructions", &given.instructions, limits::INSTRUCTIONS)?,
        tools: tools?,
        servers: servers?,
        must_understand: given.must_understand.clone(),
    })
}

fn gateway_to_proto(given: &GatewayResource) -> pb::Gateway {
    let tool = |tool: &ExposedTool| pb::Tool {
        exposed: tool.exposed.clone(),
        server: tool.server.to_string(),
        original: tool.original.clone(),
        digest: tool.digest.0.to_vec(),
    };
    pb::Gateway {
        display_name: given.display_name.clone(),
        instructions: given.instructions.clone(),
        tools: given.tools.iter().map(tool).collect(),
        servers: given.servers.iter().map(ToString::to_string).collect(),
        must_understand: given.must_understand.clone(),
    }
}

fn tool(given: &pb::Tool) -> Result<ExposedTool, Violation> {
    Ok(ExposedTool {
        exposed: field::required("exposed", &given.exposed, limits::TOOL_NAME)?,
        server: field::slug("server", &given.server)?,
        original: field::required("original", &given.original, limits::TOOL_NAME)?,
        digest: field::digest("digest", &given.digest)?,
    })
}

fn server(given: &pb::Server) -> Result<ServerResource, Violation> {
    let credential = match given.credential.as_str() {
        "" => None,
        id => Some(CredentialRef {
            id: field::slug("credential", id)?,
            revision: given.credential_revision,
        }),
    };
    admin::endpoint("url", &given.url)?;
    Ok(ServerResource {
        url: given.url.clone(),
        credential,
        era: admin::era("era", &given.era)?,
        protocol_version: field::line("protocol_version", &given.protocol_version, limits::SHORT)?,
        timeouts: Timeouts {
            connect: field::timeout_ms("connect_ms", given.connect_ms)?,
            first_byte: field::timeout_ms("first_byte_ms", given.first_byte_ms)?,
            idle: field::timeout_ms("idle_ms", given.idle_ms)?,
            total: field::timeout_ms("total_ms", given.total_ms)?,
        },
    })
}

fn server_to_proto(given: &ServerResource) -> pb::Server {
    let credential = given.credential.as_ref();
    pb::Server {
        url: given.url.clone(),
        credential: credential.map(|c| c.id.to_string()).unwrap_or_default(),
        credential_revision: credential.map(|c| c.revision).unwrap_or_default(),
        era: admin::era_to_proto(given.era).to_owned(),
        protocol_version: given.protocol_version.clone(),
        connect_ms: field::to_ms(given.timeouts.connect),
        first_byte_ms: field::to_ms(given.timeouts.first_byte),
        idle_ms: field::to_ms(given.timeouts.idle),
        total_ms: field::to_ms(given.timeouts.total),
    }
}

fn catalogue(given: &pb::Catalogue) -> Result<CatalogueResource, Violation> {
    field::cap("tools", given.tools.len(), limits::TOOLS)?;
    let definition = |given: &pb::Definition| -> Result<ToolDefinition, Violation> {
        let json = field::required("json", &given.json, limits::DEFINITION)?;
        Ok(ToolDefinition {
            name: field::required("name", &given.name, limits::TOOL_NAME)?,
            digest: field::digest("digest", &given.digest)?,
            json: Arc::from(json),
        })
    };
    let tools = given.tools.iter().enumerate();
    let tools: Result<Vec<_>, Violation> = tools
        .map(|(at, given)| definition(given).map_err(|v| v.under(&format!("tools[{at}]"))))
        .collect();
    let capabilities = &given.capabilities_json;
    Ok(CatalogueResource {
        tools: tools?,
        instructions: field::bounded("instructions", &given.instructions, limits::INSTRUCTIONS)?,
        capabilities: field::bounded("capabilities_json", capabilities, limits::CAPABILITIES)?,
    })
}

fn catalogue_to_proto(given: &CatalogueResource) -> pb::Catalogue {
    let definition = |tool: &ToolDefinition| pb::Definition {
        name: tool.name.clone(),
        digest: tool.digest.0.to_vec(),
        json: tool.json.to_string(),
    };
    pb::Catalogue {
        tools: given.tools.iter().map(definition).collect(),
        instructions: given.instructions.clone(),
        capabilities_json: given.capabilities.clone(),
    }
}

fn token(given: &pb::Token) -> Result<TokenResource, Violation> {
    let tool = |field: &str, given: &str| field::required(field, given, limits::TOOL_NAME);
    Ok(TokenResource {
        hash: field::token_hash("hash", &given.hash)?,
        subject: subject(given.subject.as_ref())?,
        gateways: field::reach("gateways", &given.gateways, given.no_gateways, field::slug)?,
        tools: field::reach("tools", &given.tools, given.no_tools, tool)?,
        expires: (given.expire_time_ms != 0).then_some(Timestamp(given.expire_time_ms)),
    })
}

fn token_to_proto(given: &TokenResource) -> pb::Token {
    let subject = match &given.subject {
        Subject::Organization => pb::subject::Subject::Organization(true),
        Subject::Team(id) => pb::subject::Subject::Team(id.to_string()),
        Subject::User(id) => pb::subject::Subject::User(id.to_string()),
    };
    let (gateways, no_gateways) = field::to_reach(&given.gateways);
    let (tools, no_tools) = field::to_reach(&given.tools);
    pb::Token {
        hash: given.hash.0.to_vec(),
        subject: Some(pb::Subject {
            subject: Some(subject),
        }),
        gateways,
        tools,
        // A token that expired with the epoch itself must not turn into one that never does.
        expire_time_ms: given.expires.map_or(0, |at| at.0.max(1)),
        no_gateways,
        no_tools,
    }
}

fn subject(given: Option<&pb::Subject>) -> Result<Subject, Violation> {
    match given.and_then(|given| given.subject.as_ref()) {
        Some(pb::subject::Subject::Organization(true)) => Ok(Subject::Organization),
        Some(pb::subject::Subject::Team(id)) => field::slug("subject.team", id).map(Subject::Team),
        Some(pb::subject::Subject::User(id)) => field::slug("subject.user", id).map(Subject::User),
        Some(pb::subject::Subject::Organization(false)) | None => {
            Err(Violation::new("subject", "is missing or unknown"))
        }
    }
}
