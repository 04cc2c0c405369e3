//! Services of observed objects: proxies, server definitions, versions.

use prost::Message as _;
use tonic::{Request, Response, Status};
use toolgate_control_core::{Command, JoinToken, Key, limits, push::is_connected};
use toolgate_model::{Catalogue, Name, Proxy, Slug, Timestamp};
use toolgate_proto::admin::v1::{
    self as pb, CreateJoinTokenRequest, DeleteProxyRequest, GetCatalogueRequest, GetProxyRequest,
    ListCataloguesRequest, ListCataloguesResponse, ListProxiesRequest, ListProxiesResponse,
    ListVersionsRequest, ListVersionsResponse, RefreshCatalogueRequest, VersionEntry,
};
use toolgate_wire::{Collection, Wire as _, admin::version_to_proto, field, resource_name};

use crate::{
    caller::Caller,
    crud,
    desk::{Published, Purpose},
    edge::{Edge, Wish},
    pages::{self, Query},
    status,
};

type Answer<T> = Result<Response<T>, Status>;

/// Default validity of a join token, in seconds.
const JOIN_SECONDS: u64 = 900;

/// Converts a proxy to the message that callers see at `now`.
pub(crate) fn show_proxy(proxy: &Proxy, published: &Published, now: Timestamp) -> pb::Proxy {
    let mut message = proxy.to_proto();
    message.connected = is_connected(proxy, now);
    message.wanted = Some(version_to_proto(published.compiled.snapshot.version));
    message
}

#[tonic::async_trait]
impl pb::proxies_server::Proxies for Edge {
    async fn get_proxy(&self, request: Request<GetProxyRequest>) -> Answer<pb::Proxy> {
        Caller::of(&request)?.everywhere()?;
        let id = resource_name::parse_proxy(&request.get_ref().name);
        let id = id.map_err(|error| status::invalid_name("name", &error))?;
        let published = self.published();
        let proxy = published.state.proxies.get(&id);
        let proxy = proxy.ok_or_else(|| status::not_found(&Key::Proxy(id)))?;
        Ok(Response::new(show_proxy(
            &proxy.object,
            &published,
            self.desk.now(),
        )))
    }

    async fn list_proxies(
        &self,
        request: Request<ListProxiesRequest>,
    ) -> Answer<ListProxiesResponse> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let query = Query {
            desk: &*self.desk,
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
            let shown = show_proxy(&proxy.object, &published, self.desk.now());
            bytes += shown.encoded_len();
            answer.proxies.push(shown);
            let full = bytes >= pages::MAX_BYTES || answer.proxies.len() == size;
            if full && found.peek().is_some() {
                answer.next_page_token = query.token(id.as_str());
                break;
            }
        }
        Ok(Response::new(answer))
    }

    async fn delete_proxy(&self, request: Request<DeleteProxyRequest>) -> Answer<()> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let request = request.into_inner();
        let id = resource_name::parse_proxy(&request.name);
        let id = id.map_err(|error| status::invalid_name("name", &error))?;
        let wish = Wish {
            caller: &caller,
            request_id: request.request_id.clone(),
            digest: self.digest(&caller, &request),
            dry_run: request.dry_run,
            given: None,
        };
        self.submit(&wish, Command::ForgetProxy(id)).await?;
        Ok(Response::new(()))
    }

    async fn create_join_token(
        &self,
        request: Request<CreateJoinTokenRequest>,
    ) -> Answer<pb::JoinToken> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let request = request.into_inner();
        let seconds = match u64::try_from(request.valid_seconds) {
            Ok(0) => JOIN_SECONDS,
            Ok(seconds) if seconds <= limits::JOIN_TOKEN_LIFE.as_secs() => seconds,
            Ok(_) | Err(_) => {
                let most = limits::JOIN_TOKEN_LIFE.as_secs();
                let reason = format!("use 1 to {most}, or 0 for {JOIN_SECONDS}");
                return Err(status::invalid("valid_seconds", reason));
            }
        };
        let region = &request.region;
        if region.chars().count() > limits::REGION || region.contains(char::is_control) {
            let reason = format!("use at most {} visible characters", limits::REGION);
            return Err(status::invalid("region", reason));
        }
        let minted = self.desk.mint(Purpose::Join);
        let expires = self
            .desk
            .now()
            .after(std::time::Duration::from_secs(seconds));
        let wish = Wish {
            caller: &caller,
            request_id: String::new(),
            digest: self.digest(&caller, &request),
            dry_run: false,
            given: None,
        };
        let command = Command::CreateJoinToken(JoinToken {
            hash: minted.hash,
            region: request.region.clone(),
            expires,
        });
        self.submit(&wish, command).await?;
        Ok(Response::new(pb::JoinToken {
            secret: String::from_utf8_lossy(minted.secret.expose()).into_owned(),
            ca_pem: self.desk.authority_pem(),
            expire_time: Some(field::to_timestamp(expires)),
        }))
    }
}

