//! Test fixture: a snapshot with two organizations, and servers, gateways and tokens of them.

use std::{collections::BTreeMap, sync::Arc};

use toolgate_mcp::{Envelope, FrameLimits, envelope, era, headers, trace::TraceContext};
use toolgate_model::{
    AllowList, CallTimeouts, Definition, Digest, EndpointList, Era, ObjectName, Principal,
    PrincipalSubject, ResourceKey, Slug, Snapshot, SnapshotResource, SnapshotResourceKind,
    Timestamp, TokenHash, TokenSubject, UriMode, Version,
    snapshot::{
        DefinitionsResource, ExposedPrompt, ExposedTool, GatewayResource, ServerResource,
        SnapshotEntry, TokenResource,
    },
};
use zeroize::Zeroizing;

use crate::{
    AuthnId, Caller, ClientStateCipher, GatewayView, Plan, PlanInput, View,
    client_state::StateKey,
    plan::{EndpointRequest, PostedMessage, SessionLookup, plan},
    session::session_id::{ClientCapabilities, SessionClaims},
};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn name(org: &str, id: &str) -> ObjectName {
    ObjectName::new(slug(org), slug(id))
}

pub(crate) fn key(kind: SnapshotResourceKind, org: &str, id: &str) -> ResourceKey {
    let name = name(org, id);
    ResourceKey { kind, name }
}

/// User of the organization `acme`.
pub(crate) fn user(id: &str) -> Principal {
    Principal {
        org: slug("acme"),
        subject: PrincipalSubject::User(slug(id)),
    }
}

pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Digest::of_bytes(text.as_bytes()).0)
}

pub(crate) fn endpoints(url: &str) -> EndpointList {
    url.parse().unwrap()
}

pub(crate) fn authn_id(text: &str) -> AuthnId {
    AuthnId::from(hash(text))
}

pub(crate) fn definition(json: &str) -> Definition {
    named_by("name", json)
}

