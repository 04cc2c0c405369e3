//! Services of observed objects: proxies, server definitions, versions.

use prost::Message as _;
use tonic::{Request, Response, Status};
use toolgate_control_core::{
    Command, JoinToken, ObjectKey, StateKind as _, VersionedObject, limits,
    port::{PublishedState, SecretPurpose},
    push::is_connected,
};
use toolgate_model::{ObjectName, ProxyStatus, Server, ServerDefinitions, Slug, Timestamp};
use toolgate_proto::admin::v1::{
    self as pb, CreateJoinTokenRequest, DeleteProxyRequest, GetCatalogueRequest, GetProxyRequest,
    ListCataloguesRequest, ListCataloguesResponse, ListProxiesRequest, ListProxiesResponse,
    ListVersionsRequest, ListVersionsResponse, RefreshCatalogueRequest, VersionEntry,
};
use toolgate_wire::{ProtoConversion as _, admin::version_to_proto, field, resource_name};

use crate::{
    api_context::{ApiContext, WriteRequest},
    caller::AdminCaller,
    crud,
    pages::{self, PageQuery},
    status,
    watch::{ObjectFingerprint, WatchedKind},
};

type RpcResult<T> = Result<Response<T>, Status>;

/// Default validity of a join token, in seconds.
const DEFAULT_JOIN_TOKEN_SECONDS: u64 = 900;

impl WatchedKind for ServerDefinitions {
    type Message = pb::Catalogue;

    fn show(
        _id: &ObjectName,
        stored: &VersionedObject<Self>,
        _published: &PublishedState,
        _now: Timestamp,
    ) -> pb::Catalogue {
        stored.object.to_proto()
    }

    fn tombstone(server: &ObjectName) -> pb::Catalogue {
        pb::Catalogue {
            name: resource_name::format::<Self>(server),
            ..Default::default()
        }
    }
}

impl WatchedKind for ProxyStatus {
    type Message = pb::Proxy;

    fn show(
        _id: &Slug,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        now: Timestamp,
    ) -> pb::Proxy {
        let mut message = stored.object.to_proto();
        message.connected = is_connected(stored, now);
        message.wanted = Some(version_to_proto(published.compiled.snapshot.version));
        message
    }

    fn tombstone(id: &Slug) -> pb::Proxy {
        pb::Proxy {
            name: resource_name::format::<Self>(id),
            ..Default::default()
        }
    }

    fn fingerprint(
        _id: &Slug,
        stored: &VersionedObject<Self>,
        published: &PublishedState,
        _now: Timestamp,
    ) -> ObjectFingerprint {
        let wanted = published.compiled.snapshot.version;
        ObjectFingerprint::TargetVersion(stored.mod_revision, wanted)
    }
}

#[tonic::async_trait]
impl pb::proxies_server::Proxies for ApiContext {
    async fn get_proxy(&self, request: Request<GetProxyRequest>) -> RpcResult<pb::Proxy> {
        AdminCaller::of(&request)?.require_globally()?;
        let id = resource_name::parse::<ProxyStatus>(&request.get_ref().name);
        let id = id.map_err(|error| status::invalid_name("name", &error))?;
        let published = self.published();
        let proxy = published.state.proxies.get(&id);
        let proxy = proxy.ok_or_else(|| status::not_found(&ObjectKey::Proxy(id.clone())))?;
        let now = self.state.now();
        Ok(Response::new(ProxyStatus::show(
            &id, proxy, &published, now,
        )))
    }

