//! Client of an etcd cluster with one connection to one member at a time. If the member does not respond in time,
//! the next member is used: immediately if no request was sent yet, otherwise for the next call. A read, which may be
//! repeated, is also sent to the next member while the first one is silent.

use std::{
    fmt,
    future::Future,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use etcd_client::{Certificate, Client, ConnectOptions, GetOptions, Identity, TlsOptions};
use futures_util::future::join_all;
use tokio::{
    select,
    sync::Semaphore,
    time::{sleep, timeout},
};
use toolgate_control_core::port::StoreError;

use super::{
    CALL_TIMEOUT, CONNECT_TIMEOUT, EtcdOptions, EtcdTls, HEDGE_DELAY, KEEPALIVE_INTERVAL,
    KEEPALIVE_TIMEOUT, error::from_etcd,
};

/// Maximum number of reads that are sent to a second member at a time. Each opens a connection.
const MAX_HEDGES: usize = 4;

pub(super) struct ClusterClient {
    endpoints: Vec<String>,
    options: ConnectOptions,
    /// Key of a local read that checks if a member is reachable.
    probe_key: Vec<u8>,
    current: AtomicUsize,
    client: Mutex<Option<(usize, Client)>>,
    hedges: Semaphore,
}

impl fmt::Debug for ClusterClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterClient")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

/// Client connected to a member, with the index of the member.
pub(super) struct MemberClient {
    pub(super) index: usize,
    pub(super) client: Client,
}

impl ClusterClient {
    pub(super) fn new(options: EtcdOptions) -> Result<Self, StoreError> {
        if options.endpoints.is_empty() {
            let reason =
                "no etcd endpoint is configured; name at least one, e.g. http://127.0.0.1:2379";
            return Err(StoreError::InvalidRequest(reason.to_owned()));
        }
        for endpoint in &options.endpoints {
            let https = endpoint.starts_with("https://");
            if !https && !endpoint.starts_with("http://") {
                let reason = format!("etcd endpoint `{endpoint}` is not an http or https URL");
                return Err(StoreError::InvalidRequest(reason));
            }
            if !https && options.tls.is_some() {
                let reason = format!("etcd endpoint `{endpoint}` has TLS options but is not https");
                return Err(StoreError::InvalidRequest(reason));
            }
        }
        let mut connect = ConnectOptions::new()
            .with_keep_alive(KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(tls) = options.tls {
            connect = connect.with_tls(tls_options(tls));
        }
        if let Some((name, password)) = options.user {
            connect = connect.with_user(name, password);
        }
        Ok(Self {
            probe_key: format!("{}/v1/", options.namespace).into_bytes(),
            endpoints: options.endpoints,
            options: connect,
            current: AtomicUsize::new(0),
            client: Mutex::new(None),
            hedges: Semaphore::new(MAX_HEDGES),
        })
    }

    /// Sends one call to one member. After an error for which a retry may help, the next call uses another member.
    pub(super) async fn call<T, F, Fut>(&self, ask: F) -> Result<T, StoreError>
    where
        F: FnOnce(Client) -> Fut,
        Fut: Future<Output = Result<T, etcd_client::Error>>,
    {
        self.call_noting(&OnceLock::new(), ask).await
    }

    /// Same as [`Self::call`]; sets `index` to the index of the member before the call is sent.
    async fn call_noting<T, F, Fut>(&self, index: &OnceLock<usize>, ask: F) -> Result<T, StoreError>
    where
        F: FnOnce(Client) -> Fut,
        Fut: Future<Output = Result<T, etcd_client::Error>>,
    {
        let attempt = async {
            let member = self.member().await?;
            let _set_once = index.set(member.index);
            ask(member.client).await.map_err(from_etcd)
        };
        let result = match timeout(CALL_TIMEOUT, attempt).await {
            Ok(result) => result,
            Err(_elapsed) => Err(no_answer()),
        };
        if let (Err(StoreError::Unavailable(_)), Some(index)) = (&result, index.get()) {
            self.fail_over(*index);
        }
        result
    }

    /// Sends a read to the current member, and after [`HEDGE_DELAY`], or as soon as that fails, also to the next one. The
    /// first answer counts; if the next member gave it, later calls use this member, and so do the reads that wait for their
    /// turn to be sent twice.
    pub(super) async fn read<T, F, Fut>(&self, ask: F) -> Result<T, StoreError>
    where
        F: Fn(Client) -> Fut,
        Fut: Future<Output = Result<T, etcd_client::Error>>,
    {
        let asked = OnceLock::new();
        let mut first = Box::pin(self.call_noting(&asked, &ask));
        select! {
            result = &mut first => return match result {
                // The connection is lost, and the call has left the member: a read may be repeated.
                Err(StoreError::Unavailable(_)) => self.call(&ask).await,
                answered => answered,
            },
            () = sleep(HEDGE_DELAY) => {}
        }
        let index = asked.get().copied().unwrap_or_else(|| self.current());
        let next = (index + 1) % self.endpoints.len();
        if next == index {
            return first.await;
        }
        let second = async {
            let _permit = self.hedges.acquire().await;
            if self.current() != index {
                return Ok((None, self.call(&ask).await?));
            }
            let client = self.connect(next).await?;
            let value = ask(client.clone()).await.map_err(from_etcd)?;
            Ok::<_, StoreError>((Some(client), value))
        };
        let mut second = Box::pin(timeout(CALL_TIMEOUT, second));
        select! {
            biased;
            result = &mut first => match result {
                Err(StoreError::Unavailable(_)) => match second.await {
                    Ok(Ok((_client, value))) => Ok(value),
                    Ok(Err(error)) => Err(error),
                    Err(_elapsed) => Err(no_answer()),
                },
                answered => answered,
            },
            result = &mut second => match result {
                Ok(Ok((client, value))) => {
                    if let Some(client) = client {
                        self.switch(index, next, client);
                    }
                    Ok(value)
                }
                Ok(Err(_)) | Err(_) => first.await,
            },
        }
    }

    /// Returns a client of a member that has responded.
    pub(super) async fn member(&self) -> Result<MemberClient, StoreError> {
        if let Some((index, client)) = self.client().clone() {
            return Ok(MemberClient { index, client });
        }
        let mut problem = StoreError::Unavailable("no etcd member answers".to_owned());
        for _ in &self.endpoints {
            let index = self.current();
            let connect = timeout(CONNECT_TIMEOUT, self.connect(index)).await;
            match connect {
                Ok(Ok(client)) => {
                    *self.client() = Some((index, client.clone()));
                    return Ok(MemberClient { index, client });
                }
                Ok(Err(error)) => problem = self.with_member_host(index, error),
                Err(_elapsed) => {}
            }
            self.fail_over(index);
        }
        Err(problem)
    }

    /// Connects to every member that answers, in the order of the endpoints, beside the connection for calls.
    pub(super) async fn each_member(&self) -> Result<Vec<Client>, StoreError> {
        let connecting = (0..self.endpoints.len()).map(|index| async move {
            match timeout(CONNECT_TIMEOUT, self.connect(index)).await {
                Ok(Ok(client)) => Ok(client),
                Ok(Err(error)) => Err(self.with_member_host(index, error)),
                Err(_elapsed) => Err(StoreError::Unavailable("no etcd member answers".to_owned())),
            }
        });
        let (mut clients, mut problem) = (Vec::new(), None);
        for connected in join_all(connecting).await {
            match connected {
                Ok(client) => clients.push(client),
                Err(error) => problem = Some(error),
            }
        }
        match problem {
            Some(error) if clients.is_empty() => Err(error),
            Some(_) | None => Ok(clients),
        }
    }

    /// Adds the host of the member to an error, without URL parts before the host, such as a password.
    fn with_member_host(&self, index: usize, error: StoreError) -> StoreError {
        let endpoint = self.endpoints.get(index);
        let host =
            endpoint.and_then(|endpoint| endpoint.rsplit(['@', '/']).find(|it| !it.is_empty()));
        let (StoreError::Unavailable(reason), Some(host)) = (&error, host) else {
            return error;
        };
        StoreError::Unavailable(format!("etcd at {host}: {reason}"))
    }

    async fn connect(&self, index: usize) -> Result<Client, StoreError> {
        let endpoint: Vec<&String> = self.endpoints.get(index).into_iter().collect();
        let options = Some(self.options.clone());
        let client = Client::connect(endpoint, options)
            .await
            .map_err(from_etcd)?;
        // Connections are lazy: a read that the member serves locally shows if it is reachable.
        let local = GetOptions::new().with_serializable().with_count_only();
        let answer = client
            .kv_client()
            .get(self.probe_key.as_slice(), Some(local))
            .await;
        answer.map_err(from_etcd)?;
        Ok(client)
    }

    /// Drops the connection to the member at index `place` and selects the next member.
    pub(super) fn fail_over(&self, index: usize) {
        let mut client = self.client();
        if client
            .as_ref()
            .is_some_and(|(current, _)| *current == index)
        {
            *client = None;
        }
        let next = (index + 1) % self.endpoints.len();
        // A concurrent call may have selected another member already. Its choice is kept.
        let _moved =
            self.current
                .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Uses the connection to the member `next` instead of that to `index`, unless another call has left `index` already.
    fn switch(&self, index: usize, next: usize, connected: Client) {
        let mut client = self.client();
        let moved =
            self.current
                .compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
        if moved.is_ok() {
            *client = Some((next, connected));
        }
    }

    /// Returns the index of the member that new calls use.
    fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed) % self.endpoints.len()
    }

    fn client(&self) -> MutexGuard<'_, Option<(usize, Client)>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("etcd did not answer within 2 s".to_owned())
}

fn tls_options(tls: EtcdTls) -> TlsOptions {
    let mut options = TlsOptions::new();
    options = if tls.ca_pem.is_empty() {
        options.with_enabled_roots()
    } else {
        options.ca_certificate(Certificate::from_pem(tls.ca_pem))
    };
    if let Some((certificate, key)) = tls.client_pem {
        options = options.identity(Identity::from_pem(certificate, key));
    }
    match tls.server_name {
        Some(name) => options.domain_name(name),
        None => options,
    }
}
