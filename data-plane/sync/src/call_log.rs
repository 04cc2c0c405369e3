//! Log of the latest requests of this proxy, in memory. A request writes one entry when it ends: it takes a number and the
//! slot of that number, and waits for nothing. Readers follow the numbers from the side, so that a request costs the same
//! with and without them.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError, TryLockError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use toolgate_data_core::Caller;
use toolgate_model::{
    CallEndKind, CallFilter, CallRecord, ObjectName, PrincipalSubject, Slug, Timestamp, Uid,
    call_record::{CLIENT_NAME, KEPT_RECORDS, REQUESTED_NAME},
    text::truncated,
};

/// Number of slots that are allocated at a time: a proxy without requests has none.
const SLOTS_PER_BLOCK: usize = 256;

/// Log of the latest requests.
#[derive(Default)]
pub struct CallLog {
    /// Number of the next entry.
    next: AtomicU64,
    blocks: [OnceLock<Box<[LogSlot]>>; KEPT_RECORDS / SLOTS_PER_BLOCK],
}

type LogSlot = Mutex<Option<NumberedEntry>>;

#[derive(Debug, Clone)]
struct NumberedEntry {
    number: u64,
    entry: CallLogEntry,
}

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

/// State of a slot for a reader.
enum SlotContent {
    /// Entry with the number.
    Entry(CallLogEntry),
    /// The number is taken, and its entry is not there.
    Missing,
    /// A later entry has replaced it.
    Replaced,
}

impl CallLog {
    /// Records a request that has ended. If a reader holds the slot at this moment, the entry is dropped.
    pub fn record(&self, entry: CallLogEntry) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(slot) = self.slot(number) else {
            return;
        };
        let mut slot = match slot.try_lock() {
            Ok(slot) => slot,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        // A thread that was held up here does not replace a later entry.
        if slot.as_ref().is_none_or(|found| found.number < number) {
            *slot = Some(NumberedEntry { number, entry });
        }
    }

    /// Returns the position after the newest entry.
    pub fn end(&self) -> LogPosition {
        LogPosition {
            next: self.next.load(Ordering::Relaxed),
            waited: false,
        }
    }

    /// Returns the newest `limit` records before `end` that the filter selects, received at `oldest` or later.
    pub fn past(
        &self,
        end: LogPosition,
        filter: &CallFilter,
        oldest: Timestamp,
        limit: usize,
    ) -> Vec<CallRecord> {
        let mut records = Vec::new();
        let kept = end.next.saturating_sub(KEPT_RECORDS as u64)..end.next;
        for number in kept.rev() {
            if records.len() >= limit {
                break;
            }
            if let SlotContent::Entry(entry) = self.content(number)
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
    /// Further records are not waited for: they are lost to the reader.
    pub(crate) fn follow(
        &self,
        position: &mut LogPosition,
        filter: &CallFilter,
        limit: usize,
    ) -> CallLogPage {
        let mut page = CallLogPage::default();
        let end = self.end().next;
        let oldest = end.saturating_sub(KEPT_RECORDS as u64);
        page.lost = oldest.saturating_sub(position.next);
        position.next = position.next.max(oldest);
        while position.next < end {
            match self.content(position.next) {
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

    fn content(&self, number: u64) -> SlotContent {
        let Some(slot) = self.slot(number) else {
            return SlotContent::Missing;
        };
        let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        match &*slot {
            Some(found) if found.number == number => SlotContent::Entry(found.entry.clone()),
            Some(found) if found.number > number => SlotContent::Replaced,
            Some(_) | None => SlotContent::Missing,
        }
    }

    fn slot(&self, number: u64) -> Option<&LogSlot> {
        let index = usize::try_from(number % KEPT_RECORDS as u64).ok()?;
        let block = self.blocks.get(index / SLOTS_PER_BLOCK)?;
        let allocate = || (0..SLOTS_PER_BLOCK).map(|_| LogSlot::default()).collect();
        block.get_or_init(allocate).get(index % SLOTS_PER_BLOCK)
    }
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
