//! Keys of identity providers: the control plane with the leadership fetches them once in an interval, and writes them to the
//! store when they change. Proxies get them with the configuration and ask no provider. Keys that were fetched stay in use while
//! their provider cannot be reached; its status shows the error.

use std::{
    collections::BTreeMap,
    fmt,
    future::poll_fn,
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{Method, Request, StatusCode, header};
use http_body::Body as _;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, Rejection, limits, port::SubmitError,
};
use toolgate_egress::{
    EgressError, EgressErrorClass, EgressRequestBody, EgressResponseBody, HttpClient,
};
use toolgate_model::{IdentityProvider, KeySource, ObjectName, Slug, Uid, VerificationKey};
use toolgate_runtime::Drain;

use crate::{leader_election::Leadership, write_path::StoreWriter};

/// Interval between two attempts at one provider.
const INTERVAL: Duration = Duration::from_secs(30);

/// Pause after which the providers are looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum time of an attempt.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Maximum number of providers that are asked at the same time, of all organizations and of one: providers that do not answer delay
/// those of their own organization only.
const CONCURRENCY: (usize, usize) = (32, 2);

/// Maximum size of an OpenID configuration, and of a key set, in bytes.
const MAX_DOCUMENT: usize = 256 * 1024;

/// Path of the OpenID configuration below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Fetcher of the keys of identity providers.
pub(crate) struct ProviderKeyFetcher {
    pub(crate) writer: StoreWriter,
    pub(crate) leadership: Leadership,
    pub(crate) http: HttpClient,
}

/// Provider and source of its keys: an attempt is due at once if one of them is new.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct FetchTarget {
    name: ObjectName,
    uid: Uid,
    issuer: String,
    url: Option<String>,
}

impl FetchTarget {
    /// Returns the target; `None` if the keys are listed.
    fn of(provider: &IdentityProvider) -> Option<Self> {
        let url = match provider.key_source() {
            KeySource::Listed => return None,
            KeySource::KeySet(url) => Some(url.to_owned()),
            KeySource::Discovery(_) => None,
        };
        Some(Self {
            name: provider.name.clone(),
            uid: provider.meta.uid,
            issuer: provider.issuer.clone(),
            url,
        })
    }
}

/// Attempts of one control plane at the keys of providers.
#[derive(Debug, Default)]
struct FetchSchedule {
    attempts: BTreeMap<FetchTarget, FetchAttempt>,
}

/// Last attempt at one target.
#[derive(Debug, Clone, Copy)]
struct FetchAttempt {
    /// Time of its start; `None` before the first one.
    started: Option<Instant>,
    is_running: bool,
}

impl FetchSchedule {
    /// Returns the targets of which an attempt is due, the longest wait first, and counts them as running. Forgets
    /// attempts at targets that are gone.
    fn begin(
        &mut self,
        targets: impl Iterator<Item = FetchTarget>,
        now: Instant,
    ) -> Vec<FetchTarget> {
        let mut before = std::mem::take(&mut self.attempts);
        let new = FetchAttempt {
            started: None,
            is_running: false,
        };
        for target in targets {
            let attempt = before.remove(&target).unwrap_or(new);
            self.attempts.insert(target, attempt);
        }
        // An attempt at a target that is gone takes part in the limits until it ends.
        self.attempts
            .extend(before.into_iter().filter(|(_, attempt)| attempt.is_running));
        let is_over = |started: &Instant| now.saturating_duration_since(*started) >= INTERVAL;
        let waiting = self.attempts.iter().filter(|(_, attempt)| {
            !attempt.is_running && attempt.started.as_ref().is_none_or(is_over)
        });
        let mut waiting: Vec<_> = waiting
            .map(|(target, attempt)| (attempt.started, target.clone()))
            .collect();
        waiting.sort();
        let mut running: BTreeMap<Slug, usize> = BTreeMap::new();
        for (target, _) in self.attempts.iter().filter(|(_, it)| it.is_running) {
            *running.entry(target.name.org.clone()).or_default() += 1;
        }
        let (all, of_one) = CONCURRENCY;
        let mut free = all.saturating_sub(running.values().sum());
        let mut begun = Vec::new();
        for (_, target) in waiting {
            let of_organization = running.entry(target.name.org.clone()).or_default();
            if free == 0 {
                break;
            }
            if *of_organization >= of_one {
                continue;
            }
            *of_organization += 1;
            free -= 1;
            let attempt = FetchAttempt {
                started: Some(now),
                is_running: true,
            };
            self.attempts.insert(target.clone(), attempt);
            begun.push(target);
        }
        begun
    }

    /// Records that the attempt at this target has ended.
    fn end(&mut self, target: &FetchTarget) {
        if let Some(attempt) = self.attempts.get_mut(target) {
            attempt.is_running = false;
        }
    }
}

impl ProviderKeyFetcher {
    /// Fetches keys while this control plane has the leadership, until the drain starts. Writes that have begun are awaited.
    pub(crate) async fn run(self, drain: Drain) {
        let mut schedule = FetchSchedule::default();
        let mut running = FuturesUnordered::new();
        while !drain.is_draining() {
            if self.leadership.fence().is_some() {
                let state = self.writer.current();
                let providers = state.identity_providers.iter();
                let targets = providers.filter_map(|(_, stored)| FetchTarget::of(&stored.object));
                let due = schedule.begin(targets, self.writer.clock.monotonic());
                running.extend(due.into_iter().map(|target| self.follow(target, &drain)));
            }
            tokio::select! {
                Some(target) = running.next() => schedule.end(&target),
                () = sleep(PAUSE) => {}
                () = drain.draining() => {}
            }
        }
        while running.next().await.is_some() {}
    }