    async fn list_proxies(
        &self,
        request: Request<ListProxiesRequest>,
    ) -> RpcResult<ListProxiesResponse> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let query = PageQuery {
            cursors: &*self.cursors,
            caller: &caller,
            scope: "",
        };
        let wrong = |error| status::invalid("page_token", error);
        let after = query.after(&request.page_token)?;
        let after: Option<Slug> = after.map(|id| id.parse().map_err(wrong)).transpose()?;
        let published = self.published();
        let mut found = published.state.proxies.after(after.as_ref()).peekable();
        let mut answer = ListProxiesResponse::default();
        let mut bytes = 0;
        while let Some((id, proxy)) = found.next() {
            let message = ProxyStatus::show(id, proxy, &published, self.state.now());
            bytes += message.encoded_len();
            answer.proxies.push(message);
            let full = bytes >= pages::MAX_BYTES || answer.proxies.len() == size;
            if full && found.peek().is_some() {
                answer.next_page_token = query.token(id.as_str());
                break;
            }
        }
        Ok(Response::new(answer))
    }

    async fn delete_proxy(&self, request: Request<DeleteProxyRequest>) -> RpcResult<()> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let request = request.into_inner();
        let id = resource_name::parse::<ProxyStatus>(&request.name);
        let id = id.map_err(|error| status::invalid_name("name", &error))?;
        if self.state.local_proxy() == Some(&id) {
            return Err(status::local_proxy(&id));
        }
        let write = WriteRequest {
            caller: &caller,
            request_id: request.request_id.clone(),
            digest: self.digest(&caller, &request),
            dry_run: request.dry_run,
            resource_version: None,
        };
        self.submit(&write, Command::ForgetProxy(id)).await?;
        Ok(Response::new(()))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> RpcResult<pb::JoinToken> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let request = request.into_inner();
        let seconds = match u64::try_from(request.valid_seconds) {
            Ok(0) => DEFAULT_JOIN_TOKEN_SECONDS,
            Ok(seconds) if seconds <= limits::JOIN_TOKEN_MAX_TTL.as_secs() => seconds,
            Ok(_) | Err(_) => {
                let most = limits::JOIN_TOKEN_MAX_TTL.as_secs();
                let reason = format!("use 1 to {most}, or 0 for {DEFAULT_JOIN_TOKEN_SECONDS}");
                return Err(status::invalid("valid_seconds", reason));
            }
        };
        let region = &request.region;
        if region.chars().count() > limits::REGION || region.contains(char::is_control) {
            let reason = format!("use at most {} visible characters", limits::REGION);
            return Err(status::invalid("region", reason));
        }
        let minted = self.secrets.tokens.mint_secret(SecretPurpose::Join);
        let expires = self
            .state
            .now()
            .after(std::time::Duration::from_secs(seconds));
        let write = WriteRequest {
            caller: &caller,
            request_id: String::new(),
            digest: self.digest(&caller, &request),
            dry_run: false,
            resource_version: None,
        };
        let command = Command::CreateJoinToken(JoinToken {
            hash: minted.hash,
            region: request.region.clone(),
            expires,
        });
        self.submit(&write, command).await?;
        Ok(Response::new(pb::JoinToken {
            secret: String::from_utf8_lossy((*minted.secret).as_ref()).into_owned(),
            ca_pem: self.authority.authority_pem(),
            expire_time: Some(field::to_timestamp(expires)),
        }))
    }
}

#[tonic::async_trait]
impl pb::catalogues_server::Catalogues for ApiContext {
    async fn get_catalogue(
        &self,
        request: Request<GetCatalogueRequest>,
    ) -> RpcResult<pb::Catalogue> {
        let caller = AdminCaller::of(&request)?;
        let name = definitions_name(&caller, &request.get_ref().name)?;
        let published = self.published();
        let catalogue = published.state.definitions.get(&name);
        let catalogue =
            catalogue.ok_or_else(|| status::not_found(&ServerDefinitions::key(name)))?;
        Ok(Response::new(catalogue.object.to_proto()))
    }

