//! Status of the deployment: the faults that the process reports as warnings, and the objects in the store that cannot be
//! read.

use std::{collections::BTreeMap, sync::Arc};

use tonic::{Request, Response, Status};
use toolgate_control_core::{
    AccessRight, ObjectKey, ObjectKind, StoreState,
    port::{PublishedState, StateReader},
    restored,
    state::QuarantinedObject,
};
use toolgate_model::{Slug, Timestamp, Token};
use toolgate_proto::admin::v1::{
    DeploymentStatus, DeploymentWarning, GetStatusRequest, ProblemSeverity, deployment_server,
};
use toolgate_runtime::Readiness;

use crate::caller::AdminCaller;

/// Maximum number of objects that are named.
const MAX_NAMED: usize = 100;

/// Maximum number of tokens of an organization that are named in one fault.
const MAX_NAMED_TOKENS: usize = 20;

/// Subject of the process warnings about objects.
pub const OBJECTS: &str = "objects";

/// Subject of the process warnings about the clocks of proxies.
pub const CLOCKS: &str = "clocks";

/// Fault of an object in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectFault {
    /// Organization of the object, if any.
    pub org: Option<Slug>,
    /// Name of the object.
    pub subject: String,
    /// Description of the fault, with the next step.
    pub text: String,
    /// True if the object is out of order; false if something deserves attention.
    pub is_failure: bool,
    /// Name of the kind of fault, which programs compare.
    pub reason: &'static str,
}

/// Service that reports the status of the deployment.
pub(crate) struct DeploymentService {
    pub(crate) state: Arc<dyn StateReader>,
    pub(crate) readiness: Readiness,
}

#[tonic::async_trait]
impl deployment_server::Deployment for DeploymentService {
    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<DeploymentStatus>, Status> {
        let caller = AdminCaller::of(&request)?;
        let of_process = self.readiness.warnings().into_iter();
        // Those about objects name objects of all organizations, and those about clocks name proxies, which tell it themselves.
        let of_process = of_process.filter(|it| ![OBJECTS, CLOCKS].contains(&it.subject));
        let of_process = of_process.map(|warning| DeploymentWarning {
            subject: warning.subject.to_owned(),
            text: warning.text,
            severity: severity(warning.is_failure).into(),
            reason: warning.reason.to_owned(),
        });
        let published = self.state.published();
        let local_proxy = self.state.local_proxy();
        let of_restore = faults_after_restore(&published.state, local_proxy, self.state.now());
        let of_objects = faults_of_objects(&published).chain(of_restore);
        let of_objects = of_objects.filter(|fault| {
            let right = AccessRight::Read(ObjectKind::Organization);
            caller.has_right(right, fault.org.as_ref())
        });
        let of_objects = of_objects.take(MAX_NAMED).map(|fault| DeploymentWarning {
            subject: fault.subject,
            text: fault.text,
            severity: severity(fault.is_failure).into(),
            reason: fault.reason.to_owned(),
        });
        Ok(Response::new(DeploymentStatus {
            warnings: of_process.chain(of_objects).collect(),
        }))
    }
}

fn severity(is_failure: bool) -> ProblemSeverity {
    match is_failure {
        true => ProblemSeverity::Error,
        false => ProblemSeverity::Warning,
    }
}

/// Returns the faults of objects: entries that cannot be read, and objects whose organization does not exist.
pub fn faults_of_objects(published: &PublishedState) -> impl Iterator<Item = ObjectFault> + '_ {
    let unreadable = published.state.quarantine.iter();
    let unreadable = unreadable.map(|(key, entry)| ObjectFault::unreadable(key, entry));
    let orphans = published.state.orphans();
    unreadable.chain(orphans.map(|key| ObjectFault::orphan(&key)))
}

