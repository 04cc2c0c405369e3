//! Domain types shared by the control plane and the data plane. Values are valid by construction: they are validated
//! where they enter (`shared/wire`, the admin API) and not checked again inside a plane. The crate is pure: no IO, no
//! clock, no randomness.

pub mod call_record;
pub mod change_log;
pub mod clock_reading;
pub mod credential_kind;
pub mod desired;
pub mod digest;
pub mod endpoint;
pub mod gateway_claim;
pub mod identity_provider;
pub mod kind;
pub mod name;
pub mod observed;
pub mod origin_pattern;
pub mod principal;
pub mod probe_problem;
pub mod protocol_version;
pub mod rate_limit;
pub mod reverse_index;
pub mod secret;
pub mod server_health;
pub mod snapshot;
pub mod text;
pub mod time;
pub mod uid;
pub mod version;

pub use call_record::{CallEndKind, CallFilter, CallQuery, CallRecord};
pub use change_log::{ChangeLog, ChangeLogPosition};
pub use clock_reading::{CLOCK_TOLERANCE, ClockReading};
pub use credential_kind::{CredentialKind, FieldPlace, SealedField};
pub use desired::{
    AdminRole, AllowList, BindingSelection, CallTimeouts, Credential, DriftPolicy, EraPolicy,
    Gateway, MaxAnswer, ObjectMeta, Organization, PrefixMode, RelayPolicy, Server, ServerBinding,
    SessionSharing, Token, TokenScope, ToolListing, ToolShapeSpec,
};
pub use digest::Digest;
pub use endpoint::{Endpoint, EndpointList, ServerSource};
pub use gateway_claim::GatewayClaim;
pub use identity_provider::{
    AdmittedProvider, ClaimMapping, ClaimPath, EllipticCurve, FetchedKeys, IdentityProvider,
    InvalidClaimPath, KeyMaterial, KeySource, RequiredClaim, SignatureAlgorithm, TrustedIssuer,
    VerificationKey,
};
pub use kind::{KindObject, ObjectId, ObjectKind};
pub use name::{InvalidSlug, ObjectName, Slug};
pub use observed::{
    Definition, DefinitionsPart, Era, ProxyStatus, ResourceRejection, ServerDefinitions,
};
pub use origin_pattern::{CredentialHosts, InvalidOriginPattern, OriginPattern};
pub use principal::{Principal, PrincipalSubject, TokenSubject};
pub use probe_problem::{ProbeFailure, ProbeOutcome, ProbeProblem};
pub use protocol_version::{ProtocolVersion, UnknownVersion};
pub use rate_limit::{RateLimit, RateLimitKey, RateLimitLevel};
pub use reverse_index::ReverseIndex;
pub use secret::{SealedBlob, TokenHash};
pub use server_health::{EndpointFailure, HealthState, ServerHealth};
pub use snapshot::{
    CredentialScope, Delta, ResourceKey, Snapshot, SnapshotEntries, SnapshotResource,
    SnapshotResourceKind, UriMode,
};
pub use time::Timestamp;
pub use uid::{InvalidUid, Uid};
pub use version::Version;
