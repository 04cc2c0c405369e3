//! Credentials service: gives proxies the secrets that must not be part of a snapshot.

use tonic::{Request, Response, Status};
use toolgate_control_core::{
    StateKind as _,
    port::{SealedCredentialField, sealed_credential_fields},
};
use toolgate_model::{Credential, CredentialScope, ObjectName, PrincipalSubject, Uid};
use toolgate_proto::credential::v1::{
    self as pb, GetKeyringRequest, Keyring, ResolveRequest, ResolveResponse, credentials_server,
    principal::Subject,
};
use toolgate_wire::{
    PlaintextValue, ProtoConversion as _,
    keys::{ResolvedCredential, ResolvedField},
};

use super::{ProxyServices, unreferenced};
use crate::{api_context::wait_published, caller::AdminCaller, status};

#[tonic::async_trait]
impl credentials_server::Credentials for ProxyServices {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        let caller = AdminCaller::of(&request)?;
        caller.require_globally()?;
        let request = request.into_inner();
        let slug = |field, text: &str| text.parse().map_err(|e| status::invalid(field, e));
        let name = ObjectName::new(
            slug("org", &request.org)?,
            slug("credential", &request.credential)?,
        );
        let server = match request.server.as_str() {
            "" => None,
            id => Some(ObjectName::new(name.org.clone(), slug("server", id)?)),
        };
        let principal = principal(request.principal.as_ref())?;
        let revision = request.revision.max(request.config_revision);
        if self.state.published().state.revision() < revision {
            // Another control plane, which is ahead of this one, has sent the proxy this revision.
            wait_published(&*self.state, revision).await;
        }
        let published = self.state.published();
        // A proxy resolves only what its configuration refers to, for what refers to it.
        if !unreferenced::is_referenced(&published.compiled.snapshot, server.as_ref(), &name) {
            let refused = status::unreferenced(server.as_ref(), &name);
            self.unreferenced.record(&caller.author(), (server, name));
            return Err(refused);
        }
        let stored = published.state.credentials.get(&name);
        let stored = stored.ok_or_else(|| status::not_found(&Credential::key(name.clone())))?;
        if stored.kind.scope() == CredentialScope::PerPrincipal && principal.is_none() {
            let reason = "is missing: the credential is not shared by principals";
            return Err(status::invalid("principal", reason));
        }
        let open = |field: SealedCredentialField<'_>| {
            let opened = self.sealer.open_secret(&field.context, field.value);
            let opened = opened.map_err(|error| status::seal(&error))?;
            Ok(ResolvedField {
                place: field.place,
                name: field.name.to_owned(),
                value: PlaintextValue::new((*opened).as_ref().to_vec()),
            })
        };
        let fields = sealed_credential_fields(stored).into_iter().map(open);
        let resolved = ResolvedCredential {
            fields: fields.collect::<Result<_, Status>>()?,
            revision: stored.mod_revision,
            expires: None,
            hosts: stored.hosts.clone(),
        };
        Ok(Response::new(resolved.to_proto()))
    }

    async fn get_keyring(
        &self,
        request: Request<GetKeyringRequest>,
    ) -> Result<Response<Keyring>, Status> {
        AdminCaller::of(&request)?.require_globally()?;
        let keyring = self.keyring.keyring();
        if request.get_ref().known_digest == keyring.digest().0 {
            // Keys that are not sent leave no copy in the buffers of the connection.
            return Ok(Response::new(Keyring {
                token_key: Vec::new(),
                client_state_keys: Vec::new(),
                unchanged: true,
            }));
        }
        Ok(Response::new(keyring.to_proto()))
    }
}

/// Reads the principal of a request.
fn principal(given: Option<&pb::Principal>) -> Result<Option<PrincipalSubject>, Status> {
    let Some(given) = given else {
        return Ok(None);
    };
    let slug = |field, text: &str| text.parse().map_err(|e| status::invalid(field, e));
    match &given.subject {
        Some(Subject::Organization(true)) => Ok(Some(PrincipalSubject::AllCallers)),
        Some(Subject::Token(id)) => Ok(Some(PrincipalSubject::Token {
            id: slug("principal.token", id)?,
            uid: match given.token_uid.as_str() {
                "" => Uid::default(),
                uid => uid
                    .parse()
                    .map_err(|e| status::invalid("principal.token_uid", e))?,
            },
        })),
        Some(Subject::Team(id)) => Ok(Some(PrincipalSubject::Team(slug("principal.team", id)?))),
        Some(Subject::User(id)) => Ok(Some(PrincipalSubject::User(slug("principal.user", id)?))),
        Some(Subject::Provider(id)) => Ok(Some(PrincipalSubject::External {
            provider: slug("principal.provider", id)?,
            uid: given
                .provider_uid
                .parse()
                .map_err(|e| status::invalid("principal.provider_uid", e))?,
            subject: given.external_subject.as_str().into(),
        })),
        Some(Subject::Organization(false)) | None => Err(status::invalid(
            "principal",
            "is empty or unknown to this build",
        )),
    }
}