/// Returns what has to be looked at because the store was restored from a copy: tokens that lost their role, tokens that open
/// gateways and may have been deleted after the copy, and proxies that may have been expelled after it. The proxy of this process
/// is none of them.
fn faults_after_restore(
    state: &StoreState,
    local_proxy: Option<&Slug>,
    now: Timestamp,
) -> Vec<ObjectFault> {
    let lost = state.tokens.iter().filter_map(|(name, token)| {
        let role = restored::lost_role(token)?;
        let resource = format!("organizations/{}/tokens/{}", name.org, name.id);
        Some(ObjectFault {
            org: Some(name.org.clone()),
            subject: format!("token {name}"),
            text: format!(
                "lost its role {role} at the admin API when the store was restored, because it may have been revoked after \
                 the copy; `toolgate edit token {resource}` gives it an `adminRole` again, `toolgate token revoke {resource}` ends it"
            ),
            is_failure: false,
            reason: "ROLE_LOST",
        })
    });
    let proxies = restored::proxies_to_check(state, now).into_iter();
    let proxies = proxies.filter(|id| Some(*id) != local_proxy);
    let proxies: Vec<_> = proxies.take(MAX_NAMED).map(ToString::to_string).collect();
    let admitted = (!proxies.is_empty()).then(|| ObjectFault {
        org: None,
        subject: "proxies".to_owned(),
        text: format!(
            "the store was restored from a copy, and a proxy that was expelled after the copy is admitted again: {} are \
             admitted; expel again the proxies that were expelled: `toolgate delete proxy NAME`",
            proxies.join(", ")
        ),
        is_failure: false,
        reason: "PROXIES_ADMITTED_AGAIN",
    });
    let open = tokens_after_restore(state, now);
    lost.chain(open).chain(admitted).collect()
}

/// Returns one fault for the tokens of each organization that open gateways again after a restore.
fn tokens_after_restore(state: &StoreState, now: Timestamp) -> Vec<ObjectFault> {
    let mut by_org: BTreeMap<&Slug, Vec<&Token>> = BTreeMap::new();
    for token in restored::tokens_to_check(state, now) {
        by_org.entry(&token.name.org).or_default().push(token);
    }
    let fault = |(org, tokens): (&Slug, Vec<&Token>)| {
        let named = tokens.iter().take(MAX_NAMED_TOKENS);
        let mut named: Vec<_> = named
            .map(|token| format!("{} ({})", token.name.id, restored::gateways_of(token)))
            .collect();
        let more = tokens.len().saturating_sub(MAX_NAMED_TOKENS);
        if more > 0 {
            named.push(format!("{more} more"));
        }
        ObjectFault {
            org: Some(org.clone()),
            subject: format!("tokens of {org}"),
            text: format!(
                "the store was restored from a copy, and tokens that were deleted after the copy open gateways again: {} have \
                 not been written since; revoke those that were withdrawn: `toolgate token revoke organizations/{org}/tokens/NAME`",
                named.join(", ")
            ),
            is_failure: false,
            reason: "TOKENS_OPEN_AGAIN",
        }
    };
    by_org.into_iter().map(fault).collect()
}

impl ObjectFault {
    fn unreadable(key: &str, entry: &QuarantinedObject) -> Self {
        let parsed: Option<ObjectKey> = key.parse().ok();
        let (reason, at) = (&entry.reason, entry.mod_revision);
        let kept = match entry.keeps_last_form {
            true => ", and its last readable form stays in force",
            false => "",
        };
        Self {
            org: parsed.as_ref().and_then(ObjectKey::org).cloned(),
            subject: parsed.map_or_else(|| key.to_owned(), |key| key.describe()),
            text: format!(
                "cannot be read as it was written at revision {at} ({reason}){kept}; write it again, or delete it"
            ),
            is_failure: true,
            reason: "UNREADABLE",
        }
    }

    fn orphan(key: &ObjectKey) -> Self {
        let org = key.org().map(ToString::to_string).unwrap_or_default();
        Self {
            org: key.org().cloned(),
            subject: key.describe(),
            text: format!(
                "stays in force although its organization {org} does not exist any more; create the organization again, and \
                 then delete what is not needed"
            ),
            is_failure: false,
            reason: "NO_ORGANIZATION",
        }
    }
}
