//! Settings of the roles. Every setting is a flag, a variable and a key of the configuration file.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use url::Url;

use crate::cli::{
    client::admin::DATA_DIR,
    commands::{
        fleet::parse_region,
        token::{parse_duration, parse_pause, parse_token_prefix},
    },
};

/// Options of every role.
#[derive(Debug, Clone, Args)]
pub struct CommonOptions {
    /// Configuration file, YAML; its keys are the names of these flags.
    #[arg(long, env = "TOOLGATE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print every setting with where it comes from, and end.
    #[arg(long)]
    pub print_config: bool,
    /// Folder for what has to survive a restart.
    #[arg(
        long,
        env = "TOOLGATE_DATA_DIR",
        default_value = DATA_DIR,
        value_name = "DIR"
    )]
    pub data_dir: PathBuf,
    /// Private port: /livez, /readyz, /metrics.
    #[arg(
        long,
        env = "TOOLGATE_PRIVATE_LISTEN",
        default_value = "127.0.0.1:7401",
        value_name = "HOST:PORT"
    )]
    pub private_listen: SocketAddr,
    /// Name under which the private port is reached, with or without a port; other Host headers are refused. Repeat for
    /// several; loopback names and the listener's own addresses are always accepted.
    #[arg(
        long = "private-host",
        env = "TOOLGATE_PRIVATE_HOST",
        value_delimiter = ',',
        value_name = "HOST[:PORT]"
    )]
    pub private_hosts: Vec<String>,
    /// Format of log lines.
    #[arg(long, env = "TOOLGATE_LOG_FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormatArg,
    /// Filter for log lines, e.g. `info,toolgate_sync=debug`.
    #[arg(long, env = "TOOLGATE_LOG", value_name = "FILTER")]
    pub log: Option<String>,
    /// OTLP collector (gRPC) for traces and metrics, e.g. http://127.0.0.1:4317.
    #[arg(long, env = "TOOLGATE_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Maximum time of a shutdown before what still runs is cut off.
    #[arg(long, env = "TOOLGATE_DRAIN", default_value = "30s", value_name = "DURATION", value_parser = parse_duration)]
    pub drain: Duration,
}

/// Log formats at the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// Policy of outbound connections on behalf of tenants.
#[derive(Clone, Default, Args)]
pub struct EgressOptions {
    /// Network that may be reached though it is not global, e.g. 10.20.0.0/16; also over plain http. Repeat for
    /// several.
    #[arg(
        long = "egress-allow",
        alias = "allow-network",
        env = "TOOLGATE_EGRESS_ALLOW",
        value_delimiter = ',',
        value_name = "CIDR"
    )]
    pub allow: Vec<IpNet>,
    /// Allow plain http to any address that may be reached.
    #[arg(long = "egress-plain-http", env = "TOOLGATE_EGRESS_PLAIN_HTTP")]
    pub plain_http: bool,
    /// Certificate authority trusted beside the system's, PEM.
    #[arg(long = "egress-ca", env = "TOOLGATE_EGRESS_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Proxy for https URLs of servers: http://[USER:PASSWORD@]HOST:PORT. Lower case is read too, here and below; empty
    /// means none.
    #[arg(long, env = "HTTPS_PROXY", hide_env_values = true, value_name = "URL")]
    pub https_proxy: Option<String>,
    /// Proxy for http URLs of servers.
    #[arg(long, env = "HTTP_PROXY", hide_env_values = true, value_name = "URL")]
    pub http_proxy: Option<String>,
    /// Proxy for URLs of servers whose scheme has none of its own.
    #[arg(long, env = "ALL_PROXY", hide_env_values = true, value_name = "URL")]
    pub all_proxy: Option<String>,
    /// Hosts of servers that are reached directly, separated by commas: names with their subdomains, addresses, networks,
    /// or `*`. localhost, 127.0.0.1 and ::1 always are.
    #[arg(long, env = "NO_PROXY", value_name = "HOSTS")]
    pub no_proxy: Option<String>,
}

impl fmt::Debug for EgressOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs of proxies may have passwords.
        f.debug_struct("EgressOptions")
            .field("allow", &self.allow)
            .field("plain_http", &self.plain_http)
            .field("ca", &self.ca)
            .field("no_proxy", &self.no_proxy)
            .finish_non_exhaustive()
    }
}

