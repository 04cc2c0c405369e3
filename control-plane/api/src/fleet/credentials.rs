//! Credentials service: gives proxies the secrets that must not be part of a snapshot.

use tonic::{Request, Response, Status};
use toolgate_control_core::Key;
use toolgate_model::{CredentialKind, Name};
use toolgate_proto::credential::v1::{
    GetKeyringRequest, Keyring, ResolveRequest, ResolveResponse, credentials_server,
};
use toolgate_wire::{OpenValue, Wire as _, keys::Resolved};

use super::Members;
use crate::{caller::Caller, kinds::place, status};

#[tonic::async_trait]
impl credentials_server::Credentials for Members {
    async fn resolve(
        &self,
        request: Request<ResolveRequest>,
    ) -> Result<Response<ResolveResponse>, Status> {
        Caller::of(&request)?.everywhere()?;
        let request = request.into_inner();
        let slug = |field, text: &str| text.parse().map_err(|e| status::invalid(field, e));
        let name = Name::new(
            slug("org", &request.org)?,
            slug("credential", &request.credential)?,
        );
        if self.edge.published().state.revision() < request.revision {
            // Another control plane, which is ahead of this one, has sent the proxy this revision.
            self.edge.settle(request.revision).await;
        }
        let published = self.edge.published();
        let stored = published.state.credentials.get(&name);
        let stored = stored.ok_or_else(|| status::not_found(&Key::Credential(name.clone())))?;
        let CredentialKind::StaticHeader { header, value } = &stored.kind;
        let opened = self.edge.desk.seal().open(&place(&name), value);
        let opened = opened.map_err(|error| status::seal(&error))?;
        let resolved = Resolved {
            header: header.clone(),
            value: OpenValue::new((*opened).as_ref().to_vec()),
            revision: stored.modified,
            expires: None,
        };
        Ok(Response::new(resolved.to_proto()))
    }

    async fn get_keyring(
        &self,
        request: Request<GetKeyringRequest>,
    ) -> Result<Response<Keyring>, Status> {
        Caller::of(&request)?.everywhere()?;
        Ok(Response::new(self.edge.desk.keyring().to_proto()))
    }
}
