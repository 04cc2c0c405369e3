//! Implementation of the core's ports by the write path.

use std::sync::Arc;

use tokio::sync::watch;
use toolgate_api::KeyringReader;
use toolgate_control_core::{
    Command, CommandContext, ObjectKey,
    port::{
        BoxFuture, CertificateAuthority, CommandWriter, CommitOutcome, CursorSigner,
        EncryptionContext, IssueError, IssuedCertificate, MintedSecret, PlaintextSecret,
        ProbeError, PublicationEnded, PublishedState, SealError, SecretPurpose, SecretSealer,
        ServerProber, StateReader, StateWatcher, StoreError, SubmitError, TokenIssuer,
    },
};
use toolgate_model::{
    Digest, ObjectName, SealedBlob, ServerDefinitions, Slug, Timestamp, TokenHash,
};
use toolgate_vault::{AuthorityError, PeerIdentity, peer_identity};
use toolgate_wire::keys::ProxyKeyring;
use zeroize::Zeroizing;

use crate::WritePath;

/// Receiver of the published state.
struct PublicationReceiver(watch::Receiver<Arc<PublishedState>>);

impl StateWatcher for PublicationReceiver {
    fn latest(&mut self) -> Arc<PublishedState> {
        Arc::clone(&self.0.borrow_and_update())
    }

    fn changed(&mut self) -> BoxFuture<'_, Result<(), PublicationEnded>> {
        Box::pin(async { self.0.changed().await.map_err(|_closed| PublicationEnded) })
    }
}

impl StateReader for WritePath {
    fn published(&self) -> Arc<PublishedState> {
        Arc::clone(&self.writer.published.borrow())
    }

    fn watch_state(&self) -> Box<dyn StateWatcher> {
        Box::new(PublicationReceiver(self.publications()))
    }

    fn now(&self) -> Timestamp {
        self.writer.clock.now()
    }

    fn catch_up(&self, records: Vec<ObjectKey>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move { self.writer.catch_up(&records).await })
    }

    fn local_proxy(&self) -> Option<&Slug> {
        self.local_proxy.as_ref()
    }
}

impl CommandWriter for WritePath {
    fn submit(
        &self,
        command: Command,
        context: CommandContext,
    ) -> BoxFuture<'_, Result<CommitOutcome, SubmitError>> {
        Box::pin(self.write(command, context))
    }
}

impl TokenIssuer for WritePath {
    fn hash(&self, purpose: SecretPurpose, secret: &[u8]) -> TokenHash {
        match purpose {
            SecretPurpose::Bearer => self.token_minter().hash_bytes(secret),
            SecretPurpose::Join => TokenHash(self.token_minter().hash_for("join", secret)),
        }
    }

    fn mint_secret(&self, purpose: SecretPurpose) -> MintedSecret {
        let minted = match purpose {
            SecretPurpose::Bearer => self.token_minter().mint(),
            SecretPurpose::Join => self.token_minter().mint_join(),
        };
        MintedSecret {
            secret: Box::new(minted.secret),
            hash: minted.hash,
            hint: minted.hint,
        }
    }
}

impl CursorSigner for WritePath {
    fn sign(&self, value: &[u8]) -> Digest {
        Digest(self.token_minter().hash_for("cursor", value))
    }
}

impl SecretSealer for WritePath {
    fn seal_secret(
        &self,
        context: &EncryptionContext,
        plain: &[u8],
    ) -> Result<SealedBlob, SealError> {
        self.vault.seal_secret(context, plain)
    }

    fn open_secret(
        &self,
        context: &EncryptionContext,
        sealed: &SealedBlob,
    ) -> Result<PlaintextSecret, SealError> {
        self.vault.open_secret(context, sealed)
    }
}

impl ServerProber for WritePath {
    fn probe_now(
        &self,
        server: ObjectName,
    ) -> BoxFuture<'_, Result<ServerDefinitions, ProbeError>> {
        self.prober.probe_now(server)
    }
}

impl KeyringReader for WritePath {
    fn keyring(&self) -> ProxyKeyring {
        ProxyKeyring {
            token_key: Zeroizing::new(*self.token_minter().key()),
            client_state_keys: self.keys.seal.clone(),
        }
    }
}

impl CertificateAuthority for WritePath {
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
