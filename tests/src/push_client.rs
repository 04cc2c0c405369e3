//! A simulated proxy: it joins the fleet, holds a push stream over mutual TLS, and answers pushes as a proxy does, without
//! serving anything. Hundreds of them fit into one test.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use toolgate_proto::admin::v1::JoinToken;
use toolgate_proto::push::v1::fleet_client::FleetClient;
use toolgate_proto::push::v1::from_proxy::Message;
use toolgate_proto::push::v1::push_client::PushClient;
use toolgate_proto::push::v1::{self as pb};

/// Largest message of a push.
const MESSAGE_LIMIT: usize = 64 << 20;

/// Bytes that a stream takes before they are read.
const STREAM_WINDOW: u32 = 64 * 1024;

/// Kind, organization and id of a resource.
type HeldKey = (i32, String, String);

/// Member of the fleet that holds what it was sent, by digest.
#[derive(Debug)]
pub struct SimulatedProxy {
    id: String,
    push: SocketAddr,
    tls: ClientTlsConfig,
    held: BTreeMap<HeldKey, Vec<u8>>,
    version: Option<pb::Version>,
}

/// Open push stream.
#[derive(Debug)]
pub struct SimulatedStream {
    answers: mpsc::Sender<pb::FromProxy>,
    updates: Streaming<pb::Update>,
}

/// Push that was received as a whole.
#[derive(Debug, Default)]
pub struct SimulatedPush {
    /// Nonce to be named in the answer.
    pub nonce: u64,
    /// Version of the configuration with the push.
    pub version: pb::Version,
    /// Resources that were sent.
    pub puts: Vec<pb::Resource>,
    /// Number of resources that were removed.
    pub removes: usize,
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

fn channel(push: SocketAddr, tls: &ClientTlsConfig) -> Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("https://{push}"))?;
    let endpoint = endpoint.initial_stream_window_size(STREAM_WINDOW);
    Ok(endpoint.tls_config(tls.clone())?.connect_lazy())
}

fn held_key(key: &pb::ResourceKey) -> HeldKey {
    (key.kind, key.org.clone(), key.id.clone())
}

impl SimulatedProxy {
    /// Joins the fleet of the control plane that listens at `push`.
    pub async fn join(id: &str, push: SocketAddr, token: &JoinToken) -> Result<Self> {
        let authority = Certificate::from_pem(&token.ca_pem);
        let tls = ClientTlsConfig::new().ca_certificate(authority);
        let key = KeyPair::generate()?;
        let request = CertificateParams::default().serialize_request(&key)?;
        let join = pb::JoinRequest {
            secret: token.secret.clone(),
            proxy_id: id.to_owned(),
            csr_der: request.der().to_vec(),
        };
        let answer = FleetClient::new(channel(push, &tls)?).join(join).await;
        let certificate = answer.map_err(Box::new)?.into_inner();
        let chain = certificate.chain_der.iter();
        let chain: String = chain.map(|der| pem("CERTIFICATE", der)).collect();
        let identity = Identity::from_pem(chain, key.serialize_pem());
        Ok(Self {
            id: id.to_owned(),
            push,
            tls: tls.identity(identity),
            held: BTreeMap::new(),
            version: None,
        })
    }

    /// Number of resources that it holds.
    #[must_use]
    pub fn resources(&self) -> usize {
        self.held.len()
    }

    fn hello(&self) -> pb::Hello {
        let held = self.held.iter();
        let resources = held.map(|((kind, org, id), digest)| pb::Held {
            key: Some(pb::ResourceKey {
                kind: *kind,
                org: org.clone(),
                id: id.clone(),
            }),
            digest: digest.clone(),
        });
        pb::Hello {
            proxy_id: self.id.clone(),
            build: "simulated".to_owned(),
            start_time_ms: 1,
            held: self.version,
            resources: resources.collect(),
            ..pb::Hello::default()
        }
    }

    /// Opens a connection and a stream on it.
    pub async fn connect(&self) -> Result<SimulatedStream> {
        let (answers, outgoing) = mpsc::channel(4);
        let hello = Message::Hello(self.hello());
        answers.send(from_proxy(hello)).await?;
        let outgoing = stream::unfold(outgoing, |mut outgoing| async {
            let message = outgoing.recv().await?;
            Some((message, outgoing))
        });
        let mut client = PushClient::new(channel(self.push, &self.tls)?)
            .max_decoding_message_size(MESSAGE_LIMIT);
        let answer = client.subscribe(outgoing).await.map_err(Box::new)?;
        Ok(SimulatedStream {
            answers,
            updates: answer.into_inner(),
        })
    }

    /// Takes the next push, and accepts all of it.
    pub async fn accept(&mut self, stream: &mut SimulatedStream) -> Result<SimulatedPush> {
        let push = stream.next().await?;
        for resource in &push.puts {
            let key = resource.key.as_ref().context("a resource without key")?;
            self.held.insert(held_key(key), resource.digest.clone());
        }
        self.version = Some(push.version);
        let ack = pb::Ack {
            nonce: push.nonce,
            version: Some(push.version),
        };
        stream.answer(Message::Ack(ack)).await?;
        Ok(push)
    }
}

fn from_proxy(message: Message) -> pb::FromProxy {
    pb::FromProxy {
        message: Some(message),
    }
}

impl SimulatedStream {
    /// Reads the next push to its end.
    pub async fn next(&mut self) -> Result<SimulatedPush> {
        let mut push = SimulatedPush::default();
        loop {
            let part = self.updates.message().await.map_err(Box::new)?;
            let part = part.context("the stream has ended")?;
            push.nonce = part.nonce;
            push.version = part.version.context("a push without version")?;
            push.puts.extend(part.puts);
            push.removes += part.removes.len();
            if !part.more {
                return Ok(push);
            }
        }
    }

    /// Refuses one resource of a push.
    pub async fn refuse(&self, push: &SimulatedPush, id: &str, reason: &str) -> Result<()> {
        let mut keys = push.puts.iter().filter_map(|put| put.key.clone());
        let key = keys.find(|key| key.id == id);
        ensure!(key.is_some(), "{id} is not in the push");
        let refused = pb::Refused {
            key,
            reason: reason.to_owned(),
        };
        let nack = pb::Nack {
            nonce: push.nonce,
            version: Some(push.version),
            refused: vec![refused],
        };
        self.answer(Message::Nack(nack)).await
    }

    async fn answer(&self, message: Message) -> Result<()> {
        let sent = self.answers.send(from_proxy(message)).await;
        sent.map_err(|_closed| anyhow::anyhow!("the stream has ended"))
    }
}
