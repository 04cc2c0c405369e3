//! Test views with one gateway, one legacy server and two tokens, and related helpers.

use std::{sync::Arc, time::Duration};

use toolgate_data_core::{
    AuthnId, Caller, GatewayView, View,
    port::UpstreamSessionKey,
    session::session_id::{ClientCapabilities, SessionClaims},
};
use toolgate_model::{
    AllowList, CallTimeouts, Digest, Era, ObjectName, ResourceKey, Slug, Snapshot,
    SnapshotResource, SnapshotResourceKind, Timestamp, TokenHash, TokenSubject,
    snapshot::{GatewayResource, ServerResource, SnapshotEntry, TokenResource},
};

pub(crate) const NOW: Timestamp = Timestamp(1_000_000);

pub(crate) fn slug(text: &str) -> Slug {
    text.parse().unwrap()
}

pub(crate) fn name(id: &str) -> ObjectName {
    ObjectName::new(slug("acme"), slug(id))
}

pub(crate) fn hash(text: &str) -> TokenHash {
    TokenHash(Digest::of_bytes(text.as_bytes()).0)
}

/// Returns a snapshot with a server at `url`, a gateway with this title, and these tokens.
pub(crate) fn snapshot(url: &str, title: &str, tokens: &[&str]) -> Snapshot {
    let mut snapshot = Snapshot::default();
    let mut insert = |kind, id: &str, resource| {
        let name = name(id);
        let key = ResourceKey { kind, name };
        snapshot.entries.insert(key, SnapshotEntry::new(resource));
    };
    let server = ServerResource {
        endpoints: url.parse().unwrap(),
        credential: None,
        era: Some(Era::Legacy),
        protocol_version: String::new(),
        legacy_version: String::new(),
        timeouts: CallTimeouts::default(),
        relay: toolgate_model::RelayPolicy::default(),
        sharing: toolgate_model::SessionSharing::default(),
        max_answer: toolgate_model::MaxAnswer::default(),
    };
    insert(
        SnapshotResourceKind::Server,
        "old",
        SnapshotResource::Server(server),
    );
    let gateway = GatewayResource {
        display_name: title.to_owned(),
        instructions: String::new(),
        tools: Vec::new(),
        servers: vec![slug("old")],
        must_understand: Vec::new(),
        ..GatewayResource::default()
    };
    insert(
        SnapshotResourceKind::Gateway,
        "main",
        SnapshotResource::Gateway(gateway),
    );
    for (index, text) in tokens.iter().enumerate() {
        let token = TokenResource {
            hash: hash(text),
            subject: TokenSubject::User(slug(text)),
            gateways: AllowList::All,
            tools: AllowList::All,
            expires: None,
            rate_limits: Vec::new(),
        };
        insert(
            SnapshotResourceKind::Token,
            &format!("t{index}"),
            SnapshotResource::Token(token),
        );
    }
    snapshot
}

pub(crate) fn view(snapshot: &Snapshot) -> View {
    View::build(snapshot, None).0
}

/// Returns a view whose gateway exposes these tools.
pub(crate) fn with_tools(tools: &[&str]) -> View {
    reaching(tools, &AllowList::All)
}

/// Returns the same view with tokens that reach these tools only.
pub(crate) fn reaching(tools: &[&str], reach: &AllowList<String>) -> View {
    use toolgate_model::{
        Definition,
        snapshot::{DefinitionsResource, ExposedTool},
    };
    let mut snapshot = snapshot("https://old.example/mcp", "Main", &["ada", "bob"]);
    let definition = |tool: &&str| {
        let json = format!(r#"{{"name":"{tool}","inputSchema":{{}}}}"#);
        Definition {
            name: (*tool).to_owned(),
            digest: Digest::of_bytes(json.as_bytes()),
            json: json.into(),
        }
    };
    let catalogue = DefinitionsResource {
        tools: tools.iter().map(definition).collect(),
        instructions: String::new(),
        capabilities: "{}".to_owned(),
        ..DefinitionsResource::default()
    };
    let gateway = GatewayResource {
        display_name: "Main".to_owned(),
        instructions: String::new(),
        tools: catalogue
            .tools
            .iter()
            .map(|tool| ExposedTool {
                exposed: tool.name.clone(),
                server: slug("old"),
                original: tool.name.clone(),
                digest: tool.digest,
                shape: None,
            })
            .collect(),
        servers: vec![slug("old")],
        must_understand: Vec::new(),
        ..GatewayResource::default()
    };
    snapshot.entries.update_each(|_key, entry| {
        if let SnapshotResource::Token(token) = &*entry.resource {
            let mut token = token.clone();
            token.tools = reach.clone();
            *entry = SnapshotEntry::new(SnapshotResource::Token(token));
        }
    });
    for (kind, id, resource) in [
        (
            SnapshotResourceKind::Catalogue,
            "old",
            SnapshotResource::Catalogue(catalogue),
        ),
        (
            SnapshotResourceKind::Gateway,
            "main",
            SnapshotResource::Gateway(gateway),
        ),
    ] {
        let name = name(id);
        let key = ResourceKey { kind, name };
        snapshot.entries.insert(key, SnapshotEntry::new(resource));
    }
    view(&snapshot)
}

/// Returns a view in which this token expires at the given time.
pub(crate) fn expiring(token: &str, expires: Timestamp) -> View {
    let mut snapshot = snapshot("https://old.example/mcp", "Main", &[token]);
    snapshot.entries.update_each(|_key, entry| {
        if let SnapshotResource::Token(token) = &*entry.resource {
            let expires = Some(expires);
            *entry = SnapshotEntry::new(SnapshotResource::Token(TokenResource {
                expires,
                ..token.clone()
            }));
        }
    });
    view(&snapshot)
}

pub(crate) fn gateway(view: &View) -> &Arc<GatewayView> {
    view.gateway("main").unwrap()
}

pub(crate) fn caller(view: &View, token: &str) -> Caller {
    view.caller(&AuthnId::from(hash(token))).unwrap().clone()
}

pub(crate) fn principal(token: &str) -> Arc<toolgate_model::Principal> {
    let view = with_tools(&[]);
    Arc::clone(caller(&view, token).principal())
}

pub(crate) fn claims(number: u32) -> SessionClaims {
    let mut random = [0; 16];
    random[..4].copy_from_slice(&number.to_be_bytes());
    SessionClaims {
        version: "2025-11-25",
        capabilities: ClientCapabilities::default(),
        issued: NOW,
        random,
        owner: toolgate_data_core::OwningProxy::new(slug("proxy-1"), None),
        opener: Default::default(),
    }
}

pub(crate) fn link_key(view: &View, token: &str) -> UpstreamSessionKey {
    let (server, caller) = (view.server(&name("old")).unwrap(), caller(view, token));
    UpstreamSessionKey::new(
        server,
        caller.principal(),
        None,
        ClientCapabilities::default(),
    )
}

/// Upper bound of waits in tests that only guard against a hang: far above any time that is promised.
pub(crate) const HANG_GUARD: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(HANG_GUARD, waiting).await;
    assert!(waited.is_ok(), "never happened: {what}");
}
