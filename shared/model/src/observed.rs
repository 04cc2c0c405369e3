//! Observed state: definitions offered by servers, and the status of proxies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ClockReading, Digest, ObjectName, ProbeProblem, ResourceKey, ServerHealth, Slug, Timestamp,
    Version,
};

/// Protocol era. Legacy uses sessions, modern is stateless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Era {
    /// Revision 2025-11-25 and earlier.
    Legacy,
    /// Revision 2026-07-28.
    Modern,
}

/// Definitions that a server was seen to offer, validated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerDefinitions {
    /// Server that offers them.
    pub server: ObjectName,
    /// Era found by the probe. `None` until a probe has succeeded.
    pub era: Option<Era>,
    /// Negotiated protocol version.
    pub protocol_version: String,
    /// Version in which a modern server also speaks the legacy era; empty if it does not.
    #[serde(default)]
    pub legacy_version: String,
    /// Name reported by the server. For display only.
    pub server_name: String,
    /// Version reported by the server. For display only.
    pub server_version: String,
    /// Instructions for agents. Untrusted text of limited size.
    pub instructions: String,
    /// Capabilities, a JSON object as received.
    pub capabilities: String,
    /// Tools in the server's own order. The lists below use its order as well.
    pub tools: Vec<Definition>,
    /// Prompts.
    pub prompts: Vec<Definition>,
    /// Resources listed by the server. It may offer others.
    pub resources: Vec<Definition>,
    /// Resource templates.
    pub templates: Vec<Definition>,
    /// End of the last probe.
    pub probed: Timestamp,
    /// Problem that the last probe found. Lists that could not be read keep their previous content.
    pub problem: Option<ProbeProblem>,
    /// Start of the current problem.
    pub problem_since: Option<Timestamp>,
    /// Lists that a limit of Toolgate cuts, and definitions that one leaves out, one text for each list and kind of limit.
    /// The probe succeeded all the same.
    #[serde(default)]
    pub omissions: Vec<String>,
    /// Digests of the [`DefinitionsPart`]s in which the store holds the lists; empty if one record holds them.
    #[serde(default)]
    pub parts: Vec<Digest>,
}

/// Part of the definitions of a server that are too large for one record of the store. The parts in their order make up
/// the lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefinitionsPart {
    /// Server that offers them.
    pub server: ObjectName,
    /// Tools.
    pub tools: Vec<Definition>,
    /// Prompts.
    pub prompts: Vec<Definition>,
    /// Resources.
    pub resources: Vec<Definition>,
    /// Resource templates.
    pub templates: Vec<Definition>,
}

impl DefinitionsPart {
    /// Creates a part without definitions.
    pub fn empty(server: ObjectName) -> Self {
        Self {
            server,
            tools: Vec::new(),
            prompts: Vec::new(),
            resources: Vec::new(),
            templates: Vec::new(),
        }
    }

    /// Returns the digest that names the part among those of its server.
    pub fn digest(&self) -> Digest {
        let mut bytes = self.server.to_string().into_bytes();
        let lists = [&self.tools, &self.prompts, &self.resources, &self.templates];
        for list in lists {
            bytes.extend((list.len() as u64).to_le_bytes());
            for definition in list {
                bytes.extend(definition.digest.0);
                for text in [definition.name.as_str(), &definition.json] {
                    bytes.extend((text.len() as u64).to_le_bytes());
                    bytes.extend_from_slice(text.as_bytes());
                }
            }
        }
        Digest::of_bytes(&bytes)
    }
}

impl ServerDefinitions {
    /// Returns the lists: tools, prompts, resources and templates.
    pub fn lists(&self) -> [&[Definition]; 4] {
        [&self.tools, &self.prompts, &self.resources, &self.templates]
    }

    /// Returns `true` if all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.lists().iter().all(|list| list.is_empty())
    }

    /// Takes the lists out.
    pub fn clear_lists(&mut self) {
        for list in [
            &mut self.tools,
            &mut self.prompts,
            &mut self.resources,
            &mut self.templates,
        ] {
            list.clear();
        }
    }

    /// Sets the start of the current problem, if there is one. If `before` had the same problem, its start is kept.
    #[must_use]
    pub fn with_problem_since(mut self, before: Option<&Self>) -> Self {
        let text = |of: &Self| of.problem.as_ref().map(|problem| problem.text.clone());
        let before = before.filter(|before| text(before) == text(&self));
        let began = before.map_or(self.probed, |it| it.problem_since.unwrap_or(it.probed));
        self.problem_since = self.problem.as_ref().map(|_| began);
        self
    }
}

/// Definition of a tool, prompt, resource or resource template offered by a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Identifier used by the server: name of a tool or prompt, URI of a resource, or URI template.
    pub name: String,
    /// Digest of the canonical definition (sorted keys, no insignificant white space).
    pub digest: Digest,
    /// Definition as received: a JSON object, byte for byte.
    pub json: Arc<str>,
}

/// Status of a data-plane process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProxyStatus {
    /// Id, unique in the deployment.
    pub id: Slug,
    /// Region of the proxy.
    pub region: String,
    /// Program version.
    pub build: String,
    /// Address at which clients reach the proxy.
    pub listen: String,
    /// Start time of the process.
    pub started: Timestamp,
    /// Time at which its control plane last knew it to be connected. In the state of a control plane, by its own clock:
    /// the time at which the record arrived.
    pub last_seen: Timestamp,
    /// True if a push stream is open.
    pub connected: bool,
    /// Start of the latest push stream, which orders the records of several streams; zero if it is not known. Later than
    /// that of all earlier streams, also if the clocks of two control planes differ.
    pub stream_started: Timestamp,
    /// Version last sent to the proxy.
    pub held: Version,
    /// Version last acknowledged by the proxy, with or without rejected resources.
    pub acked: Version,
    /// Resources of that version that the proxy rejected.
    pub rejections: Vec<ResourceRejection>,
    /// Clock of the proxy as compared with that of its control plane. `None` if not known.
    pub clock: Option<ClockReading>,
    /// Servers that fail for the proxy, or have failed lately, ordered by server.
    pub servers: Vec<ServerHealth>,
}

/// Resource that a proxy rejected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRejection {
    /// Key of the resource.
    pub resource: ResourceKey,
    /// Reason as text.
    pub reason: String,
}
