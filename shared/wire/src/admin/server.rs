//! Conversion of servers.

use toolgate_model::{
    CallTimeouts, DriftPolicy, Endpoint, EndpointList, Era, EraPolicy, ProtocolVersion,
    RelayPolicy, Server, ServerSource, SessionSharing,
};
use toolgate_proto::admin::v1 as pb;
use url::Url;

use super::meta::{meta, meta_to_proto, name};
use crate::{
    ProtoConversion, field,
    invalid::{FieldViolation, invalid},
    limits, rate_limit, resource_name,
};

invalid! {
    /// Error of an invalid server message.
    InvalidServer: "server";
}

impl ProtoConversion for Server {
    type Proto = pb::Server;
    type Invalid = InvalidServer;

    fn from_proto(proto: &pb::Server) -> Result<Self, InvalidServer> {
        let empty = pb::ServerSpec::default();
        let spec = proto.spec.as_ref().unwrap_or(&empty);
        let name = resource_name::parse::<Server>(name(proto.metadata.as_ref())?)
            .map_err(|e| FieldViolation::new("metadata.name", e))?;
        let credential = match spec.credential.as_str() {
            "" => None,
            id => Some(field::slug("spec.credential", id)?),
        };
        let era = match field::enum_value("spec.era", spec.era)? {
            pb::EraPolicy::Unspecified => EraPolicy::Probe,
            pb::EraPolicy::Legacy => EraPolicy::Legacy,
            pb::EraPolicy::Modern => EraPolicy::Modern,
        };
        let drift = match field::enum_value("spec.drift", spec.drift)? {
            pb::DriftPolicy::Unspecified | pb::DriftPolicy::Follow => DriftPolicy::Follow,
            pb::DriftPolicy::Pin => DriftPolicy::Pin,
            pb::DriftPolicy::Block => DriftPolicy::Block,
        };
        let sharing = match field::enum_value("spec.sharing", spec.sharing)? {
            pb::Sharing::Unspecified | pb::Sharing::PerPrincipal => SessionSharing::PerPrincipal,
            pb::Sharing::PerSession => SessionSharing::PerSession,
            pb::Sharing::Shared => SessionSharing::Shared,
        };
        Ok(Self {
            name,
            meta: meta(proto.metadata.as_ref(), &spec.description)?,
            source: source(spec)?,
            credential,
            era,
            protocol_version: protocol_version(&spec.protocol_version, era)?,
            timeouts: timeouts(spec.timeouts.as_ref())?,
            drift,
            relay: relay(spec.relay.as_ref()),
            sharing,
            max_answer: field::max_answer("spec.max_answer_mib", spec.max_answer_mib)?,
            rate_limits: rate_limit::limits("spec.rate_limits", &spec.rate_limits)?,
        })
    }

    fn to_proto(&self) -> pb::Server {
        let era = match self.era {
            EraPolicy::Probe => pb::EraPolicy::Unspecified,
            EraPolicy::Legacy => pb::EraPolicy::Legacy,
            EraPolicy::Modern => pb::EraPolicy::Modern,
        };
        let drift = match self.drift {
            DriftPolicy::Follow => pb::DriftPolicy::Follow,
            DriftPolicy::Pin => pb::DriftPolicy::Pin,
            DriftPolicy::Block => pb::DriftPolicy::Block,
        };
        let sharing = match self.sharing {
            SessionSharing::PerPrincipal => pb::Sharing::PerPrincipal,
            SessionSharing::PerSession => pb::Sharing::PerSession,
            SessionSharing::Shared => pb::Sharing::Shared,
        };
        let timeouts = pb::Timeouts {
            connect: Some(field::to_duration(self.timeouts.connect)),
            first_byte: Some(field::to_duration(self.timeouts.first_byte)),
            idle: Some(field::to_duration(self.timeouts.idle)),
            total: Some(field::to_duration(self.timeouts.total)),
        };
        let credential = self.credential.as_ref();
        let (single_url, endpoints) = source_to_proto(&self.source);
        pb::Server {
            status: None,
            metadata: meta_to_proto(resource_name::format::<Server>(&self.name), &self.meta),
            spec: Some(pb::ServerSpec {
                description: self.meta.description.clone(),
                url: single_url,
                endpoints,
                credential: credential.map(ToString::to_string).unwrap_or_default(),
                era: era.into(),
                protocol_version: self
                    .protocol_version
                    .map(|version| version.to_string())
                    .unwrap_or_default(),
                timeouts: Some(timeouts),
                drift: drift.into(),
                relay: Some(pb::RelayPolicy {
                    elicitation: Some(self.relay.elicitation),
                    sampling: self.relay.sampling,
                    roots: self.relay.roots,
                }),
                sharing: sharing.into(),
                max_answer_mib: self.max_answer.mebibytes(),
                rate_limits: rate_limit::limits_to_proto(&self.rate_limits),
            }),
        }
    }
}

