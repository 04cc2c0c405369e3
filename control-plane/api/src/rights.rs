//! Rights of all methods, one entry each. A method without an entry is rejected, and a test fails until it has one.

use toolgate_control_core::{AccessRight, ObjectKind};
use toolgate_model::for_each_kind;

/// Listener that serves a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Listener for operators.
    Admin,
    /// Listener for proxies.
    Fleet,
    /// Both listeners.
    Both,
}

/// Access requirement of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessRule {
    /// No authentication: health checks of load balancers.
    Public,
    /// The caller needs this right; for an object of an organization, in that organization.
    Requires(AccessRight),
}

/// Access rule of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRule {
    /// Method as in the request path, without the leading slash.
    pub method: &'static str,
    /// Listener that serves the method.
    pub listener: ListenerKind,
    /// Access requirement of the method.
    pub access: AccessRule,
}

const fn admin_rule(method: &'static str, right: AccessRight) -> MethodRule {
    let (side, access) = (ListenerKind::Admin, AccessRule::Requires(right));
    MethodRule {
        method,
        listener: side,
        access,
    }
}

const fn fleet_rule(method: &'static str, right: AccessRight) -> MethodRule {
    let (side, access) = (ListenerKind::Fleet, AccessRule::Requires(right));
    MethodRule {
        method,
        listener: side,
        access,
    }
}

const fn public_rule(method: &'static str) -> MethodRule {
    let (side, access) = (ListenerKind::Both, AccessRule::Public);
    MethodRule {
        method,
        listener: side,
        access,
    }
}

use AccessRight::{Read, Write};
use ObjectKind::{Organization, Proxy, Token};

/// Right to create and delete objects of a kind. Organizations are created and deleted for the whole deployment.
const fn create_right(kind: ObjectKind) -> AccessRight {
    match kind.is_in_organization() {
        true => Write(kind),
        false => AccessRight::CreateOrganization,
    }
}

macro_rules! define_rules {
    (
        desired { $($(#[$ddoc:meta])* $D:ident($DObject:ty, $DId:ty, $dtable:ident, $DMessage:ident) {
            name: $dname:literal, collection: $dcollection:literal, service: $dservice:literal, $($drest:tt)*
        })* }
        observed { $($(#[$odoc:meta])* $O:ident($OObject:ty, $OId:ty, $otable:ident, $OMessage:ident) {
            name: $oname:literal, collection: $ocollection:literal, service: $oservice:literal, $($orest:tt)*
        })* }
    ) => {
        /// Access rules of all methods: first the methods that every kind has.
        pub const METHOD_RULES: &[MethodRule] = &[
            $(
                admin_rule(
                    concat!("toolgate.admin.v1.", $dservice, "/Create", stringify!($DMessage)),
                    create_right(ObjectKind::$D),
                ),
                admin_rule(
                    concat!("toolgate.admin.v1.", $dservice, "/Get", stringify!($DMessage)),
                    Read(ObjectKind::$D),
                ),
                admin_rule(
                    concat!("toolgate.admin.v1.", $dservice, "/List", $dservice),
                    Read(ObjectKind::$D),
                ),
                admin_rule(
                    concat!("toolgate.admin.v1.", $dservice, "/Update", stringify!($DMessage)),
                    Write(ObjectKind::$D),
                ),
                admin_rule(
                    concat!("toolgate.admin.v1.", $dservice, "/Delete", stringify!($DMessage)),
                    create_right(ObjectKind::$D),
                ),
            )*
            $(
                admin_rule(
                    concat!("toolgate.admin.v1.", $oservice, "/Get", stringify!($OMessage)),
                    Read(ObjectKind::$O),
                ),
                admin_rule(
                    concat!("toolgate.admin.v1.", $oservice, "/List", $oservice),
                    Read(ObjectKind::$O),
                ),
            )*
            admin_rule("toolgate.admin.v1.Tokens/RevokeToken", Write(Token)),
            admin_rule("toolgate.admin.v1.Proxies/DeleteProxy", Write(Proxy)),
        admin_rule(
            "toolgate.admin.v1.Proxies/CreateJoinToken",
            AccessRight::CreateJoinToken,
        ),
        admin_rule(
            "toolgate.admin.v1.Catalogues/RefreshCatalogue",
            AccessRight::Probe,
        ),
        admin_rule(
            "toolgate.admin.v1.Versions/ListVersions",
            AccessRight::ReadVersions,
        ),
        // Shows the faults of the deployment, and of the organizations in which the caller may read.
        admin_rule(
            "toolgate.admin.v1.Deployment/GetStatus",
            Read(Organization),
        ),
        admin_rule("toolgate.admin.v1.Calls/TailCalls", AccessRight::ReadCalls),
        // A watch shows only the kinds that the caller may read. This is the least right among them.
        admin_rule("toolgate.admin.v1.Watch/Watch", Read(Organization)),
        fleet_rule("toolgate.push.v1.Fleet/Join", AccessRight::Join),
        fleet_rule(
            "toolgate.push.v1.Fleet/Renew",
            AccessRight::RenewCertificate,
        ),
        fleet_rule("toolgate.push.v1.Push/Subscribe", AccessRight::Push),
        fleet_rule("toolgate.push.v1.Push/Revocations", AccessRight::Push),
        fleet_rule("toolgate.push.v1.Push/Report", AccessRight::Push),
        fleet_rule("toolgate.push.v1.Push/Calls", AccessRight::Push),
        fleet_rule(
            "toolgate.credential.v1.Credentials/Resolve",
            AccessRight::ResolveCredential,
        ),
        fleet_rule(
            "toolgate.credential.v1.Credentials/GetKeyring",
            AccessRight::ReadKeyring,
        ),
        public_rule("grpc.health.v1.Health/Check"),
        public_rule("grpc.health.v1.Health/Watch"),
        // The list of methods is visible to every caller with a read right.
        admin_rule(
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            Read(Organization),
        ),
        admin_rule(
            "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            Read(Organization),
        ),
        ];
    };
}

for_each_kind!(define_rules);

/// Returns the rule for a request path.
pub fn method_rule(path: &str) -> Option<&'static MethodRule> {
    let method = path.strip_prefix('/')?;
    METHOD_RULES.iter().find(|row| row.method == method)
}
