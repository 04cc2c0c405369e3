//! Implementation of the API's interface by the write path.

use std::sync::Arc;

use tokio::sync::watch;
use toolgate_api::{
    CommitOutcome, ControlApi, PublishedState, SecretPurpose, SubmitError,
    control_api::{IssueError, IssuedCertificate, MintedSecret},
};
use toolgate_control_core::{
    Command, CommandContext,
    port::{BoxFuture, SecretSealer, ServerProber},
};
use toolgate_model::{Slug, Timestamp, TokenHash};
use toolgate_vault::{AuthorityError, PeerIdentity, peer_identity};
use toolgate_wire::{PlaintextValue, keys::ProxyKeyring};
use zeroize::Zeroizing;

use crate::WritePath;

impl ControlApi for WritePath {
    fn published(&self) -> watch::Receiver<Arc<PublishedState>> {
        self.publications()
    }

    fn submit(
        &self,
        command: Command,
        context: CommandContext,
    ) -> BoxFuture<'_, Result<CommitOutcome, SubmitError>> {
        Box::pin(self.write(command, context))
    }

    fn now(&self) -> Timestamp {
        self.writer.clock.now()
    }

    fn hash(&self, purpose: SecretPurpose, secret: &[u8]) -> TokenHash {
        TokenHash(match purpose {
            SecretPurpose::Bearer => self.token_minter().hash_bytes(secret).0,
            SecretPurpose::Join => self.token_minter().hash_for("join", secret),
            SecretPurpose::Cursor => self.token_minter().hash_for("cursor", secret),
        })
    }

    fn mint_secret(&self, purpose: SecretPurpose) -> MintedSecret {
        let minted = match purpose {
            SecretPurpose::Bearer => self.token_minter().mint(),
            SecretPurpose::Join | SecretPurpose::Cursor => self.token_minter().mint_join(),
        };
        MintedSecret {
            secret: PlaintextValue::new(minted.secret.as_bytes().to_vec()),
            hash: minted.hash,
            hint: minted.hint,
        }
    }

    fn seal(&self) -> &dyn SecretSealer {
        self.vault.as_ref()
    }

    fn prober(&self) -> &dyn ServerProber {
        self.prober.as_ref()
    }

    fn keyring(&self) -> ProxyKeyring {
        ProxyKeyring {
            token_key: Zeroizing::new(*self.token_minter().key()),
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

    fn proxy_of_certificate(&self, certificate_der: &[u8]) -> Option<Slug> {
        let PeerIdentity::Proxy(id) = peer_identity(certificate_der)?;
        Some(id)
    }

    fn authority_pem(&self) -> String {
        self.keys.authority.certificate_pem()
    }
}