/// Options of the client listener.
#[derive(Debug, Clone, Args)]
pub struct ClientListenerOptions {
    /// Address at which clients reach gateways.
    #[arg(
        long,
        env = "TOOLGATE_LISTEN",
        default_value = "127.0.0.1:7300",
        value_name = "HOST:PORT"
    )]
    pub listen: SocketAddr,
    /// Name under which clients reach it, with or without a port; other Host and Origin headers are refused. Repeat
    /// for several; loopback names and the listener's own address are always accepted.
    #[arg(
        long = "public-host",
        env = "TOOLGATE_PUBLIC_HOST",
        value_delimiter = ',',
        value_name = "HOST[:PORT]"
    )]
    pub public_hosts: Vec<String>,
    /// Origin of web pages that may use it from a browser (CORS), e.g. https://app.example.com, http://localhost:* for
    /// every port, or * for every origin. Repeat for several. Without: none.
    #[arg(
        long = "allowed-origin",
        env = "TOOLGATE_ALLOWED_ORIGIN",
        value_delimiter = ',',
        value_name = "ORIGIN"
    )]
    pub allowed_origins: Vec<String>,
    /// Certificate chain of the client listener, PEM. Without it the listener speaks plain HTTP.
    #[arg(
        long,
        env = "TOOLGATE_TLS_CERT",
        requires = "tls_key",
        value_name = "FILE"
    )]
    pub tls_cert: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(
        long,
        env = "TOOLGATE_TLS_KEY",
        requires = "tls_cert",
        value_name = "FILE"
    )]
    pub tls_key: Option<PathBuf>,
    /// Time to go on accepting after a shutdown began, until every balancer has noticed.
    #[arg(
        long,
        env = "TOOLGATE_LINGER",
        default_value = "0s",
        value_name = "DURATION",
        value_parser = parse_pause
    )]
    pub linger: Duration,
    /// Region this proxy stands in.
    #[arg(long, env = "TOOLGATE_REGION", default_value = "", value_parser = parse_region)]
    pub region: String,
    /// Limits of requests.
    #[command(flatten)]
    pub limits: RequestLimitOptions,
}

/// Limits of requests, per token and in total.
#[derive(Debug, Clone, Args)]
pub struct RequestLimitOptions {
    /// Maximum number of concurrent requests, in total.
    #[arg(long, env = "TOOLGATE_MAX_REQUESTS", default_value_t = 16_384, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests: u32,
    /// Maximum number of concurrent requests of one API token, or of one subject of an identity provider.
    #[arg(long, env = "TOOLGATE_MAX_REQUESTS_PER_TOKEN", default_value_t = 2_048, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_requests_per_token: u32,
    /// Requests per second of one API token, or of one subject of an identity provider. Without: unlimited.
    #[arg(long, env = "TOOLGATE_RATE_PER_TOKEN", value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub rate_per_token: Option<u32>,
    /// Requests of one token that may come at once before its rate applies.
    #[arg(long, env = "TOOLGATE_BURST_PER_TOKEN", default_value_t = 100, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub burst_per_token: u32,
    /// Maximum number of concurrent calls to one server.
    #[arg(long, env = "TOOLGATE_MAX_CALLS_PER_SERVER", default_value_t = 1_024, value_name = "COUNT",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub max_calls_per_server: u32,
    /// Memory for request bodies that are larger than 4 KiB, all together, in MiB.
    #[arg(long, env = "TOOLGATE_BODY_MEMORY", default_value_t = 256, value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(4..))]
    pub body_memory: u32,
    /// Memory for answers of servers that are larger than 64 KiB, all together, in MiB.
    #[arg(long, env = "TOOLGATE_ANSWER_MEMORY", default_value_t = 256, value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(4..))]
    pub answer_memory: u32,
}