    async fn list_catalogues(
        &self,
        request: Request<ListCataloguesRequest>,
    ) -> RpcResult<ListCataloguesResponse> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let org = crud::organization(self, &caller, &request.parent)?;
        let query = PageQuery {
            cursors: &*self.cursors,
            caller: &caller,
            scope: &request.parent,
        };
        let wrong = |error| status::invalid_name("page_token", &error);
        let after = query.after(&request.page_token)?;
        let after = after
            .map(|name| resource_name::parse::<ServerDefinitions>(&name).map_err(wrong))
            .transpose()?;
        let published = self.published();
        let mut found = definitions_of_org(&published, &org, after.as_ref())
            .into_iter()
            .peekable();
        let mut answer = ListCataloguesResponse::default();
        let mut bytes = 0;
        while let Some(catalogue) = found.next() {
            let message = catalogue.to_proto();
            bytes += message.encoded_len();
            answer.catalogues.push(message);
            let full = bytes >= pages::MAX_BYTES || answer.catalogues.len() == size;
            if full && found.peek().is_some() {
                let last = resource_name::format::<ServerDefinitions>(&catalogue.server);
                answer.next_page_token = query.token(&last);
                break;
            }
        }
        Ok(Response::new(answer))
    }

    async fn refresh_catalogue(
        &self,
        request: Request<RefreshCatalogueRequest>,
    ) -> RpcResult<pb::Catalogue> {
        let caller = AdminCaller::of(&request)?;
        let name = definitions_name(&caller, &request.get_ref().name)?;
        let server = Server::key(name.clone());
        if !self.published().state.servers.contains(&name) {
            return Err(status::not_found(&server));
        }
        let catalogue = self.prober.probe_now(name).await;
        let catalogue = catalogue.map_err(|error| status::probe(&error, &server))?;
        Ok(Response::new(catalogue.to_proto()))
    }
}

#[tonic::async_trait]
impl pb::versions_server::Versions for ApiContext {
    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> RpcResult<ListVersionsResponse> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let query = PageQuery {
            cursors: &*self.cursors,
            caller: &caller,
            scope: "",
        };
        let wrong = |error| status::invalid("page_token", error);
        let before = query.after(&request.page_token)?;
        let before: Option<u64> = before.map(|n| n.parse().map_err(wrong)).transpose()?;
        let published = self.published();
        let older = |number: u64| before.is_none_or(|before| number < before);
        let now = self.state.now();
        let newest_first = published.state.history.iter().rev();
        let mut found = newest_first
            .filter(|(number, _)| older(**number))
            .peekable();
        let mut answer = ListVersionsResponse::default();
        while let Some((number, entry)) = found.next() {
            let version = toolgate_model::Version {
                epoch: match entry.epoch {
                    0 => published.state.epoch(),
                    epoch => epoch,
                },
                revision: entry.mod_revision,
            };
            let proxies = published.state.proxies.iter();
            let acked =
                proxies.filter(|(_, proxy)| is_connected(proxy, now) && proxy.acked >= version);
            answer.versions.push(VersionEntry {
                version: Some(version_to_proto(version)),
                time: Some(field::to_timestamp(entry.time)),
                author: entry.author.clone(),
                changes: entry.changes.clone(),
                acked_by: i32::try_from(acked.count()).unwrap_or(i32::MAX),
            });
            if answer.versions.len() == size && found.peek().is_some() {
                answer.next_page_token = query.token(&number.to_string());
                break;
            }
        }
        Ok(Response::new(answer))
    }
}

/// Parses the name of server definitions. Succeeds if the caller has the right of its request there.
fn definitions_name(caller: &AdminCaller, given: &str) -> Result<ObjectName, Status> {
    let name = resource_name::parse::<ServerDefinitions>(given);
    let name = name.map_err(|error| status::invalid_name("name", &error))?;
    caller.require_in_org(&name.org, &ServerDefinitions::key(name.clone()))?;
    Ok(name)
}

/// Returns the definitions of an organization's servers, ordered by name, after `after`.
fn definitions_of_org(
    published: &PublishedState,
    org: &Slug,
    after: Option<&ObjectName>,
) -> Vec<std::sync::Arc<ServerDefinitions>> {
    let of_org = |name: &&ObjectName| name.org == *org;
    let all = published.state.definitions.after(after);
    let all = all.filter(|(name, _)| of_org(name));
    all.map(|(_, stored)| stored.object.clone()).collect()
}
