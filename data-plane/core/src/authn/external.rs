//! Callers of identity providers: verification of their tokens against what a gateway trusts. A verified token stands for
//! a principal of the provider, at this gateway only.
//!
//! The id of the proof has two halves: the start of the keyed hash of the token, and the anchor of the key that verified
//! it. An anchor names a key together with everything that the gateway requires of its tokens; a view knows the anchors of
//! its gateways. A proof is valid while its anchor is known, so that a view without the provider, without the key, or with
//! another requirement ends all that was admitted by it, and nothing has to be kept about single tokens.

use std::{sync::Arc, time::Duration};

use toolgate_model::{
    AllowList, Digest, ObjectName, Principal, PrincipalSubject, Timestamp, TokenHash,
    TrustedIssuer, Uid, VerificationKey,
};

use crate::{
    Authn, AuthnId, AuthnKind, Caller, Grant, Refusal,
    authn::{
        jwt::{self, UnverifiedToken},
        token_fault::TokenFault,
    },
    port::SignatureVerifier,
};

/// Difference of clocks that is tolerated.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Longest time to expiry that is accepted.
pub const MAX_LIFETIME: Duration = Duration::from_secs(31 * 86_400);

/// Maximum length of a subject in bytes. With the provider it fits into a record of a request.
const SUBJECT_LIMIT: usize = 200;

/// Anchor of trust: a key of a provider, and what a gateway requires of the tokens that it verifies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct TrustAnchor([u8; 16]);

/// Identity providers that a gateway trusts.
#[derive(Debug)]
pub(crate) struct GatewayTrust {
    org: toolgate_model::Slug,
    issuers: Vec<(TrustedIssuer, Vec<TrustAnchor>)>,
    /// Access of their callers: all of the gateway, and nothing else.
    grant: Arc<Grant>,
    digest: Digest,
}

impl GatewayTrust {
    /// Creates the trust of a gateway.
    pub(crate) fn new(gateway: &ObjectName, uid: Option<Uid>, issuers: &[TrustedIssuer]) -> Self {
        let anchored = issuers.iter().map(|issuer| {
            let anchor = |key| TrustAnchor::new(gateway, uid, issuer, key);
            let anchors = issuer.keys.iter().map(anchor).collect();
            (issuer.clone(), anchors)
        });
        let gateways = AllowList::Only(vec![gateway.id.clone()]);
        Self {
            org: gateway.org.clone(),
            issuers: anchored.collect(),
            grant: Arc::new(Grant::new(&gateways, &AllowList::All)),
            digest: Digest::of(&(gateway, uid, issuers)),
        }
    }

    /// Anchors of all keys.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = TrustAnchor> {
        self.issuers
            .iter()
            .flat_map(|(_, anchors)| anchors)
            .copied()
    }

    /// Access of the callers that the anchor of this proof admits; `None` if it is not one of the gateway.
    pub(crate) fn grant_of(&self, id: &AuthnId) -> Option<&Arc<Grant>> {
        let anchor = TrustAnchor::of_proof(id);
        self.anchors().any(|it| it == anchor).then_some(&self.grant)
    }

    /// Returns the key under which the verdict about a token with this hash is cached. It changes with what is trusted.
    pub(crate) fn verdict_key(&self, hash: &TokenHash) -> [u8; 32] {
        let mut key = hash.0;
        for (byte, other) in key.iter_mut().zip(self.digest.0) {
            *byte ^= other;
        }
        key
    }

    /// Verifies a token and returns its caller.
    fn verify(
        &self,
        token: &UnverifiedToken<'_>,
        hash: &TokenHash,
        verifier: &dyn SignatureVerifier,
        now: Timestamp,
    ) -> Result<Caller, TokenFault> {
        let mut fault = None;
        for (issuer, anchors) in &self.issuers {
            if issuer.issuer != token.issuer {
                continue;
            }
            match check(issuer, anchors, token, verifier, now) {
                Ok((anchor, expires, subject)) => {
                    let subject = PrincipalSubject::External {
                        provider: issuer.provider.clone(),
                        uid: issuer.uid,
                        subject,
                    };
                    let org = self.org.clone();
                    let authn = Authn {
                        id: anchor.proof(hash),
                        kind: AuthnKind::IdentityProvider,
                        expires: Some(expires),
                    };
                    let principal = Arc::new(Principal { org, subject });
                    return Ok(Caller::new(principal, Arc::clone(&self.grant), authn));
                }
                Err(found) => fault = fault.max(Some(found)),
            }
        }
        Err(fault.unwrap_or(TokenFault::UnknownIssuer))
    }
}

