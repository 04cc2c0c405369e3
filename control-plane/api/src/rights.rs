//! Rights of all methods, one entry each. A method without an entry is rejected, and a test fails until it has one.

use toolgate_control_core::{Kind, Right};

/// Listener that serves a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Listener for operators.
    Admin,
    /// Listener for proxies.
    Fleet,
    /// Both listeners.
    Both,
}

/// Access requirement of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No authentication: health checks of load balancers.
    Open,
    /// The caller needs this right; for an object of an organization, in that organization.
    Needs(Right),
}

/// Access rule of one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Method as in the request path, without the leading slash.
    pub method: &'static str,
    /// Listener that serves the method.
    pub side: Side,
    /// Access requirement of the method.
    pub access: Access,
}

const fn admin(method: &'static str, right: Right) -> Row {
    let (side, access) = (Side::Admin, Access::Needs(right));
    Row {
        method,
        side,
        access,
    }
}

const fn fleet(method: &'static str, right: Right) -> Row {
    let (side, access) = (Side::Fleet, Access::Needs(right));
    Row {
        method,
        side,
        access,
    }
}

const fn open(method: &'static str) -> Row {
    let (side, access) = (Side::Both, Access::Open);
    Row {
        method,
        side,
        access,
    }
}

use Kind::{Catalogue, Credential, Gateway, Organization, Proxy, Server, Token};
use Right::{FoundOrganization, Read, Write};

/// Access rules of all methods.
pub const TABLE: &[Row] = &[
    admin(
        "toolgate.admin.v1.Organizations/CreateOrganization",
        FoundOrganization,
    ),
    admin(
        "toolgate.admin.v1.Organizations/GetOrganization",
        Read(Organization),
    ),
    admin(
        "toolgate.admin.v1.Organizations/ListOrganizations",
        Read(Organization),
    ),
    admin(
        "toolgate.admin.v1.Organizations/UpdateOrganization",
        Write(Organization),
    ),
    admin(
        "toolgate.admin.v1.Organizations/DeleteOrganization",
        FoundOrganization,
    ),
    admin("toolgate.admin.v1.Gateways/CreateGateway", Write(Gateway)),
    admin("toolgate.admin.v1.Gateways/GetGateway", Read(Gateway)),
    admin("toolgate.admin.v1.Gateways/ListGateways", Read(Gateway)),
    admin("toolgate.admin.v1.Gateways/UpdateGateway", Write(Gateway)),
    admin("toolgate.admin.v1.Gateways/DeleteGateway", Write(Gateway)),
    admin("toolgate.admin.v1.Servers/CreateServer", Write(Server)),
    admin("toolgate.admin.v1.Servers/GetServer", Read(Server)),
    admin("toolgate.admin.v1.Servers/ListServers", Read(Server)),
    admin("toolgate.admin.v1.Servers/UpdateServer", Write(Server)),
    admin("toolgate.admin.v1.Servers/DeleteServer", Write(Server)),
    admin(
        "toolgate.admin.v1.Credentials/CreateCredential",
        Write(Credential),
    ),
    admin(
        "toolgate.admin.v1.Credentials/GetCredential",
        Read(Credential),
    ),
    admin(
        "toolgate.admin.v1.Credentials/ListCredentials",
        Read(Credential),
    ),
    admin(
        "toolgate.admin.v1.Credentials/UpdateCredential",
        Write(Credential),
    ),
    admin(
        "toolgate.admin.v1.Credentials/DeleteCredential",
        Write(Credential),
    ),
    admin("toolgate.admin.v1.Tokens/CreateToken", Write(Token)),
    admin("toolgate.admin.v1.Tokens/GetToken", Read(Token)),
    admin("toolgate.admin.v1.Tokens/ListTokens", Read(Token)),
    admin("toolgate.admin.v1.Tokens/UpdateToken", Write(Token)),
    admin("toolgate.admin.v1.Tokens/DeleteToken", Write(Token)),
    admin("toolgate.admin.v1.Tokens/RevokeToken", Write(Token)),
    admin("toolgate.admin.v1.Proxies/GetProxy", Read(Proxy)),
    admin("toolgate.admin.v1.Proxies/ListProxies", Read(Proxy)),
    admin("toolgate.admin.v1.Proxies/DeleteProxy", Write(Proxy)),
    admin(
        "toolgate.admin.v1.Proxies/CreateJoinToken",
        Right::CreateJoinToken,
    ),
    admin("toolgate.admin.v1.Catalogues/GetCatalogue", Read(Catalogue)),
    admin(
        "toolgate.admin.v1.Catalogues/ListCatalogues",
        Read(Catalogue),
    ),
    admin(
        "toolgate.admin.v1.Catalogues/RefreshCatalogue",
        Right::Probe,
    ),
    admin(
        "toolgate.admin.v1.Versions/ListVersions",
        Right::ReadVersions,
    ),
    // A watch shows only the kinds that the caller may read. This is the least right among them.
    admin("toolgate.admin.v1.Watch/Watch", Read(Organization)),
    fleet("toolgate.push.v1.Fleet/Join", Right::Join),
    fleet("toolgate.push.v1.Fleet/Renew", Right::RenewCertificate),
    fleet("toolgate.push.v1.Push/Subscribe", Right::Push),
    fleet("toolgate.push.v1.Push/Revocations", Right::Push),
    fleet(
        "toolgate.credential.v1.Credentials/Resolve",
        Right::ResolveCredential,
    ),
    fleet(
        "toolgate.credential.v1.Credentials/GetKeyring",
        Right::ReadKeyring,
    ),
    open("grpc.health.v1.Health/Check"),
    open("grpc.health.v1.Health/Watch"),
    // The list of methods is visible to every caller with a read right.
    admin(
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Read(Organization),
    ),
];

/// Returns the rule for a request path.
pub fn row(path: &str) -> Option<&'static Row> {
    let method = path.strip_prefix('/')?;
    TABLE.iter().find(|row| row.method == method)
}
