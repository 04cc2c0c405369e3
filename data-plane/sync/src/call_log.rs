//! Log of the latest requests of this proxy, in memory. A request writes one entry when it ends: it takes a number and the
//! slot of that number, and waits for nothing. Readers follow the numbers from the side, so that a request costs the same
//! with and without them. Each organization has numbers and slots of its own, an equal share of the bound: the requests of
//! others neither shorten its past nor show in its numbers.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use toolgate_data_core::Caller;
use toolgate_model::{
    CallEndKind, CallFilter, CallRecord, ObjectName, PrincipalSubject, Slug, Timestamp, Uid,
    call_record::{CLIENT_NAME, KEPT_RECORDS, REQUESTED_NAME},
    text::truncated,
};

mod organization_log;

use organization_log::{OrganizationLog, SlotContent};

/// Number of records that an organization keeps at least, of those with the latest requests.
const LEAST_SHARE: usize = 16;

/// Number of organizations that have records at a time.
const MAX_SHARES: usize = KEPT_RECORDS / LEAST_SHARE;

/// Interval in which one share at most is taken from an organization for another one. Without it, more organizations that take
/// turns would move a share with each request.
const REASSIGNMENT_INTERVAL: Duration = Duration::from_secs(1);

/// Log of the latest requests.
#[derive(Default)]
pub struct CallLog {
    /// Logs of the organizations that have had a request.
    organizations: ArcSwap<OrganizationLogs>,
    /// Held while the shares change.
    sharing: Mutex<()>,
    /// Time from which on a share may be taken from an organization, in Unix milliseconds.
    next_reassignment: AtomicU64,
}

type OrganizationLogs = BTreeMap<Slug, Arc<OrganizationLog>>;

/// Gateway and target of a request. Requests share it, so that an entry costs no copy of names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSubject {
    /// Gateway.
    pub gateway: ObjectName,
    /// Identity of the gateway. `None` if the control plane has not told it.
    pub gateway_uid: Option<Uid>,
    /// Method; empty if it is not known.
    pub method: &'static str,
    /// Exposed name of the tool.
    pub tool: Option<Box<str>>,
    /// Server that is called.
    pub server: Option<Slug>,
}

/// Entry of one request.
#[derive(Debug, Clone)]
pub struct CallLogEntry {
    /// Gateway and target.
    pub subject: Arc<CallSubject>,
    /// Wall-clock time of arrival.
    pub received: Timestamp,
    /// Time until the answer was complete.
    pub duration: Duration,
    /// Caller, if it was authenticated and may enter the gateway.
    pub caller: Option<Caller>,
    /// Client program.
    pub client: ClientName,
    /// Protocol version; may be empty.
    pub version: &'static str,
    /// End of the request.
    pub result: CallEndKind,
    /// Reason of a failure or refusal.
    pub reason: &'static str,
    /// Name that a refused request asked for.
    pub requested: Option<Box<str>>,
    /// Size of the message of the client.
    pub request_bytes: u64,
    /// Size of the answer and of the messages before it.
    pub response_bytes: u64,
}

/// Name of a client program, stored in place so that a request allocates nothing for it.
#[derive(Debug, Clone, Copy)]
pub struct ClientName {
    bytes: [u8; CLIENT_NAME],
    length: u8,
}

/// Entries that a reader gets at a time.
#[derive(Debug, Default)]
pub(crate) struct CallLogPage {
    /// Selected records.
    pub(crate) records: Vec<CallRecord>,
    /// Number of entries that were lost before they were compared with the filter.
    pub(crate) lost: u64,
}

/// Position of a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogPosition {
    next: u64,
    /// True if the entry at `next` was being written at the last look.
    waited: bool,
}

impl CallLog {
    /// Records a request that has ended. The entry is dropped if a reader holds the slot at this moment, or if its organization has
    /// no share yet.
    pub fn record(&self, entry: CallLogEntry) {
        let organizations = self.organizations.load();
        let organization = &entry.subject.gateway.org;
        let now = entry.received.after(entry.duration);
        match organizations.get(organization) {
            Some(log) if log.has_share() || !self.is_reassignment_due(now) => log.record(entry),
            Some(_) | None => self.share(organization, now).record(entry),
        }
    }

