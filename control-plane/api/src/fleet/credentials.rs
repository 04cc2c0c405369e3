//! Credentials service: gives proxies the secrets that must not be part of a snapshot.

use tonic::{Request, Response, Status};
use toolgate_control_core::{StateKind as _, port::EncryptionContext};
use toolgate_model::{Credential, CredentialKind, ObjectName};
use toolgate_proto::credential::v1::{
    GetKeyringRequest, Keyring, ResolveRequest, ResolveResponse, credentials_server,
};
use toolgate_wire::{PlaintextValue, ProtoConversion as _, keys::ResolvedCredential};

use super::ProxyServices;
use crate::{api_context::wait_published, caller::AdminCaller, status};

#[tonic::async_trait]
impl credentials_server::Credentials for ProxyServices {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        AdminCaller::of(&request)?.require_globally()?;
        let request = request.into_inner();
        let slug = |field, text: &str| text.parse().map_err(|e| status::invalid(field, e));
        let name = ObjectName::new(
            slug("org", &request.org)?,
            slug("credential", &request.credential)?,
        );
        if self.state.published().state.revision() < request.revision {
            // Another control plane, which is ahead of this one, has sent the proxy this revision.
            wait_published(&*self.state, request.revision).await;
        }
        let published = self.state.published();
        let stored = published.state.credentials.get(&name);
        let stored = stored.ok_or_else(|| status::not_found(&Credential::key(name.clone())))?;
        let CredentialKind::StaticHeader { header, value } = &stored.kind;
        let opened = self
            .sealer
            .open(&EncryptionContext::credential_value(&name), value);
        let opened = opened.map_err(|error| status::seal(&error))?;
        let resolved = ResolvedCredential {
            header: header.clone(),
            value: PlaintextValue::new((*opened).as_ref().to_vec()),
            revision: stored.mod_revision,
            expires: None,
        };
        Ok(Response::new(resolved.to_proto()))
    }

    async fn get_keyring(
        &self,
        request: Request<GetKeyringRequest>,
    ) -> Result<Response<Keyring>, Status> {
        AdminCaller::of(&request)?.require_globally()?;
        Ok(Response::new(self.keyring.keyring().to_proto()))
    }
}
