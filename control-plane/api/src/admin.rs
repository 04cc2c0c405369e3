//! Admin listener: gRPC and gRPC-Web on one port. Every other request goes to the `pages` router (the console, or
//! nothing).

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use http::header::CONTENT_TYPE;
use rustls::ServerConfig;
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::service::Routes;
use tonic_web::GrpcWebLayer;
use toolgate_proto::{
    admin::v1::{
        calls_server::CallsServer, catalogues_server::CataloguesServer,
        deployment_server::DeploymentServer, proxies_server::ProxiesServer,
        tokens_server::TokensServer, versions_server::VersionsServer, watch_server::WatchServer,
    },
    for_each_kind_service,
};
use toolgate_runtime::{Drain, Readiness, hosts::HostPolicy};
use tower::ServiceExt as _;

use crate::{
    access_control::{self, AccessControl, UnknownTokens},
    api_context::ApiContext,
    call_readers::CallReaders,
    caller::ConnectionPeer,
    control_api::ControlApi,
    deployment::DeploymentService,
    health,
    listen::{self, ServeOptions},
    rights::ListenerKind,
};

/// Maximum size of a request message, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// Maximum number of concurrent requests on the whole listener.
const MAX_REQUESTS: usize = 1024;
/// Maximum time until a response begins. Long enough for a probe on request.
const DEADLINE: Duration = Duration::from_secs(60);
/// Maximum time a connection may take to end when the process drains.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// Options of the admin listener.
#[derive(Default)]
pub struct AdminOptions {
    /// TLS configuration of the listener. `None` means plain text, for loopback or behind a proxy that terminates TLS.
    pub tls: Option<Arc<ServerConfig>>,
    /// Readiness that the health service reports.
    pub readiness: Readiness,
    /// Disables gRPC server reflection.
    pub hide_schema: bool,
    /// Router for browsers. Receives every request that is not gRPC or gRPC-Web.
    pub pages: Router,
    /// Hosts under which the listener is called. `None` serves every host.
    pub hosts: Option<HostPolicy>,
    /// Registry of the readers of calls, shared with the listener for proxies.
    pub call_readers: CallReaders,
}

/// Serves the admin API until the drain starts. Run it with [`Drain::spawn`].
pub async fn serve(
    listener: TcpListener,
    control_api: Arc<dyn ControlApi>,
    options: AdminOptions,
    drain: Drain,
) {
    let (tls, hosts) = (options.tls.clone(), options.hosts.clone());
    let serve = ServeOptions {
        router: router(control_api, options, drain.clone()),
        http1: true,
        drain,
        name: "admin connection",
        reserved_connections: 0,
        grace: GRACE_PERIOD,
        hosts,
    };
    listen::accept(listener, tls, |_certificate| ConnectionPeer::Unknown, serve).await;
}

/// Builds the whole admin API as a router, for a custom listener and for tests.
pub fn router(control_api: Arc<dyn ControlApi>, options: AdminOptions, drain: Drain) -> Router {
    let access_control = Arc::new(AccessControl {
        state: Arc::<dyn ControlApi>::clone(&control_api),
        tokens: Arc::<dyn ControlApi>::clone(&control_api),
        listener: ListenerKind::Admin,
        permits: Arc::new(Semaphore::new(MAX_REQUESTS)),
        unknown_tokens: UnknownTokens::default(),
        deadline: DEADLINE,
    });
    let call_readers = options.call_readers.clone();
    let edge = ApiContext::new(&control_api, call_readers, drain);
    let grpc = routes(&edge, options.hide_schema, options.readiness)
        .into_axum_router()
        .layer(from_fn_with_state(access_control, access_control::enforce))
        .layer(GrpcWebLayer::new());
    options.pages.layer(from_fn_with_state(grpc, dispatch))
}

fn routes(edge: &ApiContext, hide_schema: bool, readiness: Readiness) -> Routes {
    macro_rules! capped {
        ($Server:ident) => {
            $Server::new(edge.clone()).max_decoding_message_size(MAX_MESSAGE)
        };
    }
    macro_rules! add_kinds {
        ($($Kind:ident {
            $owner:ident, $field:ident, $id:ident, $items:ident,
            $get:ident($Get:ident), $list:ident($ListRequest:ident) -> $Listed:ident,
            $create:ident($CreateRequest:ident), $update:ident($Update:ident), $delete:ident($Delete:ident),
            $module:ident::$Service:ident, $Server:ident
        })*) => {
            Routes::new(capped!(TokensServer))
                $(.add_service({
                    let server = toolgate_proto::admin::v1::$module::$Server::new(edge.clone());
                    server.max_decoding_message_size(MAX_MESSAGE)
                }))*
        };
    }
    let routes = for_each_kind_service!(add_kinds)
        .add_service(capped!(ProxiesServer))
        .add_service(capped!(CataloguesServer))
        .add_service(capped!(VersionsServer))
        .add_service(capped!(WatchServer))
        .add_service(capped!(CallsServer))
        .add_service(DeploymentServer::new(DeploymentService {
            state: Arc::clone(&edge.state),
            readiness: readiness.clone(),
        }))
        .add_service(health::server(readiness));
    if hide_schema {
        return routes;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(toolgate_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    // Many clients know the first version only, under its name before it was final.
    match (reflection().build_v1(), reflection().build_v1alpha()) {
        (Ok(final_version), Ok(alpha)) => routes.add_service(final_version).add_service(alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "reflection is not available");
            routes
        }
    }
}

/// Forwards gRPC requests to the services and all other requests to the pages. Decides by content type and not by path,
/// so that a page router with a fallback never answers a gRPC client.
async fn dispatch(State(grpc): State<Router>, request: Request, next: Next) -> Response {
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .map(|value| value.as_bytes());
    if !content_type.is_some_and(|given| given.starts_with(b"application/grpc")) {
        return next.run(request).await;
    }
    match grpc.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
    .into_response()
}

#[cfg(test)]
mod tests;