    /// Returns the position after the newest entry of the organization.
    pub fn end(&self, organization: &Slug) -> LogPosition {
        LogPosition {
            next: self.log_of(organization).map_or(0, |log| log.next()),
            waited: false,
        }
    }

    /// Returns the newest `limit` records before `end` that the filter selects, received at `oldest` or later. `end` is a
    /// position of the organization of the filter.
    pub fn past(
        &self,
        end: LogPosition,
        filter: &CallFilter,
        oldest: Timestamp,
        limit: usize,
    ) -> Vec<CallRecord> {
        let mut records = Vec::new();
        let Some(log) = self.log_of(&filter.gateway.org) else {
            return records;
        };
        for number in (log.oldest(end.next)..end.next).rev() {
            if records.len() >= limit {
                break;
            }
            if let SlotContent::Entry(entry) = log.content(number)
                && entry.received >= oldest
                && entry.is_selected(filter)
            {
                records.push(entry.to_record(number));
            }
        }
        records.reverse();
        records
    }

    /// Returns the records from `position` on that the filter selects, at most `limit`, and moves the position behind them.
    /// Further records are not waited for: they are lost to the reader. `position` is one of the organization of the filter.
    pub(crate) fn follow(
        &self,
        position: &mut LogPosition,
        filter: &CallFilter,
        limit: usize,
    ) -> CallLogPage {
        let mut page = CallLogPage::default();
        let Some(log) = self.log_of(&filter.gateway.org) else {
            return page;
        };
        let end = log.next();
        let oldest = log.oldest(end);
        page.lost = oldest.saturating_sub(position.next);
        position.next = position.next.max(oldest);
        while position.next < end {
            match log.content(position.next) {
                SlotContent::Entry(entry) if !entry.is_selected(filter) => {}
                SlotContent::Entry(entry) if page.records.len() < limit => {
                    page.records.push(entry.to_record(position.next));
                }
                SlotContent::Entry(_) | SlotContent::Replaced => page.lost += 1,
                SlotContent::Missing if position.waited => page.lost += 1,
                SlotContent::Missing => {
                    position.waited = true;
                    return page;
                }
            }
            position.waited = false;
            position.next += 1;
        }
        page
    }

    fn log_of(&self, organization: &Slug) -> Option<Arc<OrganizationLog>> {
        self.organizations.load().get(organization).map(Arc::clone)
    }

    /// Gives an organization its share, and makes the shares of the others equal to it. If too many have one, the organization
    /// without a request for the longest time loses its records, or none does until the next reassignment is due.
    fn share(&self, organization: &Slug, now: Timestamp) -> Arc<OrganizationLog> {
        let _changing = self.sharing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut organizations = self.organizations.load_full();
        let own = match organizations.get(organization) {
            Some(own) => Arc::clone(own),
            None => {
                let own = Arc::<OrganizationLog>::default();
                Arc::make_mut(&mut organizations).insert(organization.clone(), Arc::clone(&own));
                self.organizations.store(Arc::clone(&organizations));
                own
            }
        };
        let mut sharing: Vec<_> = organizations.values().filter(|it| it.has_share()).collect();
        if own.has_share() || (sharing.len() >= MAX_SHARES && !self.is_reassignment_due(now)) {
            return own;
        }
        if sharing.len() >= MAX_SHARES
            && let Some(idle) = sharing.iter().min_by_key(|log| log.latest())
        {
            idle.resize(0);
            sharing.retain(|log| log.has_share());
            let next = now.after(REASSIGNMENT_INTERVAL);
            self.next_reassignment.store(next.0, Ordering::Relaxed);
        }
        let share = equal_share(sharing.len() + 1);
        for other in sharing.into_iter().filter(|log| log.capacity() > share) {
            other.resize(share);
        }
        own.resize(share);
        own
    }

