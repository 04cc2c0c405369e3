//! Gateways. The status of a gateway comes from the compiled snapshot, and from the proxies that send calls to its servers.

use std::collections::BTreeSet;

use tonic::Status;
use toolgate_control_core::{
    StoreState, VersionedObject, port::PublishedState, push::is_connected,
};
use toolgate_model::{
    Gateway, ObjectName, ResourceKey, Slug, SnapshotResource as Compiled, SnapshotResourceKind,
    Timestamp,
    snapshot::{ExposedPrompt, ExposedTool},
};
use toolgate_proto::admin::v1 as pb;
use toolgate_wire::ProtoConversion as _;

use super::{AdminResource, PreparedObject, prepare_message};
use crate::{api_context::SecretServices, problems, watch::ObjectFingerprint};

/// Maximum number of URLs in the status of a gateway.
const MAX_URLS: usize = 16;

impl AdminResource for Gateway {
    fn to_message(&self) -> pb::Gateway {
        self.to_proto()
    }

    fn add_status(
        message: &mut pb::Gateway,
        id: &ObjectName,
        published: &PublishedState,
        now: Timestamp,
    ) {
        message.status = Some(status_of(id, published, now));
    }

    fn fingerprint(
        id: &ObjectName,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        now: Timestamp,
    ) -> ObjectFingerprint {
        let entry = published.compiled.snapshot.entries.get(&resource_key(id));
        let problems = problems::texts(&problems::of_gateway(id, published, now));
        let digest = entry.map(|entry| entry.digest);
        ObjectFingerprint::Compiled(stored.mod_revision, digest, problems)
    }

    fn prepare(
        _secrets: &SecretServices,
        message: &pb::Gateway,
        _stored: Option<&Self>,
    ) -> Result<PreparedObject, Status> {
        prepare_message::<Self>(message)
    }
}

fn resource_key(id: &ObjectName) -> ResourceKey {
    ResourceKey {
        kind: SnapshotResourceKind::Gateway,
        name: id.clone(),
    }
}

/// Builds the status: path, exposed definitions, and problems that keep others from being exposed.
fn status_of(id: &ObjectName, published: &PublishedState, now: Timestamp) -> pb::GatewayStatus {
    let entry = published.compiled.snapshot.entries.get(&resource_key(id));
    let gateway = match entry.map(|entry| &*entry.resource) {
        Some(Compiled::Gateway(gateway)) => Some(gateway),
        Some(Compiled::Server(_) | Compiled::Catalogue(_) | Compiled::Token(_)) | None => None,
    };
    let tools = gateway.map(|it| it.tools.iter().map(tool).collect());
    let prompts = gateway.map(|it| it.prompts.iter().map(prompt).collect());
    let resources = gateway.map(|it| it.resources.iter().map(Slug::to_string).collect());
    let problem_details = problems::of_gateway(id, published, now);
    pb::GatewayStatus {
        path: format!("/v1/mcp/{}", id.id),
        tools: tools.unwrap_or_default(),
        problems: problems::texts(&problem_details),
        prompts: prompts.unwrap_or_default(),
        resources: resources.unwrap_or_default(),
        problem_details,
        urls: urls_of(id, &published.state, now),
    }
}

/// Returns the URLs of the endpoint of a gateway as the connected proxies tell them.
fn urls_of(id: &ObjectName, state: &StoreState, now: Timestamp) -> Vec<String> {
    let connected = state.proxies.iter().map(|(_, proxy)| proxy);
    let connected = connected.filter(|proxy| is_connected(proxy, now) && !proxy.listen.is_empty());
    let listeners: BTreeSet<&str> = connected.map(|proxy| proxy.listen.as_str()).collect();
    let urls = listeners.into_iter().take(MAX_URLS).map(|listener| {
        let listener = listener.trim_end_matches('/');
        match listener.contains("://") {
            true => format!("{listener}/v1/mcp/{}", id.id),
            false => format!("http://{listener}/v1/mcp/{}", id.id),
        }
    });
    urls.collect()
}

fn tool(tool: &ExposedTool) -> pb::ExposedTool {
    pb::ExposedTool {
        name: tool.exposed.clone(),
        server: tool.server.to_string(),
        original_name: tool.original.clone(),
        digest: tool.digest.to_hex(),
    }
}

fn prompt(prompt: &ExposedPrompt) -> pb::ExposedPrompt {
    pb::ExposedPrompt {
        name: prompt.exposed.clone(),
        server: prompt.server.to_string(),
        original_name: prompt.original.clone(),
        digest: prompt.digest.to_hex(),
    }
}

#[cfg(test)]
mod tests;
