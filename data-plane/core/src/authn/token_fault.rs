//! Reasons why a JSON Web Token is refused. The answer gives a reason only for a fault of the form, which is the same at
//! each path, and for a token with a valid signature. Every fault before that has one text, so that an answer does not
//! reveal which gateways exist and which issuers they trust. Logs and metrics have the precise reason.

/// Reason why a token of an identity provider is refused, in the order in which a token is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenFault {
    /// Not a signed JSON Web Token in strict form, or one with an extension.
    Malformed,
    /// Token for another purpose than access.
    Type,
    /// The gateway admits no callers of the issuer.
    UnknownIssuer,
    /// Algorithm that the provider is not configured with.
    Algorithm,
    /// No key of the provider fits.
    UnknownKey,
    /// The signature is not that of the key.
    Signature,
    /// Made for another audience.
    Audience,
    /// Without a time of expiry, expired, or valid for longer than a month.
    Expired,
    /// Not valid yet, or issued in the future.
    NotYetValid,
    /// Without the claim that callers are known by.
    Subject,
    /// Without a claim or group that the gateway requires.
    Requirement,
}

impl TokenFault {
    /// All faults.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::Type,
        Self::UnknownIssuer,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Audience,
        Self::Expired,
        Self::NotYetValid,
        Self::Subject,
        Self::Requirement,
    ];

    /// HTTP status of the response.
    pub const fn status(self) -> u16 {
        match self {
            Self::Requirement => 403,
            Self::Malformed
            | Self::Type
            | Self::UnknownIssuer
            | Self::Algorithm
            | Self::UnknownKey
            | Self::Signature
            | Self::Audience
            | Self::Expired
            | Self::NotYetValid
            | Self::Subject => 401,
        }
    }

    /// Value of `error` in `WWW-Authenticate` (RFC 6750, section 3.1).
    pub const fn error(self) -> &'static str {
        match self.status() {
            403 => "insufficient_scope",
            _ => "invalid_token",
        }
    }

    /// Value of `error_description`, the same for all faults that depend on the gateway and are found before the
    /// signature is verified: printable ASCII without quotation marks and backslashes.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Malformed => "the token is not a signed JWT in compact form",
            Self::Type => "the token is not an access token: its typ is neither JWT nor at+jwt",
            Self::UnknownIssuer | Self::Algorithm | Self::UnknownKey | Self::Signature => {
                "the token is not valid here; the log of the gateway has the reason"
            }
            Self::Audience => "the token was made for another audience",
            Self::Expired => "the token has expired, has no exp, or is valid for more than 31 days",
            Self::NotYetValid => "the token is not valid yet",
            Self::Subject => "the token has no usable subject claim",
            Self::Requirement => "the token has none of the groups or claims required here",
        }
    }

    /// Label for metrics and logs.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Malformed => "token_malformed",
            Self::Type => "token_type",
            Self::UnknownIssuer => "token_unknown_issuer",
            Self::Algorithm => "token_algorithm",
            Self::UnknownKey => "token_unknown_key",
            Self::Signature => "token_signature",
            Self::Audience => "token_audience",
            Self::Expired => "token_expired",
            Self::NotYetValid => "token_not_yet_valid",
            Self::Subject => "token_subject",
            Self::Requirement => "token_requirement",
        }
    }
}