    /// Returns `true` if a share may be taken from an organization, also after the clock was set back.
    fn is_reassignment_due(&self, now: Timestamp) -> bool {
        let next = Timestamp(self.next_reassignment.load(Ordering::Relaxed));
        next <= now || now.after(REASSIGNMENT_INTERVAL) < next
    }
}

/// Returns the number of records that each of `organizations` keeps: a power of two, so that it seldom changes.
fn equal_share(organizations: usize) -> usize {
    let share = KEPT_RECORDS / organizations.max(1).next_power_of_two();
    share.max(LEAST_SHARE)
}

impl CallLogEntry {
    fn is_selected(&self, filter: &CallFilter) -> bool {
        let matches_text = |wanted: &Option<String>, found: Option<&str>| {
            wanted.as_deref().is_none_or(|it| found == Some(it))
        };
        let subject = &self.subject;
        subject.gateway == filter.gateway
            && (filter.gateway_uid.is_none() || filter.gateway_uid == subject.gateway_uid)
            && (filter.server.is_none() || filter.server == subject.server)
            && matches_text(&filter.tool, self.tool())
            && (!filter.failed || self.result.is_failure())
            && (filter.token.is_none() || filter.token.as_ref() == self.token())
            && (filter.principal.is_none()
                || matches_text(&filter.principal, self.principal().as_deref()))
    }

    fn tool(&self) -> Option<&str> {
        self.subject.tool.as_deref().or(self.requested.as_deref())
    }

    fn token(&self) -> Option<&Slug> {
        self.caller.as_ref()?.token()
    }

    fn principal(&self) -> Option<String> {
        let principal = self.caller.as_ref()?.principal();
        Some(match &principal.subject {
            PrincipalSubject::AllCallers => String::new(),
            PrincipalSubject::Token { id, uid: _ } => format!("token:{id}"),
            PrincipalSubject::Team(team) => format!("team:{team}"),
            PrincipalSubject::User(user) => format!("user:{user}"),
            PrincipalSubject::External {
                provider, subject, ..
            } => format!("idp:{provider}:{subject}"),
        })
    }

    fn to_record(&self, number: u64) -> CallRecord {
        let id = |id: Option<&Slug>| id.map(ToString::to_string).unwrap_or_default();
        let subject = &self.subject;
        CallRecord {
            gateway: subject.gateway.clone(),
            sequence: number,
            received: self.received,
            duration: self.duration,
            principal: self.principal().unwrap_or_default(),
            token: id(self.token()),
            client: self.client.to_text(),
            version: self.version.to_owned(),
            method: subject.method.to_owned(),
            tool: printable(self.tool().unwrap_or_default()),
            server: id(subject.server.as_ref()),
            result: self.result,
            reason: self.reason.to_owned(),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
        }
    }
}

impl ClientName {
    /// Returns the name, cut to [`CLIENT_NAME`] bytes.
    pub fn new(name: &str) -> Self {
        let name = truncated(name, CLIENT_NAME).as_bytes();
        let mut bytes = [0; CLIENT_NAME];
        for (to, from) in bytes.iter_mut().zip(name) {
            *to = *from;
        }
        let length = u8::try_from(name.len()).unwrap_or_default();
        Self { bytes, length }
    }

    fn to_text(self) -> String {
        let bytes = self.bytes.get(..usize::from(self.length));
        printable(&String::from_utf8_lossy(bytes.unwrap_or_default()))
    }
}

impl Default for ClientName {
    fn default() -> Self {
        Self {
            bytes: [0; CLIENT_NAME],
            length: 0,
        }
    }
}

/// Returns the name that a refused request asked for, cut to [`REQUESTED_NAME`] bytes.
pub fn requested_name(name: &str) -> Box<str> {
    truncated(name, REQUESTED_NAME).into()
}

/// Replaces control characters, which no line of a record may have.
fn printable(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests;
