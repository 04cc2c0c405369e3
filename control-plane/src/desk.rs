//! Implementation of the API's interface by the write path.

use std::sync::Arc;

use tokio::sync::watch;
use toolgate_api::{
    Desk, Outcome, Published, Purpose, SubmitError,
    desk::{IssueError, IssuedCertificate, Minted},
};
use toolgate_control_core::{
    Command, Context,
    port::{BoxFuture, Prober, Seal},
};
use toolgate_model::{Slug, Timestamp, TokenHash};
use toolgate_vault::{AuthorityError, PeerIdentity, peer_identity};
use toolgate_wire::{OpenValue, keys::Keyring};
use zeroize::Zeroizing;

use crate::Spine;

impl Desk for Spine {
    fn published(&self) -> watch::Receiver<Arc<Published>> {
        self.publications()
    }

    fn submit(
        &self,
        command: Command,
        context: Context,
    ) -> BoxFuture<'_, Result<Outcome, SubmitError>> {
        Box::pin(self.write(command, context))
    }

    fn now(&self) -> Timestamp {
        self.writer.clock.now()
    }

    fn hash(&self, purpose: Purpose, secret: &[u8]) -> TokenHash {
        TokenHash(match purpose {
            Purpose::Bearer => self.minter().hash_bytes(secret).0,
            Purpose::Join => self.minter().hash_for("join", secret),
            Purpose::Cursor => self.minter().hash_for("cursor", secret),
        })
    }

    fn mint(&self, purpose: Purpose) -> Minted {
        let minted = match purpose {
            Purpose::Bearer => self.minter().mint(),
            Purpose::Join | Purpose::Cursor => self.minter().mint_join(),
        };
        Minted {
            secret: OpenValue::new(minted.secret.as_bytes().to_vec()),
            hash: minted.hash,
            hint: minted.hint,
        }
    }

    fn seal(&self) -> &dyn Seal {
        self.vault.as_ref()
    }

    fn prober(&self) -> &dyn Prober {
        self.prober.as_ref()
    }

    fn keyring(&self) -> Keyring {
        Keyring {
            token_key: Zeroizing::new(*self.minter().key()),
            seal_keys: self.keys.seal.clone(),
        }
    }

    fn issue(&self, proxy: &Slug, csr_der: &[u8]) -> Result<IssuedCertificate, IssueError> {
        let authority = &self.keys.authority;
        let issued = authority.issue_proxy(proxy, csr_der, self.writer.clock.now());
        let issued = issued.map_err(|error| match error {
            AuthorityError::BadRequest(reason) => IssueError::InvalidRequest(reason),
            AuthorityError::Unusable(reason) => IssueError::Unavailable(reason),
        })?;
        Ok(IssuedCertificate {
            chain: issued.chain.iter().map(|der| der.to_vec()).collect(),
            authority: authority.certificate().to_vec(),
            not_after: issued.not_after,
        })
    }

    fn peer(&self, certificate_der: &[u8]) -> Option<Slug> {
        let PeerIdentity::Proxy(id) = peer_identity(certificate_der)?;
        Some(id)
    }

    fn authority_pem(&self) -> String {
        self.keys.authority.certificate_pem()
    }
}