/// Options of the admin API.
#[derive(Debug, Clone, Args)]
pub struct AdminListenerOptions {
    /// Address of the admin API (gRPC and gRPC-Web).
    #[arg(
        long,
        env = "TOOLGATE_ADMIN_LISTEN",
        default_value = "127.0.0.1:7400",
        value_name = "HOST:PORT"
    )]
    pub admin_listen: SocketAddr,
    /// Name under which the admin API is reached, with or without a port; other Host headers are refused. Repeat for
    /// several; loopback names and the listener's own addresses are always accepted.
    #[arg(
        long = "admin-host",
        env = "TOOLGATE_ADMIN_HOST",
        value_delimiter = ',',
        value_name = "HOST[:PORT]"
    )]
    pub admin_hosts: Vec<String>,
    /// Certificate chain for the admin API, PEM. Without it the admin API speaks plain HTTP.
    #[arg(
        long,
        env = "TOOLGATE_ADMIN_CERT",
        requires = "admin_key",
        value_name = "FILE"
    )]
    pub admin_cert: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(
        long,
        env = "TOOLGATE_ADMIN_KEY",
        requires = "admin_cert",
        value_name = "FILE"
    )]
    pub admin_key: Option<PathBuf>,
    /// Speak plain HTTP on an address that is not this machine's own, so that every token and credential can be
    /// read on the network. For networks that are trusted, or where something in front ends TLS.
    #[arg(long, env = "TOOLGATE_INSECURE_ADMIN")]
    pub insecure_admin: bool,
    /// Prefix of bearer tokens. A setting of the deployment: changing it leaves older tokens valid.
    #[arg(long, env = "TOOLGATE_TOKEN_PREFIX", default_value = "archestra", value_parser = parse_token_prefix)]
    pub token_prefix: String,
}

/// Settings of `up`.
#[derive(Debug, Clone, Args)]
pub struct UpOptions {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonOptions,
    /// Client listener.
    #[command(flatten)]
    pub listener: ClientListenerOptions,
    /// Admin API.
    #[command(flatten)]
    pub admin: AdminListenerOptions,
    /// Outbound connections. Loopback is allowed here.
    #[command(flatten)]
    pub egress: EgressOptions,
    /// The data folder was restored from a copy: begin a new epoch. For one start.
    #[arg(long, env = "TOOLGATE_NEW_EPOCH")]
    pub new_epoch: bool,
    /// The store of this data folder was lost, and nothing of it is needed: begin a new deployment. For one start.
    #[arg(long, env = "TOOLGATE_NEW_DEPLOYMENT", conflicts_with = "new_epoch")]
    pub new_deployment: bool,
    /// Start no demo server, and seed neither server nor gateway.
    #[arg(long, env = "TOOLGATE_NO_DEMO")]
    pub no_demo: bool,
}

/// Settings of `control-plane`.
#[derive(Debug, Clone, Args)]
pub struct ControlPlaneOptions {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonOptions,
    /// Admin API.
    #[command(flatten)]
    pub admin: AdminListenerOptions,
    /// Outbound connections of probes.
    #[command(flatten)]
    pub egress: EgressOptions,
    /// etcd members, e.g. http://10.0.0.1:2379. Repeat for several. Without: one file in the data folder.
    #[arg(
        long = "etcd",
        env = "TOOLGATE_ETCD",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub etcd: Vec<Url>,
    /// Key prefix in etcd, for several deployments on one cluster.
    #[arg(long, env = "TOOLGATE_ETCD_PREFIX", default_value = "/toolgate")]
    pub etcd_prefix: String,
    /// Quota of the etcd members (their `--quota-backend-bytes`), in mebibytes. Tells how full they are; etcd from 3.6 on
    /// tells it itself.
    #[arg(
        long = "etcd-quota",
        env = "TOOLGATE_ETCD_QUOTA",
        default_value_t = 2048,
        value_name = "MIB",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub etcd_quota: u32,
    /// Certificate authority of etcd, PEM. Without: those of the system.
    #[arg(long, env = "TOOLGATE_ETCD_CA", value_name = "FILE")]
    pub etcd_ca: Option<PathBuf>,
    /// Our certificate towards etcd, PEM.
    #[arg(
        long,
        env = "TOOLGATE_ETCD_CERT",
        requires = "etcd_key",
        value_name = "FILE"
    )]
    pub etcd_cert: Option<PathBuf>,
    /// Key of that certificate, PEM.
    #[arg(
        long,
        env = "TOOLGATE_ETCD_KEY",
        requires = "etcd_cert",
        value_name = "FILE"
    )]
    pub etcd_key: Option<PathBuf>,
    /// User, where etcd asks for one.
    #[arg(long, env = "TOOLGATE_ETCD_USER", requires = "etcd_password_file")]
    pub etcd_user: Option<String>,
    /// File with that user's password.
    #[arg(
        long,
        env = "TOOLGATE_ETCD_PASSWORD_FILE",
        requires = "etcd_user",
        value_name = "FILE"
    )]
    pub etcd_password_file: Option<PathBuf>,
    /// Address at which proxies connect (gRPC over mutual TLS).
    #[arg(
        long,
        env = "TOOLGATE_PUSH_LISTEN",
        default_value = "127.0.0.1:7410",
        value_name = "HOST:PORT"
    )]
    pub push_listen: SocketAddr,
    /// Name or address under which proxies reach the push listener; its certificate is for these. Repeat for several.
    #[arg(
        long = "push-name",
        env = "TOOLGATE_PUSH_NAME",
        value_delimiter = ',',
        value_name = "NAME"
    )]
    pub push_names: Vec<String>,
    /// Speak to proxies without TLS. For development: any client that reaches the port gets every secret.
    #[arg(long, env = "TOOLGATE_INSECURE_PUSH")]
    pub insecure_push: bool,
    /// File with the key that seals secrets in the store; made on first start. All control planes of a deployment
    /// share it. Without: `key` in the data folder.
    #[arg(long, env = "TOOLGATE_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Make a new admin token if the file `admin-token` is lost; the lost one no longer works then.
    #[arg(long, env = "TOOLGATE_RESET_ADMIN_TOKEN")]
    pub reset_admin_token: bool,
    /// The store was restored from a copy: begin a new epoch, which proxies adopt. For one start of one control plane.
    #[arg(long, env = "TOOLGATE_NEW_EPOCH")]
    pub new_epoch: bool,
    /// The store is empty on purpose, although there was a deployment (or a key file was made beforehand): begin a new
    /// one. For one start of one control plane.
    #[arg(long, env = "TOOLGATE_NEW_DEPLOYMENT", conflicts_with = "new_epoch")]
    pub new_deployment: bool,
}