impl TrustAnchor {
    fn new(
        gateway: &ObjectName,
        uid: Option<Uid>,
        issuer: &TrustedIssuer,
        key: &VerificationKey,
    ) -> Self {
        let rest = TrustedIssuer {
            keys: Vec::new(),
            ..issuer.clone()
        };
        let Digest(digest) = Digest::of(&("trust anchor", gateway, uid, rest, key));
        let mut anchor = [0; 16];
        anchor.copy_from_slice(&digest[..16]);
        Self(anchor)
    }

    /// Returns the anchor in the id of a proof. That of an API token holds none: it equals no anchor, except by chance.
    pub(crate) fn of_proof(id: &AuthnId) -> Self {
        let mut anchor = [0; 16];
        anchor.copy_from_slice(&id.0[16..]);
        Self(anchor)
    }

    /// Returns the id of the proof by a token with this hash.
    fn proof(self, hash: &TokenHash) -> AuthnId {
        let mut id = hash.0;
        id[16..].copy_from_slice(&self.0);
        AuthnId(id)
    }
}

/// Verifies a token of an identity provider that the gateway trusts. A path without a gateway is treated like a gateway
/// without identity providers.
pub(crate) fn authenticate(
    trust: Option<&GatewayTrust>,
    token: &str,
    hash: &TokenHash,
    verifier: &dyn SignatureVerifier,
    now: Timestamp,
) -> Result<Caller, Refusal> {
    let verified = jwt::read(token).and_then(|token| {
        let trust = trust.ok_or(TokenFault::UnknownIssuer)?;
        trust.verify(&token, hash, verifier, now)
    });
    verified.map_err(Refusal::InvalidToken)
}

/// Checks a token of the issuer: signature, audience, time, subject, requirements. Returns the anchor of its key, its time of
/// expiry and its subject.
fn check(
    issuer: &TrustedIssuer,
    anchors: &[TrustAnchor],
    token: &UnverifiedToken<'_>,
    verifier: &dyn SignatureVerifier,
    now: Timestamp,
) -> Result<(TrustAnchor, Timestamp, Box<str>), TokenFault> {
    let algorithm = token.algorithm.ok_or(TokenFault::Algorithm)?;
    if !issuer.algorithms.contains(&algorithm) {
        return Err(TokenFault::Algorithm);
    }
    let keys = issuer.keys.iter().zip(anchors);
    let fits = |(key, _): &(&VerificationKey, &TrustAnchor)| match &token.key {
        Some(id) => key.id == *id && key.fits(algorithm),
        None => key.fits(algorithm),
    };
    let mut fitting = keys.filter(fits);
    // A token without the id of its key is accepted only if there is no choice.
    let (Some((key, anchor)), None) = (fitting.next(), fitting.next()) else {
        return Err(TokenFault::UnknownKey);
    };
    if !verifier.is_valid(key, algorithm, token.signed, token.signature) {
        return Err(TokenFault::Signature);
    }
    let claims = &token.claims;
    let audiences = claims.get("aud").and_then(jwt::texts);
    let audiences = audiences.ok_or(TokenFault::Audience)?;
    if !audiences
        .iter()
        .any(|it| issuer.audiences.iter().any(|own| own == it))
    {
        return Err(TokenFault::Audience);
    }
    let expires = check_times(claims, now)?;
    let subject = subject(issuer, claims).ok_or(TokenFault::Subject)?;
    let has = |required: &toolgate_model::RequiredClaim| {
        let found = required.claim.of(claims).and_then(jwt::texts);
        let found = found.unwrap_or_default();
        found
            .iter()
            .any(|it| required.values.iter().any(|value| value == it))
    };
    if !issuer.required.iter().all(has) {
        return Err(TokenFault::Requirement);
    }
    Ok((*anchor, expires, subject))
}

/// Checks the times of a token, and returns that of its expiry here.
fn check_times(claims: &serde_json::Value, now: Timestamp) -> Result<Timestamp, TokenFault> {
    let expires = jwt::time(claims, "exp")?.ok_or(TokenFault::Expired)?;
    let until = expires.after(CLOCK_SKEW);
    if now >= until || expires > now.after(MAX_LIFETIME) {
        return Err(TokenFault::Expired);
    }
    for name in ["nbf", "iat"] {
        if jwt::time(claims, name)?.is_some_and(|from| from > now.after(CLOCK_SKEW)) {
            return Err(TokenFault::NotYetValid);
        }
    }
    Ok(until)
}

fn subject(issuer: &TrustedIssuer, claims: &serde_json::Value) -> Option<Box<str>> {
    let subject = issuer.subject.of(claims)?.as_str()?;
    let is_usable = (1..=SUBJECT_LIMIT).contains(&subject.len())
        && !subject.chars().any(|c| c.is_control() || c.is_whitespace());
    is_usable.then(|| subject.into())
}

#[cfg(test)]
mod tests;
