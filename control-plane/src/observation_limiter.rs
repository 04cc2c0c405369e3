//! Limits the bytes of definitions that are stored, of each server and of all, so that a server whose definitions change at
//! every probe fills neither the store nor its history. A server above its budget is unstable: its definitions are
//! stored as often as the budget refills, and operators see the problem.

use std::{collections::BTreeMap, time::Duration};

use toolgate_model::{ObjectName, ProbeFailure, ProbeProblem};

#[cfg(test)]
mod tests;

/// Largest budget of one server: a few changes of the largest definitions, or many of usual ones.
const SERVER_BYTES: u64 = 4 * 1024 * 1024;
/// Time in which the budget of a server refills.
const SERVER_REFILL: Duration = Duration::from_secs(600);
/// Part of the store's quota that is the budget of all servers. History is kept for a minute, so that what is stored
/// takes about twice this part.
const TOTAL_SHARE: u64 = 16;
/// Part of the budget of all servers that one server has at most.
const SERVER_SHARE: u64 = 4;
/// Time in which the budget of all servers refills.
const TOTAL_REFILL: Duration = Duration::from_secs(60);

/// Decision about a write of definitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ObservationAdmission {
    /// Write them.
    Write,
    /// Write them with the problem that they change too often.
    WriteUnstable,
    /// Do not write them now: they change too often.
    Defer,
    /// Do not write them now: those of all servers are too many.
    Postpone,
}

/// Budgets of the servers. Times are monotonic.
#[derive(Debug, Default)]
pub(crate) struct ObservationLimiter {
    servers: BTreeMap<ObjectName, ServerBudget>,
    total: ByteBudget,
}

#[derive(Debug, Default)]
struct ServerBudget {
    bytes: ByteBudget,
    is_unstable: bool,
}

/// Bytes taken from a budget, which refill with time. May be overdrawn by one write.
#[derive(Debug, Default)]
struct ByteBudget {
    taken: u64,
    at: Duration,
}

impl ByteBudget {
    /// Returns the bytes taken at `now` from a budget of `bytes`, which refills within `refill`.
    fn refill(&mut self, bytes: u64, refill: Duration, now: Duration) -> u64 {
        let passed = now.saturating_sub(self.at).as_millis();
        let refilled = u128::from(bytes) * passed / refill.as_millis().max(1);
        let refilled = u64::try_from(refilled).unwrap_or(u64::MAX);
        if refilled > 0 || self.taken == 0 {
            self.taken = self.taken.saturating_sub(refilled);
            self.at = now;
        }
        self.taken
    }
}

impl ObservationLimiter {
    /// Decides about a write of `bytes` of `server` in a store with this quota, and takes them from the budgets.
    pub(crate) fn admit(
        &mut self,
        server: &ObjectName,
        bytes: u64,
        quota: u64,
        now: Duration,
    ) -> ObservationAdmission {
        let total_bytes = quota / TOTAL_SHARE;
        let total_taken = self.total.refill(total_bytes, TOTAL_REFILL, now);
        let server_bytes = server_bytes(quota);
        // What is seen for the first time has not changed.
        let charged = match self.servers.contains_key(server) {
            true => bytes,
            false => bytes.min(server_bytes / 2),
        };
        let budget = self.servers.entry(server.clone()).or_default();
        let taken = budget.bytes.refill(server_bytes, SERVER_REFILL, now);
        let fits = taken.saturating_add(charged) <= server_bytes;
        let has_calmed = taken <= server_bytes / 2;
        let total_fits = quota == 0 || total_taken < total_bytes;
        let admission = match budget.is_unstable {
            _ if !total_fits => return ObservationAdmission::Postpone,
            false if fits => ObservationAdmission::Write,
            true if has_calmed && fits => ObservationAdmission::Write,
            true if !fits && taken > 0 => return ObservationAdmission::Defer,
            false | true => ObservationAdmission::WriteUnstable,
        };
        budget.is_unstable = admission == ObservationAdmission::WriteUnstable;
        budget.bytes.taken = budget.bytes.taken.saturating_add(charged);
        self.total.taken = self.total.taken.saturating_add(bytes);
        self.forget_idle(now);
        admission
    }

    /// Forgets servers whose budget is full again.
    fn forget_idle(&mut self, now: Duration) {
        self.servers.retain(|_, budget| {
            budget.is_unstable || now.saturating_sub(budget.bytes.at) < SERVER_REFILL
        });
    }
}

/// Returns the budget of one server in a store with this quota; 0 for an unknown one.
fn server_bytes(quota: u64) -> u64 {
    match quota / TOTAL_SHARE / SERVER_SHARE {
        0 => SERVER_BYTES,
        share => share.min(SERVER_BYTES),
    }
}

/// Returns the problem of a server whose definitions are stored later, because those of all servers are too many.
pub(crate) fn postponed_problem(quota: u64) -> ProbeProblem {
    let text = format!(
        "the store takes {} MiB of new definitions in a minute, of all servers: these are stored with a later probe",
        (quota / TOTAL_SHARE) >> 20
    );
    ProbeProblem::incomplete(text, ProbeFailure::Overloaded)
}

/// Returns the problem of a server whose definitions change too often.
pub(crate) fn unstable_problem(bytes: u64, quota: u64) -> ProbeProblem {
    let seconds = bytes * SERVER_REFILL.as_secs() / server_bytes(quota);
    let text = format!(
        "the definitions change at almost every probe: {} KiB are stored every {} s at most, and what clients see is up to \
         that old; let the server announce and change its lists only when its tools change",
        bytes / 1024,
        seconds.max(1)
    );
    ProbeProblem::incomplete(text, ProbeFailure::UnstableDefinitions)
}
