//! Tokens that are no longer valid, for the stream of revocations.

use toolgate_model::{Timestamp, Token, TokenHash};

use crate::key::ObjectKey;

use super::StoreState;

impl StoreState {
    /// Returns the hashes of the tokens that are revoked, or expired at `now`.
    pub fn inactive_tokens(&self, now: Timestamp) -> impl Iterator<Item = &TokenHash> {
        let tokens = self.tokens.iter().map(|(_, token)| token);
        let inactive = tokens.filter(move |token| is_inactive(token, now));
        inactive.map(|token| &token.object.hash)
    }

    /// Returns the hashes of the tokens of `earlier` that do not exist any more.
    pub fn removed_tokens<'a>(&'a self, earlier: &'a Self) -> impl Iterator<Item = &'a TokenHash> {
        let tokens = earlier.tokens.iter();
        let hashes = tokens.map(|(_, token)| &token.object.hash);
        hashes.filter(|hash| self.token_by_hash(hash).is_none())
    }

    /// Returns the hashes of the tokens that became invalid since `earlier` was looked at, at the time `then`: revoked,
    /// expired, or removed. Looks at tokens that changed or expired since; `None` if they are not known.
    pub fn tokens_ended_since(
        &self,
        earlier: &Self,
        then: Timestamp,
        now: Timestamp,
    ) -> Option<Vec<TokenHash>> {
        let mut ended = Vec::new();
        for key in self.changes_since(earlier)? {
            let ObjectKey::Token(name) = key else {
                continue;
            };
            let before = earlier.tokens.get(name).map(|before| before.hash);
            ended.extend(before.filter(|hash| self.token_by_hash(hash).is_none()));
            let token = self.tokens.get(name);
            let token = token.filter(|token| is_inactive(token, now));
            ended.extend(token.map(|token| token.hash));
        }
        let expired = self.tokens_expiring(then, now);
        let expired = expired.filter_map(|name| self.tokens.get(name));
        ended.extend(expired.map(|token| token.hash));
        Some(ended)
    }
}

fn is_inactive(token: &Token, now: Timestamp) -> bool {
    token.revoked.is_some() || token.expires.is_some_and(|at| at <= now)
}
