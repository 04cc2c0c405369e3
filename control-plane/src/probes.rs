//! Connects server discovery to the write path: the targets come from the published state, the headers from
//! credentials, and the definitions are written as commands.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderName, HeaderValue};
use tokio::sync::watch;
use toolgate_api::{Published, SubmitError};
use toolgate_catalog::{
    Catalog, CatalogueSink, HeaderError, HeaderSource, SinkError, Target, Targets,
};
use toolgate_control_core::{
    Command, Context, Rejection, State,
    port::{BoxFuture, ProbeError, Prober, Seal, SealPlace},
};
use toolgate_model::{Catalogue, CredentialKind, Name, snapshot::CredentialRef};
use toolgate_vault::Vault;

use crate::{spine::Writer, tenure::Tenure};

/// Number of waiting operators of this control plane, by server.
type Asked = BTreeMap<Name, usize>;

/// Derives the servers to probe and keeps them up to date: all servers if this control plane has the leadership, else
/// only the servers requested by an operator. Ends with the publications.
pub(crate) async fn derive_targets(
    mut published: watch::Receiver<Arc<Published>>,
    tenure: Tenure,
    mut asked: watch::Receiver<Asked>,
    targets: watch::Sender<Arc<Targets>>,
) {
    let mut held = tenure.watch();
    loop {
        let mut wanted = targets_of(&published.borrow_and_update().state);
        let all = held.borrow_and_update().is_some();
        {
            let asked = asked.borrow_and_update();
            wanted.retain(|name, _| all || asked.contains_key(name));
        }
        let wanted = Arc::new(wanted);
        targets.send_if_modified(|current| {
            let differs = *current != wanted;
            *current = wanted;
            differs
        });
        let open = tokio::select! {
            changed = published.changed() => changed.is_ok(),
            changed = held.changed() => changed.is_ok(),
            changed = asked.changed() => changed.is_ok(),
        };
        if !open {
            return;
        }
    }
}

fn targets_of(state: &State) -> Targets {
    let target = |(name, server): (&Name, &toolgate_control_core::Stored<_>)| {
        let server: &toolgate_model::Server = server;
        let credential = server.credential.as_ref();
        let credential = credential.map(|id| Name::new(name.org.clone(), id.clone()));
        let credential = credential.and_then(|name| state.credentials.get(&name));
        let revision = credential.map(|credential| credential.modified);
        (name.clone(), Arc::new(Target::of(server, revision)))
    };
    state.servers.iter().map(target).collect()
}

/// Probes on request. The request is answered by this control plane, regardless of the leadership.
pub(crate) struct OnDemand {
    catalog: Catalog,
    asked: Arc<watch::Sender<Asked>>,
}

impl OnDemand {
    pub(crate) fn new(catalog: Catalog, asked: Arc<watch::Sender<Asked>>) -> Self {
        Self { catalog, asked }
    }
}

impl Prober for OnDemand {
    fn probe_now(&self, server: Name) -> BoxFuture<'_, Result<Catalogue, ProbeError>> {
        let question = Question::new(&self.asked, &server);
        Box::pin(async move {
            let answer = self.catalog.probe_now(server).await;
            drop(question);
            answer
        })
    }
}

/// Keeps its server among the targets of this control plane until dropped.
struct Question {
    asked: Arc<watch::Sender<Asked>>,
    server: Name,
}

impl Question {
    fn new(asked: &Arc<watch::Sender<Asked>>, server: &Name) -> Self {
        asked.send_modify(|asked| *asked.entry(server.clone()).or_default() += 1);
        Self {
            asked: Arc::clone(asked),
            server: server.clone(),
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.asked.send_modify(|asked| {
            if let Some(count) = asked.get_mut(&self.server) {
                *count -= 1;
            }
            asked.retain(|_, count| *count > 0);
        });
    }
}

/// Writes server definitions to the store.
pub(crate) struct Sink {
    pub(crate) writer: Writer,
    pub(crate) tenure: Tenure,
    pub(crate) asked: watch::Receiver<Asked>,
}

impl Sink {
    /// Writes the definitions. With the leadership, the write is fenced. Without it, only definitions that an operator
    /// requested are written, unfenced.
    async fn keep(&self, catalogue: Catalogue) -> Result<(), SubmitError> {
        let wanted = self.asked.borrow().contains_key(&catalogue.server);
        let command = Command::RecordCatalogue(catalogue);
        let context = Context {
            now: self.writer.clock.now(),
            author: "system/prober".to_owned(),
            request: None,
        };
        let Some(fence) = self.tenure.fence() else {
            return match wanted {
                true => self.writer.write(&command, &context).await.map(drop),
                false => Err(SubmitError::Contended),
            };
        };
        let written = self.writer.write_fenced(&fence, &command, &context).await;
        if written == Err(SubmitError::Contended) && !self.writer.stands(&fence).await {
            self.tenure.doubt();
        }
        written.map(drop)
    }
}

impl CatalogueSink for Sink {
    fn earlier(&self, server: &Name) -> BoxFuture<'_, Option<Catalogue>> {
        let state = self.writer.current();
        let kept = state
            .catalogues
            .get(server)
            .map(|kept| (*kept.object).clone());
        Box::pin(async move { kept })
    }

    fn store(&self, catalogue: Catalogue) -> BoxFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            match self.keep(catalogue).await {
                Ok(()) | Err(SubmitError::Rejected(Rejection::NotFound(_))) => Ok(()),
                Err(error) => Err(SinkError(error.to_string())),
            }
        })
    }
}

/// Opens credentials for probes.
pub(crate) struct Headers {
    pub(crate) published: watch::Receiver<Arc<Published>>,
    pub(crate) vault: Arc<Vault>,
}

impl HeaderSource for Headers {
    fn header(
        &self,
        server: &Name,
        credential: &CredentialRef,
    ) -> BoxFuture<'_, Result<(HeaderName, HeaderValue), HeaderError>> {
        let found = self.open(&Name::new(server.org.clone(), credential.id.clone()));
        Box::pin(async move { found })
    }
}

impl Headers {
    fn open(&self, name: &Name) -> Result<(HeaderName, HeaderValue), HeaderError> {
        let state = Arc::clone(&self.published.borrow().state);
        let missing = || HeaderError(format!("there is no credential {name}; create it"));
        let credential = state.credentials.get(name).ok_or_else(missing)?;
        let CredentialKind::StaticHeader { header, value } = &credential.kind;
        let unusable = || HeaderError(format!("credential {name} cannot be opened; set it again"));
        let place = SealPlace::credential_value(name);
        let opened = self.vault.open(&place, value).map_err(|_| unusable())?;
        let header = HeaderName::try_from(header.as_str()).map_err(|_| unusable())?;
        let mut value = HeaderValue::from_bytes((*opened).as_ref()).map_err(|_| unusable())?;
        value.set_sensitive(true);
        Ok((header, value))
    }
}