#[tonic::async_trait]
impl pb::catalogues_server::Catalogues for Edge {
    async fn get_catalogue(&self, request: Request<GetCatalogueRequest>) -> Answer<pb::Catalogue> {
        let caller = Caller::of(&request)?;
        let name = catalogue_name(&caller, &request.get_ref().name)?;
        let published = self.published();
        let catalogue = published.state.catalogues.get(&name);
        let catalogue = catalogue.ok_or_else(|| status::not_found(&Key::Catalogue(name)))?;
        Ok(Response::new(catalogue.object.to_proto()))
    }

    async fn list_catalogues(
        &self,
        request: Request<ListCataloguesRequest>,
    ) -> Answer<ListCataloguesResponse> {
        let caller = Caller::of(&request)?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let org = crud::organization(self, &caller, &request.parent)?;
        let query = Query {
            desk: &*self.desk,
            caller: &caller,
            scope: &request.parent,
        };
        let wrong = |error| status::invalid_name("page_token", &error);
        let after = query.after(&request.page_token)?;
        let after = after
            .map(|name| Collection::Catalogues.parse(&name).map_err(wrong))
            .transpose()?;
        let published = self.published();
        let mut found = catalogues(&published, &org, after.as_ref())
            .into_iter()
            .peekable();
        let mut answer = ListCataloguesResponse::default();
        let mut bytes = 0;
        while let Some(catalogue) = found.next() {
            let shown = catalogue.to_proto();
            bytes += shown.encoded_len();
            answer.catalogues.push(shown);
            let full = bytes >= pages::MAX_BYTES || answer.catalogues.len() == size;
            if full && found.peek().is_some() {
                let last = Collection::Catalogues.format(&catalogue.server);
                answer.next_page_token = query.token(&last);
                break;
            }
        }
        Ok(Response::new(answer))
    }

    async fn refresh_catalogue(
        &self,
        request: Request<RefreshCatalogueRequest>,
    ) -> Answer<pb::Catalogue> {
        let caller = Caller::of(&request)?;
        let name = catalogue_name(&caller, &request.get_ref().name)?;
        let server = Key::Server(name.clone());
        if !self.published().state.servers.contains(&name) {
            return Err(status::not_found(&server));
        }
        let catalogue = self.desk.prober().probe_now(name).await;
        let catalogue = catalogue.map_err(|error| status::probe(&error, &server))?;
        Ok(Response::new(catalogue.to_proto()))
    }
}

#[tonic::async_trait]
impl pb::versions_server::Versions for Edge {
    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Answer<ListVersionsResponse> {
        let caller = Caller::of(&request)?;
        caller.everywhere()?;
        let request = request.into_inner();
        let size = pages::size(request.page_size)?;
        let query = Query {
            desk: &*self.desk,
            caller: &caller,
            scope: "",
        };
        let wrong = |error| status::invalid("page_token", error);
        let before = query.after(&request.page_token)?;
        let before: Option<u64> = before.map(|n| n.parse().map_err(wrong)).transpose()?;
        let published = self.published();
        let older = |number: u64| before.is_none_or(|before| number < before);
        let now = self.desk.now();
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
                revision: entry.modified,
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
fn catalogue_name(caller: &Caller, given: &str) -> Result<Name, Status> {
    let name = Collection::Catalogues.parse(given);
    let name = name.map_err(|error| status::invalid_name("name", &error))?;
    caller.within(&name.org, &Key::Catalogue(name.clone()))?;
    Ok(name)
}

/// Returns the definitions of an organization's servers, ordered by name, after `after`.
fn catalogues(
    published: &Published,
    org: &Slug,
    after: Option<&Name>,
) -> Vec<std::sync::Arc<Catalogue>> {
    let of_org = |name: &&Name| name.org == *org;
    let all = published.state.catalogues.after(after);
    let all = all.filter(|(name, _)| of_org(name));
    all.map(|(_, stored)| stored.object.clone()).collect()
}
