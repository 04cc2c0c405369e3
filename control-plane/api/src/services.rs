//! Services of the kinds that operators write, generated from the schema where a kind has the usual methods only. They map request messages to the functions in [`crate::crud`].

use tonic::{Request, Response, Status};
use toolgate_control_core::{Command, StateKind as _};
use toolgate_proto::{
    admin::v1::{self as pb, *},
    for_each_kind_service,
};
use toolgate_wire::resource_name;

use crate::{
    api_context::{ApiContext, WriteRequest},
    caller::AdminCaller,
    crud::{self, CreateRequest, ListRequest, ObjectPage},
    kinds::types::{self, Token},
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

/// Returns the parent in a create or list request: only requests of kinds in organizations have the field.
macro_rules! parent {
    (owned, $request:ident) => {
        Some($request.parent)
    };
    (unowned, $request:ident) => {
        None
    };
}

/// Implements the services of the kinds that have the usual methods only.
macro_rules! define_services {
    ($($Kind:ident {
        $owner:ident, $field:ident, $id:ident, $items:ident,
        $get:ident($Get:ident), $list:ident($ListRequest:ident) -> $Listed:ident,
        $create:ident($CreateRequest:ident), $update:ident($Update:ident), $delete:ident($Delete:ident),
        $module:ident::$Service:ident, $Server:ident
    })*) => {$(
        #[tonic::async_trait]
        impl $module::$Service for ApiContext {
            async fn $create(&self, request: Request<$CreateRequest>) -> RpcResult<pb::$Kind> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let create = CreateRequest {
                    parent: parent!($owner, request),
                    id: request.$id,
                    message: request.$field,
                };
                let (made, _no_secret) =
                    crud::create::<types::$Kind>(self, write, create).await?;
                Ok(Response::new(made))
            }

            async fn $get(&self, request: Request<$Get>) -> RpcResult<pb::$Kind> {
                let caller = AdminCaller::of(&request)?;
                let name = &request.get_ref().name;
                crud::get::<types::$Kind>(self, &caller, name).map(Response::new)
            }

            async fn $list(&self, request: Request<$ListRequest>) -> RpcResult<$Listed> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let list = ListRequest {
                    parent: parent!($owner, request),
                    page_size: request.page_size,
                    page_token: request.page_token,
                };
                let ObjectPage { items, next } =
                    crud::list::<types::$Kind>(self, &caller, &list)?;
                Ok(Response::new($Listed {
                    $items: items,
                    next_page_token: next,
                }))
            }

            async fn $update(&self, request: Request<$Update>) -> RpcResult<pb::$Kind> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let (given, mask) = (request.$field, request.update_mask);
                let made =
                    crud::update::<types::$Kind>(self, write, given, mask).await?;
                Ok(Response::new(made))
            }

            async fn $delete(&self, request: Request<$Delete>) -> RpcResult<()> {
                let caller = AdminCaller::of(&request)?;
                let request = request.into_inner();
                let write = write_request!(self, caller, request);
                let version = &request.resource_version;
                crud::delete::<types::$Kind>(self, write, &request.name, version).await?;
                Ok(Response::new(()))
            }
        }
    )*};
}

for_each_kind_service!(define_services);

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
        let secret = secret.map(|secret| String::from_utf8_lossy((*secret).as_ref()).into_owned());
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
        let name = resource_name::parse::<Token>(&request.name);
        let name = name.map_err(|error| status::invalid_name("name", &error))?;
        caller.require_in_org(&name.org, &Token::key(name.clone()))?;
        if let Some(stored) = self.published().state.tokens.get(&name) {
            crud::check_system_owned(&caller, &*stored.object)?;
        }
        let done = self
            .submit(&write, Command::RevokeToken(name.clone()))
            .await?;
        crud::written_object::<Token>(self, &name, &done).map(Response::new)
    }
}
