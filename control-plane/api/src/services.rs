//! Services of the kinds that operators write. They map request messages to the functions in [`crate::crud`].

use tonic::{Request, Response, Status};
use toolgate_control_core::Command;
use toolgate_model::{Credential, Gateway, Organization, Server, Token};
use toolgate_proto::admin::v1::{self as pb, *};
use toolgate_wire::ResourceCollection;

use crate::{
    api_context::{ApiContext, WriteRequest},
    caller::AdminCaller,
    crud::{self, CreateRequest, ListRequest, ObjectPage},
    kinds::AdminResource,
    status,
};

type RpcResult<T> = Result<Response<T>, Status>;

/// Builds the [`WriteRequest`] of a request message.
macro_rules! write_request {
    ($edge:ident, $caller:ident, $request:ident) => {
        write_request!($edge, $caller, $request, dry_run: $request.dry_run)
    };
    ($edge:ident, $caller:ident, $request:ident, dry_run: $dry_run:expr) => {
        WriteRequest {
            caller: &$caller,
            digest: $edge.digest(&$caller, &$request),
            request_id: $request.request_id.clone(),
            dry_run: $dry_run,
            resource_version: None,
        }
    };
}

/// Implements the service of a kind that belongs to an organization.
macro_rules! methods {
    (
        $kind:ident, $field:ident, $id:ident, $items:ident,
        $get:ident($Get:ident), $list:ident($ListRequest:ident) -> $Listed:ident,
        $create:ident($CreateRequest:ident), $update:ident($Update:ident), $delete:ident($Delete:ident),
        $Service:path
    ) => {
        #[tonic::async_trait]
        impl $Service for ApiContext {
            async fn $create(&self, request: Request<$CreateRequest>) -> RpcResult<pb::$kind> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let create = CreateRequest {
                    parent: Some(request.parent),
                    id: request.$id,
                    message: request.$field,
                };
                let (made, _no_secret) = crud::create::<$kind>(self, write, create).await?;
                Ok(Response::new(made))
            }

            async fn $get(&self, request: Request<$Get>) -> RpcResult<pb::$kind> {
                let caller = AdminCaller::of(&request)?;
                crud::get::<$kind>(self, &caller, &request.get_ref().name).map(Response::new)
            }

            async fn $list(&self, request: Request<$ListRequest>) -> RpcResult<$Listed> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let list = ListRequest {
                    parent: Some(request.parent),
                    page_size: request.page_size,
                    page_token: request.page_token,
                };
                let ObjectPage { items, next } = crud::list::<$kind>(self, &caller, &list)?;
                Ok(Response::new($Listed {
                    $items: items,
                    next_page_token: next,
                }))
            }

            async fn $update(&self, request: Request<$Update>) -> RpcResult<pb::$kind> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let (given, mask) = (request.$field, request.update_mask);
                let made = crud::update::<$kind>(self, write, given, mask).await?;
                Ok(Response::new(made))
            }

            async fn $delete(&self, request: Request<$Delete>) -> RpcResult<()> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let version = &request.resource_version;
                crud::delete::<$kind>(self, write, &request.name, version).await?;
                Ok(Response::new(()))
            }
        }
    };
}

methods!(
    Gateway, gateway, gateway_id, gateways,
    get_gateway(GetGatewayRequest), list_gateways(ListGatewaysRequest) -> ListGatewaysResponse,
    create_gateway(CreateGatewayRequest), update_gateway(UpdateGatewayRequest),
    delete_gateway(DeleteGatewayRequest), gateways_server::Gateways
);

methods!(
    Server, server, server_id, servers,
    get_server(GetServerRequest), list_servers(ListServersRequest) -> ListServersResponse,
    create_server(CreateServerRequest), update_server(UpdateServerRequest),
    delete_server(DeleteServerRequest), servers_server::Servers
);

methods!(
    Credential, credential, credential_id, credentials,
    get_credential(GetCredentialRequest), list_credentials(ListCredentialsRequest) -> ListCredentialsResponse,
    create_credential(CreateCredentialRequest), update_credential(UpdateCredentialRequest),
    delete_credential(DeleteCredentialRequest), credentials_server::Credentials
);