/// Definition of a resource or template with this URI.
pub(crate) fn located(member: &str, uri: &str) -> Definition {
    named_by(member, &format!(r#"{{"name":"n","{member}":"{uri}"}}"#))
}

fn named_by(member: &str, json: &str) -> Definition {
    let name = toolgate_mcp::object::get(json.as_bytes(), member).unwrap();
    Definition {
        name: serde_json::from_slice(name).unwrap(),
        digest: Digest::of_bytes(json.as_bytes()),
        json: Arc::from(json),
    }
}

pub(crate) fn plain_tool(name: &str) -> Definition {
    let schema = r#"{"type":"object","properties":{"x":{"type":"string"}}}"#;
    definition(&format!(
        r#"{{"name":"{name}","description":"does {name}","inputSchema":{schema}}}"#
    ))
}

/// Server of the organization `acme` with its definitions. All of its tools are exposed under its prefix.
pub(crate) struct ServerFixture {
    pub(crate) id: &'static str,
    pub(crate) era: Option<Era>,
    pub(crate) tools: Vec<Definition>,
    pub(crate) prompts: Vec<Definition>,
    pub(crate) resources: Vec<Definition>,
    pub(crate) templates: Vec<Definition>,
    pub(crate) instructions: &'static str,
    pub(crate) capabilities: &'static str,
}

impl ServerFixture {
    pub(crate) fn new(id: &'static str, era: Option<Era>, tools: Vec<Definition>) -> Self {
        Self {
            id,
            era,
            tools,
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
            instructions: "",
            capabilities: "{}",
        }
    }

    fn exposed_prompts(&self) -> impl Iterator<Item = ExposedPrompt> {
        self.prompts.iter().map(|prompt| ExposedPrompt {
            exposed: format!("{}__{}", self.id, prompt.name),
            server: slug(self.id),
            original: prompt.name.clone(),
            digest: prompt.digest,
        })
    }

    fn has_resources(&self) -> bool {
        !(self.resources.is_empty() && self.templates.is_empty())
    }

    pub(crate) fn exposed(&self) -> impl Iterator<Item = ExposedTool> {
        self.tools.iter().map(|tool| ExposedTool {
            exposed: format!("{}__{}", self.id, tool.name),
            server: slug(self.id),
            original: tool.name.clone(),
            digest: tool.digest,
            shape: None,
        })
    }
}

pub(crate) fn gateway(offers: &[ServerFixture]) -> GatewayResource {
    GatewayResource {
        display_name: "Main".to_owned(),
        instructions: String::new(),
        tools: offers.iter().flat_map(ServerFixture::exposed).collect(),
        servers: offers.iter().map(|offer| slug(offer.id)).collect(),
        must_understand: Vec::new(),
        prompts: offers
            .iter()
            .flat_map(ServerFixture::exposed_prompts)
            .collect(),
        resources: offers
            .iter()
            .filter(|offer| offer.has_resources())
            .map(|offer| slug(offer.id))
            .collect(),
        uris: UriMode::Prefixed,
        listing: toolgate_model::ToolListing::default(),
        timeouts: BTreeMap::new(),
        rate_limits: Vec::new(),
        identity_providers: Vec::new(),
        uid: None,
    }
}

pub(crate) fn token(text: &str) -> TokenResource {
    TokenResource {
        hash: hash(text),
        subject: TokenSubject::User(slug("ada")),
        gateways: AllowList::All,
        tools: AllowList::All,
        expires: None,
        rate_limits: Vec::new(),
    }
}

pub(crate) fn insert(snapshot: &mut Snapshot, org: &str, id: &str, resource: SnapshotResource) {
    let kind = match &resource {
        SnapshotResource::Gateway(_) => SnapshotResourceKind::Gateway,
        SnapshotResource::Server(_) => SnapshotResourceKind::Server,
        SnapshotResource::Catalogue(_) => SnapshotResourceKind::Catalogue,
        SnapshotResource::Token(_) => SnapshotResourceKind::Token,
    };
    snapshot
        .entries
        .insert(key(kind, org, id), SnapshotEntry::new(resource));
}

pub(crate) fn test_snapshot(offers: &[ServerFixture]) -> Snapshot {
    let mut snapshot = Snapshot {
        version: Version {
            epoch: 1,
            revision: 7,
        },
        entries: Default::default(),
    };
    for offer in offers {
        let server = ServerResource {
            endpoints: endpoints(&format!("https://{}.example/mcp", offer.id)),
            credential: None,
            era: offer.era,
            protocol_version: String::new(),
            legacy_version: String::new(),
            timeouts: CallTimeouts::default(),
            relay: toolgate_model::RelayPolicy {
                elicitation: true,
                sampling: true,
                roots: true,
            },
            sharing: toolgate_model::SessionSharing::default(),
            max_answer: toolgate_model::MaxAnswer::default(),
        };
        let catalogue = DefinitionsResource {
            tools: offer.tools.clone(),
            instructions: offer.instructions.to_owned(),
            capabilities: offer.capabilities.to_owned(),
            prompts: offer.prompts.clone(),
            resources: offer.resources.clone(),
            templates: offer.templates.clone(),
        };
        insert(
            &mut snapshot,
            "acme",
            offer.id,
            SnapshotResource::Server(server),
        );
        insert(
            &mut snapshot,
            "acme",
            offer.id,
            SnapshotResource::Catalogue(catalogue),
        );
    }
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(gateway(offers)),
    );
    insert(
        &mut snapshot,
        "acme",
        "all",
        SnapshotResource::Token(token("all")),
    );
    let few = TokenResource {
        tools: AllowList::of(vec!["weather__forecast".to_owned()]),
        ..token("few")
    };
    insert(&mut snapshot, "acme", "few", SnapshotResource::Token(few));
    insert(
        &mut snapshot,
        "evil",
        "all",
        SnapshotResource::Token(token("evil")),
    );
    snapshot
}

/// Snapshot of a progressive gateway with the same servers.
pub(crate) fn progressive(offers: &[ServerFixture]) -> Snapshot {
    let mut snapshot = test_snapshot(offers);
    let gateway = GatewayResource {
        listing: toolgate_model::ToolListing::Progressive,
        ..gateway(offers)
    };
    insert(
        &mut snapshot,
        "acme",
        "main",
        SnapshotResource::Gateway(gateway),
    );
    snapshot
}

/// The servers `weather` (modern) and `files` (legacy). One tool has an argument mirrored in a header; one has an
/// output schema of type string.
pub(crate) fn test_servers() -> Vec<ServerFixture> {
    let mirrored = definition(
        r#"{ "name" : "forecast", "inputSchema": {"type":"object","properties":{"city":{"type":"string","x-mcp-header":"City"}}}, "x-unknown": [1, 2.50] }"#,
    );
    let listed = definition(
        r#"{"name":"list","title":"List","inputSchema":{"type":"object"},"outputSchema":{"type":"string"},"annotations":{"readOnlyHint":true}}"#,
    );
    vec![
        ServerFixture {
            instructions: "Ask for cities.",
            capabilities: r#"{"tools":{},"logging":{},"prompts":{},"completions":{}}"#,
            prompts: vec![definition(
                r#"{"name":"trip","arguments":[{"name":"to"}],"x-unknown":1.0}"#,
            )],
            resources: vec![
                located("uri", "memo:today"),
                located("uri", "https://weather.example/map"),
                located("uri", "ui://map/view"),
            ],
            templates: vec![located("uriTemplate", "test://{city}/data")],
            ..ServerFixture::new(
                "weather",
                Some(Era::Modern),
                vec![mirrored, plain_tool("now")],
            )
        },
        ServerFixture {
            prompts: vec![definition(r#"{"name":"review"}"#)],
            resources: vec![located("uri", "memo:today"), located("uri", "file:///a")],
            ..ServerFixture::new("files", Some(Era::Legacy), vec![listed, plain_tool("read")])
        },
    ]
}

/// View, cipher and session for planning requests.
pub(crate) struct GatewayFixture {
    pub(crate) view: View,
    pub(crate) cipher: ClientStateCipher,
    pub(crate) session: SessionClaims,
}

impl GatewayFixture {
    pub(crate) fn new() -> Self {
        Self::of(&test_snapshot(&test_servers()))
    }

    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let (view, refusals) = View::build(snapshot, None);
        assert_eq!(refusals, []);
        Self {
            view,
            cipher: cipher(&[1]),
            session: SessionClaims {
                version: "2025-11-25",
                capabilities: ClientCapabilities::default(),
                issued: NOW,
                random: [7; 16],
                owner: crate::OwningProxy::new(slug("proxy-1"), None),
                opener: Default::default(),
            },
        }
    }

    pub(crate) fn gateway(&self) -> &Arc<GatewayView> {
        self.view.gateway("main").unwrap()
    }

    pub(crate) fn caller(&self, token: &str) -> Caller {
        self.view.caller(&authn_id(token)).unwrap().clone()
    }

    /// Plans a POST of a modern client with correct headers, and with the given `Mcp-Param-*` headers.
    pub(crate) fn modern(&self, token: &str, body: &str, params: &[(&str, &[u8])]) -> Plan {
        let envelope = parse(body);
        let method = envelope.method().to_owned();
        let name = envelope
            .mcp_name()
            .map(|name| headers::encode(name.as_str()).into_owned());
        let standard = headers::StandardHeaders {
            version: headers::ReceivedHeader::Once(b"2026-07-28"),
            method: headers::ReceivedHeader::Once(method.as_bytes()),
            name: name
                .as_ref()
                .map_or(headers::ReceivedHeader::Absent, |name| {
                    headers::ReceivedHeader::Once(name.as_bytes())
                }),
        };
        self.post(token, &envelope, standard, params, SessionLookup::Absent)
    }

    /// Plans a POST of a legacy client within its session.
    pub(crate) fn legacy(&self, token: &str, body: &str) -> Plan {
        let session = SessionLookup::Valid(&self.session);
        let standard = headers::StandardHeaders {
            version: headers::ReceivedHeader::Once(b"2025-11-25"),
            ..headers::StandardHeaders::default()
        };
        self.post(token, &parse(body), standard, &[], session)
    }

    pub(crate) fn post(
        &self,
        token: &str,
        envelope: &Envelope<'_>,
        headers: headers::StandardHeaders<'_>,
        params: &[(&str, &[u8])],
        session: SessionLookup<'_>,
    ) -> Plan {
        let era = era::classify(headers.version, session != SessionLookup::Absent, envelope);
        plan(&PlanInput {
            gateway: self.gateway(),
            caller: &self.caller(token),
            request: EndpointRequest::Post(PostedMessage {
                era: &era,
                envelope,
                headers,
                params,
            }),
            trace: TraceContext::of(envelope.meta(), |_| headers::ReceivedHeader::Absent),
            session,
            cipher: &self.cipher,
            now: NOW,
        })
    }
}

pub(crate) fn parse(body: &str) -> Envelope<'_> {
    envelope::parse(body.as_bytes(), &FrameLimits::REQUEST).unwrap()
}

pub(crate) fn cipher(epochs: &[u32]) -> ClientStateCipher {
    let keys = epochs.iter().map(|epoch| StateKey {
        epoch: *epoch,
        secret: Zeroizing::new(vec![u8::try_from(*epoch).unwrap(); 32]),
    });
    let keys: Vec<StateKey> = keys.collect();
    ClientStateCipher::new(&keys).unwrap()
}

/// Members of a modern `_meta`, without braces.
pub(crate) const META: &str = r#""io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}"#;
