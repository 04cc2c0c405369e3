//! A view with one legacy and one modern server, and the plans of calls to them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use toolgate_data_core::{
    AuthnId, ClientStateCipher, Plan, PlanInput, View,
    plan::{CallPlan, EndpointRequest, PostedMessage, SessionLookup, plan},
    session::session_id::SessionClaims,
};
use toolgate_mcp::{FrameLimits, envelope, era, headers};
use toolgate_model::{
    AllowList, CallTimeouts, Definition, Digest, Era, MaxAnswer, ObjectName, RelayPolicy,
    ResourceKey, SessionSharing, Slug, Snapshot, SnapshotResource, SnapshotResourceKind, Timestamp,
    TokenHash, TokenSubject,
    snapshot::{
        DefinitionsResource, ExposedTool, GatewayResource, ServerResource, SnapshotEntry,
        TokenResource,
    },
};

use crate::world::{is_legacy, principal_of};

/// Names of the two principals, which are those of their tokens too.
pub const PRINCIPALS: [&str; 2] = ["ada", "bob"];

/// Capabilities of all clients.
const CAPABILITIES: &str = r#"{"elicitation":{"form":{},"url":{}},"sampling":{},"roots":{}}"#;

fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

fn hash(text: &str) -> TokenHash {
    TokenHash(Digest::of_bytes(text.as_bytes()).0)
}

fn server(era: Era) -> SnapshotResource {
    SnapshotResource::Server(ServerResource {
        endpoints: "https://server.example/mcp".parse().unwrap(),
        credential: None,
        era: Some(era),
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts: CallTimeouts::default(),
        relay: RelayPolicy {
            elicitation: true,
            sampling: true,
            roots: true,
        },
        sharing: SessionSharing::default(),
        max_answer: MaxAnswer::default(),
    })
}

fn view() -> &'static View {
    static VIEW: OnceLock<View> = OnceLock::new();
    VIEW.get_or_init(|| {
        let mut snapshot = Snapshot::default();
        let mut insert = |kind, id: &str, resource| {
            let name = ObjectName::new(slug("acme"), slug(id));
            let key = ResourceKey { kind, name };
            snapshot.entries.insert(key, SnapshotEntry::new(resource));
        };
        let json = r#"{"name":"read","inputSchema":{"type":"object"}}"#;
        let digest = Digest::of_bytes(json.as_bytes());
        let mut tools = Vec::new();
        for (id, era) in [("files", Era::Legacy), ("notes", Era::Modern)] {
            insert(SnapshotResourceKind::Server, id, server(era));
            let catalogue = DefinitionsResource {
                tools: vec![Definition {
                    name: "read".to_owned(),
                    digest,
                    json: json.into(),
                }],
                capabilities: r#"{"tools":{},"logging":{}}"#.to_owned(),
                ..DefinitionsResource::default()
            };
            insert(
                SnapshotResourceKind::Catalogue,
                id,
                SnapshotResource::Catalogue(catalogue),
            );
            tools.push(ExposedTool {
                exposed: format!("{id}__read"),
                server: slug(id),
                original: "read".to_owned(),
                digest,
                shape: None,
            });
        }
        let gateway = GatewayResource {
            display_name: "Main".to_owned(),
            tools,
            servers: vec![slug("files"), slug("notes")],
            ..GatewayResource::default()
        };
        insert(
            SnapshotResourceKind::Gateway,
            "main",
            SnapshotResource::Gateway(gateway),
        );
        for principal in PRINCIPALS {
            let token = TokenResource {
                hash: hash(principal),
                subject: TokenSubject::User(slug(principal)),
                gateways: AllowList::All,
                tools: AllowList::All,
                expires: None,
                rate_limits: Vec::new(),
            };
            insert(
                SnapshotResourceKind::Token,
                principal,
                SnapshotResource::Token(token),
            );
        }
        let (view, refusals) = View::build(&snapshot, None);
        assert_eq!(refusals, []);
        view
    })
}

/// A request of a client.
pub struct CallRequest<'a> {
    pub client: usize,
    /// `true` if it is for the legacy server.
    pub legacy: bool,
    pub number: u64,
    pub work: u64,
    /// Further members of `params`, each with a comma ahead of it.
    pub extra: &'a str,
}

impl CallRequest<'_> {
    /// The plan of the request and its body; `None` if it is refused.
    pub fn plan(
        &self,
        cipher: &ClientStateCipher,
        session: Option<&SessionClaims>,
        now: Timestamp,
    ) -> Option<(Arc<CallPlan>, Bytes)> {
        let server = if self.legacy { "files" } else { "notes" };
        let meta = match is_legacy(self.client) {
            true => r#"{"progressToken":"p"}"#.to_owned(),
            false => format!(
                r#"{{"progressToken":"p","io.modelcontextprotocol/logLevel":"info","io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{CAPABILITIES}}}"#
            ),
        };
        let (number, work, extra) = (self.number, self.work, self.extra);
        let body = format!(
            r#"{{"jsonrpc":"2.0","id":"c-{number}","method":"tools/call","params":{{"name":"{server}__read","arguments":{{"work":{work}}}{extra},"_meta":{meta}}}}}"#
        );
        let envelope = envelope::parse(body.as_bytes(), &FrameLimits::REQUEST).unwrap();
        let name = format!("{server}__read");
        let standard = match is_legacy(self.client) {
            true => headers::StandardHeaders {
                version: headers::ReceivedHeader::Once(b"2025-11-25"),
                ..headers::StandardHeaders::default()
            },
            false => headers::StandardHeaders {
                version: headers::ReceivedHeader::Once(b"2026-07-28"),
                method: headers::ReceivedHeader::Once(b"tools/call"),
                name: headers::ReceivedHeader::Once(name.as_bytes()),
            },
        };
        let session = session.map_or(SessionLookup::Absent, SessionLookup::Valid);
        let era = era::classify(
            standard.version,
            session != SessionLookup::Absent,
            &envelope,
        );
        let token = hash(PRINCIPALS[principal_of(self.client)]);
        let planned = plan(&PlanInput {
            gateway: view().gateway("main").unwrap(),
            caller: view().caller(&AuthnId::from(token)).unwrap(),
            request: EndpointRequest::Post(PostedMessage {
                era: &era,
                envelope: &envelope,
                headers: standard,
                params: &[],
            }),
            trace: None,
            session,
            cipher,
            now,
        });
        if let Plan::Call(call) = planned {
            return Some((call, Bytes::from(body)));
        }
        assert!(matches!(planned, Plan::Refuse(_)), "{planned:?}");
        None
    }
}