    /// Fetches the keys of one provider and writes what changed. Returns the target.
    async fn follow(&self, target: FetchTarget, drain: &Drain) -> FetchTarget {
        let found = tokio::select! {
            found = timeout(ATTEMPT, Box::pin(fetch(&self.http, &target))) => found,
            () = drain.draining() => return target,
        };
        let found = found.unwrap_or_else(|_elapsed| Err(FetchProblem::timed_out()));
        let name = &target.name;
        let found = found.map_err(|problem| {
            tracing::warn!(provider = %name, %problem, "the keys of an identity provider cannot be fetched");
            problem.shown()
        });
        let command = Command::RecordProviderKeys {
            name: name.clone(),
            uid: target.uid,
            found,
        };
        let context = CommandContext {
            now: self.writer.clock.now(),
            author: CommandAuthor::Task("provider-keys"),
            request: None,
        };
        let Some(fence) = self.leadership.fence() else {
            return target;
        };
        match self.writer.write_fenced(fence, &command, &context).await {
            Ok(_) | Err(SubmitError::Rejected(Rejection::NotFound(_))) => {}
            Err(error) => tracing::warn!(provider = %name, %error, "its keys cannot be stored"),
        }
        target
    }
}

/// Problem of a fetch. Operators of an organization see the document and the class of the problem; the log has the detail, which
/// would let them map a network.
#[derive(Debug, thiserror::Error)]
#[error("{document} {reason} ({detail})")]
struct FetchProblem {
    document: FetchedDocument,
    reason: String,
    detail: String,
}

/// Document of an identity provider.
#[derive(Debug, Clone, Copy)]
enum FetchedDocument {
    Configuration,
    KeySet,
}

impl fmt::Display for FetchedDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configuration => "the OpenID configuration",
            Self::KeySet => "the key set",
        })
    }
}

impl FetchProblem {
    fn new(document: FetchedDocument, reason: impl Into<String>, url: &str) -> Self {
        Self {
            document,
            reason: reason.into(),
            detail: url.to_owned(),
        }
    }

    fn timed_out() -> Self {
        let reason = format!("was not fetched in {} s", ATTEMPT.as_secs());
        Self::new(FetchedDocument::KeySet, reason, "time limit")
    }

    fn of_egress(document: FetchedDocument, error: &EgressError) -> Self {
        let reason = match error.class() {
            EgressErrorClass::Denied => "is at an address that is not allowed",
            EgressErrorClass::Unresolved => "is at a host whose name has no address",
            EgressErrorClass::Unreachable => "cannot be fetched: no connection could be made",
            EgressErrorClass::Exhausted => {
                "cannot be fetched: the control plane has no descriptor left"
            }
            EgressErrorClass::ForwardProxy => "cannot be fetched: the forward proxy cannot be used",
            EgressErrorClass::Tls => "cannot be fetched: the TLS handshake failed",
            EgressErrorClass::Broken => "cannot be fetched: the connection broke",
        };
        Self::new(document, reason, &error.to_string())
    }

    /// Returns the text that is stored.
    fn shown(&self) -> String {
        format!("{} {}", self.document, self.reason)
    }
}

/// Fetches the keys of a provider.
async fn fetch(
    http: &HttpClient,
    target: &FetchTarget,
) -> Result<Vec<VerificationKey>, FetchProblem> {
    let (configuration, key_set) = (FetchedDocument::Configuration, FetchedDocument::KeySet);
    let url = match &target.url {
        Some(url) => url.clone(),
        None => {
            let url = format!("{}{DISCOVERY}", target.issuer.trim_end_matches('/'));
            let document = document(http, configuration, &url).await?;
            key_set_url(&document, &target.issuer)
                .map_err(|reason| FetchProblem::new(configuration, reason, &url))?
        }
    };
    let set = document(http, key_set, &url).await?;
    toolgate_wire::admin::key_set(&set, limits::PROVIDER_KEYS)
        .map_err(|reason| FetchProblem::new(key_set, reason, &url))
}

/// Returns the URL of the key set in an OpenID configuration, which has to be that of the issuer.
fn key_set_url(document: &[u8], issuer: &str) -> Result<String, &'static str> {
    let document: Value = serde_json::from_slice(document).map_err(|_malformed| "is not JSON")?;
    let member = |name: &str| document.get(name).and_then(Value::as_str);
    if member("issuer") != Some(issuer) {
        return Err("is of another issuer: the member `issuer` differs from `spec.issuer`");
    }
    let url = member("jwks_uri").ok_or("has no `jwks_uri`")?;
    if issuer.starts_with("https:") && !url.starts_with("https:") {
        return Err("names a `jwks_uri` that is not https");
    }
    Ok(url.to_owned())
}

/// Returns the document at a URL. Redirects are not followed: they would let the answer name any address.
async fn document(
    http: &HttpClient,
    document: FetchedDocument,
    url: &str,
) -> Result<Vec<u8>, FetchProblem> {
    let problem = |reason: &str| FetchProblem::new(document, reason, url);
    let request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .body(EgressRequestBody::full(""));
    let request = request.map_err(|_invalid| problem("is at a URL that is not valid"))?;
    let answer = http.request(request).await;
    let answer = answer.map_err(|error| FetchProblem::of_egress(document, &error))?;
    if answer.status() != StatusCode::OK {
        let status = answer.status().as_u16();
        return Err(problem(&format!("is answered with status {status}")));
    }
    read(answer.into_body()).await.map_err(problem)
}

async fn read(mut body: EgressResponseBody) -> Result<Vec<u8>, &'static str> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_broken| "broke off")?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        if whole.len().saturating_add(bytes.len()) > MAX_DOCUMENT {
            return Err("is larger than 256 KiB");
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