#[tonic::async_trait]
impl organizations_server::Organizations for ApiContext {
    async fn create_organization(
        &self,
        request: Request<CreateOrganizationRequest>,
    ) -> RpcResult<pb::Organization> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let create = CreateRequest {
            parent: None,
            id: request.organization_id,
            message: request.organization,
        };
        let (made, _no_secret) = crud::create::<Organization>(self, write, create).await?;
        Ok(Response::new(made))
    }

    async fn get_organization(
        &self,
        request: Request<GetOrganizationRequest>,
    ) -> RpcResult<pb::Organization> {
        let caller = AdminCaller::of(&request)?;
        crud::get::<Organization>(self, &caller, &request.get_ref().name).map(Response::new)
    }

    async fn list_organizations(
        &self,
        request: Request<ListOrganizationsRequest>,
    ) -> RpcResult<ListOrganizationsResponse> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let list = ListRequest {
            parent: None,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let ObjectPage { items, next } = crud::list::<Organization>(self, &caller, &list)?;
        Ok(Response::new(ListOrganizationsResponse {
            organizations: items,
            next_page_token: next,
        }))
    }

    async fn update_organization(
        &self,
        request: Request<UpdateOrganizationRequest>,
    ) -> RpcResult<pb::Organization> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let (given, mask) = (request.organization, request.update_mask);
        let made = crud::update::<Organization>(self, write, given, mask).await?;
        Ok(Response::new(made))
    }

    async fn delete_organization(
        &self,
        request: Request<DeleteOrganizationRequest>,
    ) -> RpcResult<()> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let version = &request.resource_version;
        crud::delete::<Organization>(self, write, &request.name, version).await?;
        Ok(Response::new(()))
    }
}

#[tonic::async_trait]
impl tokens_server::Tokens for ApiContext {
    async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> RpcResult<CreateTokenResponse> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let create = CreateRequest {
            parent: Some(request.parent),
            id: request.token_id,
            message: request.token,
        };
        let (token, secret) = crud::create::<Token>(self, write, create).await?;
        let secret = secret.map(|secret| String::from_utf8_lossy(secret.expose()).into_owned());
        Ok(Response::new(CreateTokenResponse {
            token: Some(token),
            secret: secret.unwrap_or_default(),
        }))
    }

    async fn get_token(&self, request: Request<GetTokenRequest>) -> RpcResult<pb::Token> {
        let caller = AdminCaller::of(&request)?;
        crud::get::<Token>(self, &caller, &request.get_ref().name).map(Response::new)
    }

    async fn list_tokens(
        &self,
        request: Request<ListTokensRequest>,
    ) -> RpcResult<ListTokensResponse> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let list = ListRequest {
            parent: Some(request.parent),
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let ObjectPage { items, next } = crud::list::<Token>(self, &caller, &list)?;
        Ok(Response::new(ListTokensResponse {
            tokens: items,
            next_page_token: next,
        }))
    }

    async fn update_token(&self, request: Request<UpdateTokenRequest>) -> RpcResult<pb::Token> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let (given, mask) = (request.token, request.update_mask);
        let made = crud::update::<Token>(self, write, given, mask).await?;
        Ok(Response::new(made))
    }

    async fn delete_token(&self, request: Request<DeleteTokenRequest>) -> RpcResult<()> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request);
        let version = &request.resource_version;
        crud::delete::<Token>(self, write, &request.name, version).await?;
        Ok(Response::new(()))
    }

    async fn revoke_token(&self, request: Request<RevokeTokenRequest>) -> RpcResult<pb::Token> {
        let caller = AdminCaller::of(&request)?;
        let request = request.into_inner();
        let write = write_request!(self, caller, request, dry_run: false);
        let name = ResourceCollection::Tokens.parse(&request.name);
        let name = name.map_err(|error| status::invalid_name("name", &error))?;
        caller.require_in_org(&name.org, &Token::key(&name))?;
        if let Some(stored) = self.published().state.tokens.get(&name) {
            crud::check_system_owned(&caller, &*stored.object)?;
        }
        let done = self
            .submit(&write, Command::RevokeToken(name.clone()))
            .await?;
        crud::written_object::<Token>(self, &name, &done).map(Response::new)
    }
}
