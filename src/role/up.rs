//! Role `up`: everything in one process. The proxy receives its configuration over memory instead of a network,
//! with the same protocol; everything else is as in a fleet.

use std::net::SocketAddr;

use futures_util::StreamExt as _;
use tokio::io::{DuplexStream, copy_bidirectional};
use toolgate_actor::ActorSystem;
use toolgate_control_plane::{ControlPlane, FirstToken, RestoredAccess};
use toolgate_data_plane::sync::{ControlPlaneTransport, SyncOptions};
use toolgate_runtime::memory::{self, MemoryListener};

use super::{
    ProcessContext, RunningRole,
    admin_address::AdminAddressFile,
    announce::{self, StartupMessage},
    control_plane::{self, ControlPlaneSettings, TOKEN_FILE},
    demo_token, egress,
    options::UpOptions,
    proxy, seed,
};
use crate::demo;

/// Id of the proxy in the process.
const PROXY_ID: &str = "local";
/// Folder of the proxy's own files in the data folder.
const PROXY_FOLDER: &str = "proxy";

/// Builds all parts, including the demo server.
pub async fn build(
    mut options: UpOptions,
    context: &ProcessContext,
) -> anyhow::Result<RunningRole> {
    let data_dir = options.common.data_dir.clone();
    options.listener.listen = resolve_port(options.listener.listen)?;
    let policy = egress::policy(&options.egress, true)?;
    let actors = ActorSystem::start(1)?;
    let setting = ControlPlaneSettings {
        data_dir: &data_dir,
        key_file: None,
        token_prefix: &options.admin.token_prefix,
        // The data folder already gives full access, so that a lost token is simply replaced.
        reset_admin_token: true,
        new_epoch: options.new_epoch,
        new_deployment: options.new_deployment,
        exclusive_store: true,
        local_proxy: Some(PROXY_ID.parse()?),
        egress: policy.clone(),
    };
    let admin_listener = control_plane::AdminListenerBuilder::new(&options.admin, context)?;
    let store = control_plane::open_embedded_store(&data_dir, &context.clock)?;
    let (dialer, connections) = memory::pair();
    let sync = SyncOptions {
        proxy_id: Some(PROXY_ID.parse()?),
        region: options.listener.region.clone(),
        listen: proxy::advertised_url(&options.listener),
        data_dir: Some(data_dir.join(PROXY_FOLDER)),
        ..SyncOptions::new(ControlPlaneTransport::Memory(dialer))
    };
    // A saved configuration is served while the control plane reads its store.
    let data_plane = async {
        let source = proxy::start_sync(sync, context).await?;
        proxy::serve(source, &options.listener, policy, None, context)
    };
    let control_plane = control_plane::start(setting, store, context, &actors);
    let (data_plane, control_plane) = tokio::try_join!(data_plane, control_plane)?;
    accept_in_memory(connections, &control_plane, context);
    let admin = admin_listener.bind(&control_plane, context).await?;

    let posted = AdminAddressFile::create(&data_dir, &admin)?;

    let file = data_dir.join(TOKEN_FILE);
    let admin_token = control_plane::read_trimmed(&file)?;
    let mut welcome = StartupMessage {
        gateway_address: proxy::advertised_url(&options.listener),
        admin: admin.clone(),
        data_dir: data_dir.clone(),
        new_admin_token: matches!(control_plane.first_token(), FirstToken::Created)
            .then(|| admin_token.clone()),
        admin_token_file: file,
        private_listen: context.private_address,
        demo_token: None,
        on_terminal: announce::is_on_terminal(),
    };
    if !options.no_demo {
        let url = demo::start(context.clock.clone(), &context.drain).await?;
        let file = std::path::absolute(data_dir.join(demo_token::FILE))?;
        let seeded =
            seed::seed_demo(&admin, &admin_token, &url, &welcome.gateway_address, file).await?;
        welcome.demo_token = Some(seeded);
    }
    let mut announcement = announce::lines(&welcome);
    announcement.extend(
        control_plane
            .restored()
            .map(RestoredAccess::lines)
            .unwrap_or_default(),
    );
    Ok(RunningRole {
        announcement,
        actors: vec![data_plane.actors().clone(), actors],
        address_file: Some(posted),
    })
}

/// Replaces port 0 by a free port before the listener opens, so that the proxy can report its address.
fn resolve_port(listen: SocketAddr) -> anyhow::Result<SocketAddr> {
    if listen.port() != 0 {
        return Ok(listen);
    }
    Ok(std::net::TcpListener::bind(listen)?.local_addr()?)
}

/// Accepts in-memory connections to the control plane of this process, also those dialled before.
fn accept_in_memory(
    mut incoming: MemoryListener,
    control_plane: &ControlPlane,
    context: &ProcessContext,
) {
    let (fleet, drain) = (control_plane.fleet().clone(), context.drain.clone());
    let draining = drain.draining();
    let drain_handle = drain.clone();
    let accept = async move {
        while let Some(Ok(connection)) = incoming.next().await {
            drop(drain_handle.spawn("memory connection", relay(connection, fleet.connect())));
        }
    };
    drop(drain.spawn("memory connections", async move {
        tokio::select! {
            () = accept => {}
            () = draining => {}
        }
    }));
}

/// Copies data in both directions until either side closes.
async fn relay(mut left: DuplexStream, mut right: DuplexStream) {
    if let Err(error) = copy_bidirectional(&mut left, &mut right).await {
        tracing::debug!(%error, "a connection in memory ended");
    }
}