/// Settings of `proxy`.
#[derive(Debug, Clone, Args)]
pub struct ProxyOptions {
    /// Options of every role.
    #[command(flatten)]
    pub common: CommonOptions,
    /// Client listener.
    #[command(flatten)]
    pub listener: ClientListenerOptions,
    /// Policy of outbound connections.
    #[command(flatten)]
    pub egress: EgressOptions,
    /// Address of the control plane's push listener, e.g. https://10.0.0.1:7410. Repeat for several.
    #[arg(
        long = "control-plane",
        env = "TOOLGATE_CONTROL_PLANE",
        value_delimiter = ',',
        required = true,
        value_name = "URL"
    )]
    pub control_planes: Vec<Url>,
    /// File made by `toolgate proxies join-token`. Needed once, until the proxy has its certificate.
    #[arg(long, env = "TOOLGATE_JOIN", value_name = "FILE")]
    pub join: Option<PathBuf>,
    /// Id of this proxy. Without: made on first start and kept.
    #[arg(long, env = "TOOLGATE_PROXY_ID", value_name = "ID")]
    pub id: Option<String>,
    /// Address at which the other proxies of the fleet reach this one, over TLS with the fleet's own certificates.
    /// With it a balancer may send every request of a session to another proxy. Without it the state of a session
    /// stays on the proxy that opened it.
    #[arg(
        long,
        env = "TOOLGATE_PEER_LISTEN",
        group = "peer_listener",
        value_name = "HOST:PORT"
    )]
    pub peer_listen: Option<SocketAddr>,
    /// Former name of `--peer-listen`.
    #[arg(
        long,
        env = "TOOLGATE_NEIGHBOUR_LISTEN",
        group = "peer_listener",
        hide = true
    )]
    pub neighbour_listen: Option<SocketAddr>,
    /// The address under which they reach it, if it differs from the one it listens at.
    #[arg(
        long,
        env = "TOOLGATE_PEER_ADDRESS",
        requires = "peer_listener",
        value_name = "HOST:PORT"
    )]
    pub peer_address: Option<String>,
    /// Former name of `--peer-address`.
    #[arg(
        long,
        env = "TOOLGATE_NEIGHBOUR_ADDRESS",
        requires = "peer_listener",
        conflicts_with = "peer_address",
        hide = true
    )]
    pub neighbour_address: Option<String>,
    /// Speak to the control plane without TLS. For development only.
    #[arg(long, env = "TOOLGATE_INSECURE_PUSH", conflicts_with = "peer_listener")]
    pub insecure_push: bool,
}

impl ProxyOptions {
    /// Returns the address of the listener for peers.
    pub fn peer_listener(&self) -> Option<SocketAddr> {
        self.peer_listen.or(self.neighbour_listen)
    }

    /// Returns the address at which peers reach this proxy, if it is set.
    pub fn peer_address(&self) -> Option<&str> {
        let address = self.peer_address.as_ref();
        address
            .or(self.neighbour_address.as_ref())
            .map(String::as_str)
    }
}
