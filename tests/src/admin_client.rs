//! Client of the admin API over gRPC: writes to servers and gateways at the rate that a scenario needs, with the status of
//! each answer.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use toolgate_proto::admin::v1 as pb;
use toolgate_proto::admin::v1::catalogues_client::CataloguesClient;
use toolgate_proto::admin::v1::gateways_client::GatewaysClient;
use toolgate_proto::admin::v1::proxies_client::ProxiesClient;
use toolgate_proto::admin::v1::servers_client::ServersClient;
use toolgate_proto::admin::v1::tokens_client::TokensClient;

use crate::clock::HANG_GUARD;
use crate::toolgate::CommandLine;

/// Address of a server of which nothing but its record matters.
const UNUSED_URL: &str = "http://127.0.0.1:65000/mcp";
const PARENT: &str = "organizations/default";

/// Client of one control plane. Cheap to clone; clones share the connection.
#[derive(Clone, Debug)]
pub struct AdminClient {
    channel: Channel,
    bearer: MetadataValue<Ascii>,
}

/// Answer of the admin API.
pub type AdminAnswer<T> = Result<T, Box<Status>>;

/// True if the answer tells nothing about the write, so that it may be sent again with the same request id.
#[must_use]
pub fn is_unknown(status: &Status) -> bool {
    let codes = [
        Code::Unavailable,
        Code::DeadlineExceeded,
        Code::Cancelled,
        Code::Unknown,
    ];
    codes.contains(&status.code())
}

impl AdminClient {
    /// Creates a client with the token of a command line. It connects on first use.
    pub fn new(address: SocketAddr, cli: &CommandLine) -> Result<Self> {
        let [_, (_, token)] = cli.environment();
        let endpoint = Channel::from_shared(format!("http://{address}"))?;
        Ok(Self {
            channel: endpoint.connect_lazy(),
            bearer: format!("Bearer {token}").parse()?,
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("authorization", self.bearer.clone());
        metadata.insert("toolgate-consistency", MetadataValue::from_static("latest"));
        request.set_timeout(HANG_GUARD);
        request
    }

    /// Creates a server.
    pub async fn create_server(&self, id: &str, request_id: &str) -> AdminAnswer<pb::Server> {
        let spec = pb::ServerSpec {
            url: UNUSED_URL.to_owned(),
            ..pb::ServerSpec::default()
        };
        let request = self.request(pb::CreateServerRequest {
            parent: PARENT.to_owned(),
            server_id: id.to_owned(),
            server: Some(pb::Server {
                spec: Some(spec),
                ..pb::Server::default()
            }),
            request_id: request_id.to_owned(),
            ..pb::CreateServerRequest::default()
        });
        let mut client = ServersClient::new(self.channel.clone());
        let answer = client.create_server(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Reads a server, including every change that was acknowledged before.
    pub async fn server(&self, id: &str) -> AdminAnswer<pb::Server> {
        let request = self.request(pb::GetServerRequest {
            name: format!("{PARENT}/servers/{id}"),
        });
        let mut client = ServersClient::new(self.channel.clone());
        let answer = client.get_server(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Writes the description of a server, if the server has not changed since it was read.
    pub async fn describe_server(
        &self,
        read: &pb::Server,
        description: &str,
        request_id: &str,
    ) -> AdminAnswer<pb::Server> {
        let mut server = read.clone();
        server.status = None;
        let mut spec = server.spec.take().unwrap_or_default();
        description.clone_into(&mut spec.description);
        server.spec = Some(spec);
        let request = self.request(pb::UpdateServerRequest {
            server: Some(server),
            request_id: request_id.to_owned(),
            ..pb::UpdateServerRequest::default()
        });
        let mut client = ServersClient::new(self.channel.clone());
        let answer = client.update_server(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Creates a gateway over all tools of a server.
    pub async fn create_gateway(&self, id: &str, server: &str) -> AdminAnswer<pb::Gateway> {
        let binding = pb::Binding {
            server: server.to_owned(),
            all_tools: true,
            ..pb::Binding::default()
        };
        let spec = pb::GatewaySpec {
            bindings: vec![binding],
            ..pb::GatewaySpec::default()
        };
        let request = self.request(pb::CreateGatewayRequest {
            parent: PARENT.to_owned(),
            gateway_id: id.to_owned(),
            gateway: Some(pb::Gateway {
                spec: Some(spec),
                ..pb::Gateway::default()
            }),
            request_id: id.to_owned(),
            ..pb::CreateGatewayRequest::default()
        });
        let mut client = GatewaysClient::new(self.channel.clone());
        let answer = client.create_gateway(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Same as [`Self::create_gateway`], sent again until the answer tells that it was written.
    pub async fn create_gateway_surely(&self, id: &str, server: &str) -> Result<()> {
        let what = format!("{id} is written");
        crate::clock::eventually(&what, HANG_GUARD, || async {
            self.create_gateway(id, server).await.map(drop)?;
            Ok(())
        })
        .await
        .context("create_gateway")
    }

    /// Creates a token of the organization.
    pub async fn create_token(&self, id: &str) -> AdminAnswer<()> {
        let request = self.request(pb::CreateTokenRequest {
            parent: PARENT.to_owned(),
            token_id: id.to_owned(),
            token: Some(pb::Token {
                spec: Some(pb::TokenSpec::default()),
                ..pb::Token::default()
            }),
            request_id: id.to_owned(),
            ..pb::CreateTokenRequest::default()
        });
        let mut client = TokensClient::new(self.channel.clone());
        client.create_token(request).await.map_err(Box::new)?;
        Ok(())
    }

    /// Reads the definitions of a server, including every change that was acknowledged before.
    pub async fn catalogue(&self, server: &str) -> AdminAnswer<pb::Catalogue> {
        let request = self.request(pb::GetCatalogueRequest {
            name: format!("{PARENT}/catalogues/{server}"),
        });
        let mut client = CataloguesClient::new(self.channel.clone());
        let answer = client.get_catalogue(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Creates a join token for one proxy.
    pub async fn join_token(&self) -> AdminAnswer<pb::JoinToken> {
        let request = self.request(pb::CreateJoinTokenRequest::default());
        let mut client = ProxiesClient::new(self.channel.clone());
        let answer = client.create_join_token(request).await;
        Ok(answer.map_err(Box::new)?.into_inner())
    }

    /// Lists the proxies, as this control plane has them in memory.
    pub async fn proxies(&self) -> AdminAnswer<Vec<pb::Proxy>> {
        let request = self.request(pb::ListProxiesRequest {
            page_size: 1_000,
            ..pb::ListProxiesRequest::default()
        });
        let mut client = ProxiesClient::new(self.channel.clone());
        let answer = client.list_proxies(request).await;
        Ok(answer.map_err(Box::new)?.into_inner().proxies)
    }
}