/// Reads the pinned version, which must be of the era.
fn protocol_version(
    given: &str,
    era: EraPolicy,
) -> Result<Option<ProtocolVersion>, FieldViolation> {
    const FIELD: &str = "spec.protocol_version";
    if given.is_empty() {
        return Ok(None);
    }
    let version: ProtocolVersion = given
        .parse()
        .map_err(|unknown| FieldViolation::new(FIELD, unknown))?;
    let (fits, name) = match version.era() {
        Era::Legacy => (era != EraPolicy::Modern, "legacy"),
        Era::Modern => (era != EraPolicy::Legacy, "modern"),
    };
    if fits {
        return Ok(Some(version));
    }
    let reason = format!("is of the {name} era: set `spec.era` to it, or leave it unset");
    Err(FieldViolation::new(FIELD, reason))
}

/// Reads the source: either one URL or a list of endpoints.
fn source(spec: &pb::ServerSpec) -> Result<ServerSource, FieldViolation> {
    if spec.endpoints.is_empty() {
        return Ok(ServerSource::remote(endpoint_url("spec.url", &spec.url)?));
    }
    if !spec.url.is_empty() {
        let reason = "excludes `spec.url`: set one of both, and name both in the mask of an update from one to the other";
        return Err(FieldViolation::new("spec.endpoints", reason));
    }
    let listed = spec.endpoints.iter();
    let listed = listed.map(|one| (one.url.as_str(), one.region.as_str()));
    let endpoints = endpoint_list("spec.endpoints", listed)?
        .ok_or_else(|| FieldViolation::new("spec.endpoints", "has no entry"))?;
    Ok(ServerSource::Remote { endpoints })
}

/// Parses endpoints, given as URL and region. Returns `None` if there are none.
pub(crate) fn endpoint_list<'a>(
    field: &str,
    listed: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
) -> Result<Option<EndpointList>, FieldViolation> {
    field::max_count(field, listed.len(), limits::ENDPOINTS)?;
    let one = |(at, (url, region)): (usize, (&str, &str))| {
        endpoint(url, region).map_err(|violation| violation.under(&format!("{field}[{at}]")))
    };
    let listed: Result<Vec<Endpoint>, FieldViolation> = listed.enumerate().map(one).collect();
    Ok(EndpointList::new(listed?))
}

/// Parses one endpoint.
pub(crate) fn endpoint(url: &str, region: &str) -> Result<Endpoint, FieldViolation> {
    let region = field::line("region", region, limits::SHORT)?;
    Ok(Endpoint {
        url: endpoint_url("url", url)?,
        region: Some(region).filter(|region| !region.is_empty()),
    })
}

/// Returns the URL of a source that one URL describes, else its endpoints.
fn source_to_proto(source: &ServerSource) -> (String, Vec<pb::Endpoint>) {
    let endpoints = source.endpoints();
    if let Some(url) = endpoints.as_single_url() {
        return (url.to_string(), Vec::new());
    }
    let one = |given: &Endpoint| pb::Endpoint {
        url: given.url.to_string(),
        region: given.region.clone().unwrap_or_default(),
    };
    (String::new(), endpoints.iter().map(one).collect())
}

/// Parses an absolute http or https URL without userinfo or fragment.
pub(crate) fn endpoint_url(field: &str, given: &str) -> Result<Url, FieldViolation> {
    let given = field::required(field, given, limits::URL)?;
    let plain = "must be an http or https URL, e.g. `https://example.com/mcp`";
    // A URL parser repairs input like a browser does. Input that needs repair is rejected, because the result may
    // differ from what was meant.
    let after_scheme = given
        .strip_prefix("https://")
        .or(given.strip_prefix("http://"));
    let repaired = |c: char| c.is_control() || c.is_whitespace() || c == '\\';
    if after_scheme.is_none_or(|rest| rest.starts_with('/')) || given.contains(repaired) {
        return Err(FieldViolation::new(field, plain));
    }
    let url: Url = given
        .parse()
        .map_err(|e| FieldViolation::new(field, format!("is not a URL ({e}): {plain}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        let reason = "must not contain a user or password: make a credential instead";
        return Err(FieldViolation::new(field, reason));
    }
    if url.fragment().is_some() {
        return Err(FieldViolation::new(
            field,
            "must not have a fragment: remove `#…`",
        ));
    }
    Ok(url)
}

fn relay(given: Option<&pb::RelayPolicy>) -> RelayPolicy {
    let default = RelayPolicy::default();
    given.map_or(default, |given| RelayPolicy {
        elicitation: given.elicitation.unwrap_or(default.elicitation),
        sampling: given.sampling,
        roots: given.roots,
    })
}

fn timeouts(given: Option<&pb::Timeouts>) -> Result<CallTimeouts, FieldViolation> {
    let default = CallTimeouts::default();
    let Some(given) = given else {
        return Ok(default);
    };
    let of = |field, given: &Option<prost_types::Duration>, default| {
        field::timeout(field, given.as_ref(), default)
    };
    Ok(CallTimeouts {
        connect: of("spec.timeouts.connect", &given.connect, default.connect)?,
        first_byte: of(
            "spec.timeouts.first_byte",
            &given.first_byte,
            default.first_byte,
        )?,
        idle: of("spec.timeouts.idle", &given.idle, default.idle)?,
        total: of("spec.timeouts.total", &given.total, default.total)?,
    })
}
