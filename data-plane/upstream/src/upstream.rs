//! The way to servers: a station for each, with what it is presented.

use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use toolgate_client::{ReadLimits, ServerEndpoint};
use toolgate_data_core::{
    ServerView, View,
    port::{CredentialResolver, HeaderCredential, UpstreamSessionHandle},
    refusal::UpstreamFailure,
};
use toolgate_egress::{Egress, HttpClient, PoolOptions};
use toolgate_runtime::{
    Drain, MemoryBudget, SharedClock,
    budget::{BudgetExceeded, BudgetOwner},
};

use crate::{
    flight::old_stream,
    station::{Station, Stations},
};

/// What the way to servers is made of.
pub struct UpstreamOptions {
    /// The only way to open sockets.
    pub egress: Egress,
    /// What to present.
    pub credentials: Arc<dyn CredentialResolver>,
    /// The time.
    pub clock: SharedClock,
    /// Knows what still runs.
    pub drain: Drain,
    /// Bytes of answers that are held at a time, those beyond 64 KiB each.
    pub answers: usize,
}

/// The way to servers.
pub struct Upstream {
    egress: Egress,
    credentials: Arc<dyn CredentialResolver>,
    pub(crate) clock: SharedClock,
    pub(crate) drain: Drain,
    answers: Arc<MemoryBudget>,
    stations: Stations<Target>,
}

/// What is needed to reach one server.
pub(crate) struct Target {
    pub(crate) http: HttpClient,
    bare: Arc<Presented>,
    /// With the credential that was presented last; another one replaces it.
    presented: ArcSwapOption<Presented>,
}

/// A server's endpoint with what is presented there.
pub(crate) struct Presented {
    pub(crate) endpoint: ServerEndpoint,
    credential: Option<Arc<HeaderCredential>>,
}

impl Upstream {
    /// Reaches nothing yet.
    pub fn new(options: UpstreamOptions) -> Self {
        let UpstreamOptions {
            egress,
            credentials,
            clock,
            drain,
            answers,
        } = options;
        Self {
            egress,
            credentials,
            clock,
            drain,
            answers: MemoryBudget::new(answers),
            stations: Stations::new(),
        }
    }

    /// Forgets servers that `view` no longer has.
    pub fn retain(&self, view: &View) {
        self.stations.retain(|name| view.server(name).is_some());
    }

    /// How many servers are being given a pause because they kept failing.
    pub fn open_circuits(&self) -> usize {
        self.stations.open_circuits()
    }

    /// Whether there is room for another answer of this holder's.
    pub(crate) fn has_room(&self, holder: BudgetOwner) -> Result<(), UpstreamFailure> {
        let room = self.answers.has_room(holder);
        room.map_err(|exhausted| match exhausted {
            BudgetExceeded::Total => UpstreamFailure::Overloaded,
            BudgetExceeded::OwnerLimit => UpstreamFailure::TooManyOpen("answers"),
        })
    }

    pub(crate) fn station(
        &self,
        server: &Arc<ServerView>,
    ) -> Result<Arc<Station<Target>>, UpstreamFailure> {
        self.stations.of(server, || {
            let target = Target::new(&self.egress, server, &self.answers)?;
            let clock = Arc::clone(&self.clock);
            Ok(Station::new(Arc::clone(server), target, clock))
        })
    }

    /// The endpoint, with the credential as it is now.
    pub(crate) async fn present(
        &self,
        station: &Station<Target>,
    ) -> Result<Arc<Presented>, UpstreamFailure> {
        let server = &station.server;
        let Some(reference) = &server.credential else {
            return Ok(Arc::clone(&station.target.bare));
        };
        let org = &server.name.org;
        let credential = match self.credentials.held(org, reference) {
            Some(held) => held,
            None => self.credentials.resolve(org, reference).await?,
        };
        station.target.with(credential)
    }
}

impl Presented {
    /// The endpoint, with no time limit longer than `most`. Apart, so that calls without a limit of their own carry none.
    pub(crate) fn within(&self, most: Duration) -> Box<ServerEndpoint> {
        Box::new(self.endpoint.clone().with_max_timeout(most))
    }

    /// The same within this session, if it is one in which a server answers on a stream of its own.
    pub(crate) fn inside(self: Arc<Self>, link: Option<&UpstreamSessionHandle>) -> Arc<Self> {
        match link.and_then(old_stream) {
            None => self,
            old => Arc::new(Self {
                endpoint: self.endpoint.clone().with_http_sse(old),
                credential: self.credential.clone(),
            }),
        }
    }
}

impl Target {
    fn new(
        egress: &Egress,
        server: &ServerView,
        answers: &Arc<MemoryBudget>,
    ) -> Result<Self, UpstreamFailure> {
        let endpoint = ServerEndpoint::at(&server.url, None, server.timeouts);
        let endpoint = endpoint.map_err(|error| {
            tracing::error!(server = %server.name, %error, "the server cannot be called");
            UpstreamFailure::Unreachable
        })?;
        let http = egress.http(PoolOptions {
            connect_timeout: server.timeouts.connect,
            ..PoolOptions::default()
        });
        let limits = ReadLimits {
            message: server.max_answer.bytes(),
        };
        let bare = Arc::new(Presented {
            endpoint: endpoint
                .with_limits(limits)
                .with_response_budget(Arc::clone(answers)),
            credential: None,
        });
        Ok(Self {
            http,
            bare,
            presented: ArcSwapOption::empty(),
        })
    }

    fn with(&self, credential: Arc<HeaderCredential>) -> Result<Arc<Presented>, UpstreamFailure> {
        if let Some(presented) = &*self.presented.load()
            && let Some(known) = &presented.credential
            && Arc::ptr_eq(known, &credential)
        {
            return Ok(Arc::clone(presented));
        }
        let name = HeaderName::from_bytes(credential.name.as_bytes());
        let value = HeaderValue::from_bytes(&credential.value);
        let (Ok(name), Ok(mut value)) = (name, value) else {
            return Err(UpstreamFailure::Credential);
        };
        value.set_sensitive(true);
        let endpoint = ServerEndpoint {
            header: Some((name, value)),
            ..self.bare.endpoint.clone()
        };
        let presented = Arc::new(Presented {
            endpoint,
            credential: Some(credential),
        });
        self.presented.store(Some(Arc::clone(&presented)));
        Ok(presented)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}
