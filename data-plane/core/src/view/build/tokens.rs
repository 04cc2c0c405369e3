//! Tokens of a view.

use std::{collections::BTreeSet, sync::Arc};

use toolgate_model::{
    Digest, ObjectName, Principal, ResourceKey, SnapshotEntries, SnapshotResource,
    SnapshotResourceKind, Uid, snapshot::TokenResource,
};

use crate::{
    Authn, AuthnId, AuthnKind, Caller, Grant, authn::token_view::TokenView, policy::FilterChain,
};

use super::ViewAssembly;

impl ViewAssembly<'_> {
    pub(super) fn tokens(&mut self) {
        let mut affected: BTreeSet<AuthnId> = BTreeSet::new();
        for key in self.written_of(SnapshotResourceKind::Token) {
            self.clear_rejections(key);
            let former = token_at(&self.view.entries, key).map(|(_, it)| AuthnId::from(it.hash));
            if let Some(id) = former {
                self.view.tokens_by_id.remove(&id, &key.name);
                affected.insert(id);
            }
            if let Some((_, token)) = token_at(&self.snapshot.entries, key) {
                let id = AuthnId::from(token.hash);
                self.view.tokens_by_id.insert(id, key.name.clone());
                affected.insert(id);
            }
        }
        for id in affected {
            self.tokens_of_id(id);
        }
    }

    /// Replaces the tokens with this id. The first name has it.
    fn tokens_of_id(&mut self, id: AuthnId) {
        let names: Vec<ObjectName> = self.view.tokens_by_id.get(&id).cloned().collect();
        let snapshot = self.snapshot;
        let mut valid = None;
        for name in names {
            let kind = SnapshotResourceKind::Token;
            let key = ResourceKey { kind, name };
            self.clear_rejections(&key);
            let Some((digest, token)) = token_at(&snapshot.entries, &key) else {
                continue;
            };
            if valid.is_some() {
                self.reject(&key, "another token has the same hash");
                continue;
            }
            valid = Some(self.token(&key, digest, token));
        }
        let former = self.view.tokens.get(&id).cloned();
        match valid {
            Some(view) => self.view.tokens.insert_mut(id, view),
            None => {
                self.view.tokens.remove_mut(&id);
            }
        }
        if let Some(former) = former {
            self.view.principals.release(former.caller.principal());
            let grant = former.caller.grant().digest();
            self.view.grants.release(&grant);
        }
    }

    fn token(
        &mut self,
        key: &ResourceKey,
        digest: Digest,
        token: &TokenResource,
    ) -> Arc<TokenView> {
        let id = AuthnId::from(token.hash);
        let before = self.previous.and_then(|view| view.token(&id));
        let same = before.filter(|before| before.digest == digest && before.name == key.name);
        if let Some(same) = same {
            // Later tokens share its principal and grant.
            let (principal, grant) = (same.caller.principal(), same.caller.grant());
            let principals = &mut self.view.principals;
            principals.acquire(Principal::clone(principal), || Arc::clone(principal));
            let grants = &mut self.view.grants;
            grants.acquire(grant.digest(), || Arc::clone(grant));
            return Arc::clone(same);
        }
        let principal = Principal::of_token(&key.name, &token.hash, &token.subject);
        let principals = &mut self.view.principals;
        let principal = principals.acquire(principal.clone(), || Arc::new(principal));
        let grant = Grant::new(&token.gateways, &token.tools);
        let grants = &mut self.view.grants;
        let grant = grants.acquire(grant.digest(), || Arc::new(grant));
        let authn = Authn {
            id,
            kind: AuthnKind::ApiToken,
            expires: token.expires,
        };
        let admit =
            FilterChain::of_token(Uid::of_token(&key.name, &token.hash), &token.rate_limits);
        let caller = Caller::new(principal, grant, authn).with_admit_filters(admit);
        Arc::new(TokenView {
            name: key.name.clone(),
            caller: caller.with_token(key.name.id.clone()),
            digest,
        })
    }
}

fn token_at<'a>(
    entries: &'a SnapshotEntries,
    key: &ResourceKey,
) -> Option<(Digest, &'a TokenResource)> {
    let entry = entries.get(key)?;
    match &*entry.resource {
        SnapshotResource::Token(token) => Some((entry.digest, token)),
        SnapshotResource::Gateway(_)
        | SnapshotResource::Server(_)
        | SnapshotResource::Catalogue(_) => None,
    }
}
