//! Rights of all methods, one entry each. A method without an entry is rejected, and a test fails until it has one.

use toolgate_control_core::{AccessRight, ObjectKind};

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

use AccessRight::{CreateOrganization, Read, Write};
use ObjectKind::{Credential, Definitions, Gateway, Organization, Proxy, Server, Token};

/// Access rules of all methods.
pub const METHOD_RULES: &[MethodRule] = &[
    admin_rule(
        "toolgate.admin.v1.Organizations/CreateOrganization",
        CreateOrganization,
    ),
    admin_rule(
        "toolgate.admin.v1.Organizations/GetOrganization",
        Read(Organization),
    ),
    admin_rule(
        "toolgate.admin.v1.Organizations/ListOrganizations",
        Read(Organization),
    ),
    admin_rule(
        "toolgate.admin.v1.Organizations/UpdateOrganization",
        Write(Organization),
    ),
    admin_rule(
        "toolgate.admin.v1.Organizations/DeleteOrganization",
        CreateOrganization,
    ),
    admin_rule("toolgate.admin.v1.Gateways/CreateGateway", Write(Gateway)),
    admin_rule("toolgate.admin.v1.Gateways/GetGateway", Read(Gateway)),
    admin_rule("toolgate.admin.v1.Gateways/ListGateways", Read(Gateway)),
    admin_rule("toolgate.admin.v1.Gateways/UpdateGateway", Write(Gateway)),
    admin_rule("toolgate.admin.v1.Gateways/DeleteGateway", Write(Gateway)),
    admin_rule("toolgate.admin.v1.Servers/CreateServer", Write(Server)),
    admin_rule("toolgate.admin.v1.Servers/GetServer", Read(Server)),
    admin_rule("toolgate.admin.v1.Servers/ListServers", Read(Server)),
    admin_rule("toolgate.admin.v1.Servers/UpdateServer", Write(Server)),
    admin_rule("toolgate.admin.v1.Servers/DeleteServer", Write(Server)),
    admin_rule(
        "toolgate.admin.v1.Credentials/CreateCredential",
        Write(Credential),
    ),
    admin_rule(
        "toolgate.admin.v1.Credentials/GetCredential",
        Read(Credential),
    ),
    admin_rule(
        "toolgate.admin.v1.Credentials/ListCredentials",
        Read(Credential),
    ),
    admin_rule(
        "toolgate.admin.v1.Credentials/UpdateCredential",
        Write(Credential),
    ),
    admin_rule(
        "toolgate.admin.v1.Credentials/DeleteCredential",
        Write(Credential),
    ),
    admin_rule("toolgate.admin.v1.Tokens/CreateToken", Write(Token)),
    admin_rule("toolgate.admin.v1.Tokens/GetToken", Read(Token)),
    admin_rule("toolgate.admin.v1.Tokens/ListTokens", Read(Token)),
    admin_rule("toolgate.admin.v1.Tokens/UpdateToken", Write(Token)),
    admin_rule("toolgate.admin.v1.Tokens/DeleteToken", Write(Token)),
    admin_rule("toolgate.admin.v1.Tokens/RevokeToken", Write(Token)),
    admin_rule("toolgate.admin.v1.Proxies/GetProxy", Read(Proxy)),
    admin_rule("toolgate.admin.v1.Proxies/ListProxies", Read(Proxy)),
    admin_rule("toolgate.admin.v1.Proxies/DeleteProxy", Write(Proxy)),
    admin_rule(
        "toolgate.admin.v1.Proxies/CreateJoinToken",
        AccessRight::CreateJoinToken,
    ),
    admin_rule(
        "toolgate.admin.v1.Catalogues/GetCatalogue",
        Read(Definitions),
    ),
    admin_rule(
        "toolgate.admin.v1.Catalogues/ListCatalogues",
        Read(Definitions),
    ),
    admin_rule(
        "toolgate.admin.v1.Catalogues/RefreshCatalogue",
        AccessRight::Probe,
    ),
    admin_rule(
        "toolgate.admin.v1.Versions/ListVersions",
        AccessRight::ReadVersions,
    ),
    // A watch shows only the kinds that the caller may read. This is the least right among them.
    admin_rule("toolgate.admin.v1.Watch/Watch", Read(Organization)),
    fleet_rule("toolgate.push.v1.Fleet/Join", AccessRight::Join),
    fleet_rule(
        "toolgate.push.v1.Fleet/Renew",
        AccessRight::RenewCertificate,
    ),
    fleet_rule("toolgate.push.v1.Push/Subscribe", AccessRight::Push),
    fleet_rule("toolgate.push.v1.Push/Revocations", AccessRight::Push),
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
];

/// Returns the rule for a request path.
pub fn method_rule(path: &str) -> Option<&'static MethodRule> {
    let method = path.strip_prefix('/')?;
    METHOD_RULES.iter().find(|row| row.method == method)
}
