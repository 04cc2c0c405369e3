//! Keys of identity providers: the control plane with the leadership fetches them once in an interval, and writes them to the
//! store when they change. Proxies get them with the configuration and ask no provider. Keys that were fetched stay in use while
//! their provider cannot be reached; its status shows the error.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    pin::Pin,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use http_body::Body as _;
use serde_json::Value;
use tokio::time::{sleep, timeout};
use toolgate_control_core::{
    Command, CommandAuthor, CommandContext, Rejection, limits, port::SubmitError,
};
use toolgate_egress::{EgressRequestBody, EgressResponseBody, HttpClient};
use toolgate_model::{IdentityProvider, KeySource, ObjectName, Uid, VerificationKey};
use toolgate_wire::admin::key_set;

use crate::{leader_election::Leadership, write_path::StoreWriter};

/// Interval between two attempts at one provider.
const INTERVAL: Duration = Duration::from_secs(30);

/// Pause after which the providers are looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Maximum time of an attempt.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Maximum number of providers that are asked at the same time.
const CONCURRENCY: usize = 8;

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

impl ProviderKeyFetcher {
    /// Fetches keys while this control plane has the leadership. Never ends.
    pub(crate) async fn run(self) {
        let mut attempts: BTreeMap<FetchTarget, Instant> = BTreeMap::new();
        loop {
            if self.leadership.fence().is_some() {
                let due = self.due(&mut attempts);
                let fetches = stream::iter(due).map(|target| self.follow(target));
                fetches
                    .buffer_unordered(CONCURRENCY)
                    .for_each(|()| std::future::ready(()))
                    .await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Returns the targets of which an attempt is due, and records it.
    fn due(&self, attempts: &mut BTreeMap<FetchTarget, Instant>) -> Vec<FetchTarget> {
        let (state, now) = (self.writer.current(), self.writer.clock.monotonic());
        let providers = state.identity_providers.iter();
        let targets = providers.filter_map(|(_, stored)| FetchTarget::of(&stored.object));
        let mut before = std::mem::take(attempts);
        let mut due = Vec::new();
        for target in targets {
            let last = before.remove(&target);
            let last = last.filter(|last| now.saturating_duration_since(*last) < INTERVAL);
            if last.is_none() {
                due.push(target.clone());
            }
            attempts.insert(target, last.unwrap_or(now));
        }
        due
    }

    /// Fetches the keys of one provider and writes what changed.
    async fn follow(&self, target: FetchTarget) {
        let found = timeout(ATTEMPT, Box::pin(fetch(&self.http, &target))).await;
        let found =
            found.unwrap_or_else(|_elapsed| Err(format!("no answer in {} s", ATTEMPT.as_secs())));
        let FetchTarget { name, uid, .. } = target;
        if let Err(problem) = &found {
            tracing::warn!(provider = %name, %problem, "the keys of an identity provider cannot be fetched");
        }
        let command = Command::RecordProviderKeys {
            name: name.clone(),
            uid,
            found,
        };
        let context = CommandContext {
            now: self.writer.clock.now(),
            author: CommandAuthor::Task("provider-keys"),
            request: None,
        };
        let Some(fence) = self.leadership.fence() else {
            return;
        };
        match self.writer.write_fenced(fence, &command, &context).await {
            Ok(_) | Err(SubmitError::Rejected(Rejection::NotFound(_))) => {}
            Err(error) => tracing::warn!(provider = %name, %error, "its keys cannot be stored"),
        }
    }
}

/// Fetches the keys of a provider.
async fn fetch(http: &HttpClient, target: &FetchTarget) -> Result<Vec<VerificationKey>, String> {
    let url = match &target.url {
        Some(url) => url.clone(),
        None => {
            let url = format!("{}{DISCOVERY}", target.issuer.trim_end_matches('/'));
            let document = document(http, &url).await?;
            key_set_url(&document, &target.issuer).map_err(|reason| format!("{url} {reason}"))?
        }
    };
    let set = document(http, &url).await?;
    key_set(&set, limits::PROVIDER_KEYS).map_err(|reason| format!("{url} {reason}"))
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
async fn document(http: &HttpClient, url: &str) -> Result<Vec<u8>, String> {
    let request = Request::builder()
        .method(Method::GET)
        .uri(url)
        .header(header::ACCEPT, "application/json")
        .body(EgressRequestBody::full(""));
    let request = request.map_err(|_invalid| format!("{url} is not a URL"))?;
    let answer = http.request(request).await;
    let answer = answer.map_err(|error| format!("{url}: {error}"))?;
    if answer.status() != StatusCode::OK {
        return Err(format!(
            "{url} answers with status {}",
            answer.status().as_u16()
        ));
    }
    read(answer.into_body())
        .await
        .map_err(|reason| format!("{url} {reason}"))
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
