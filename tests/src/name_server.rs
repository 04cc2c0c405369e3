//! A name server whose answers change from query to query, like a name server of an attacker. Answers have no time to live.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

/// Addresses of a name, and the alias that they are under, if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameRecords {
    /// Name that the requested one is an alias of.
    pub alias: Option<String>,
    /// Addresses of both families.
    pub addresses: Vec<IpAddr>,
}

/// Running name server; it ends when dropped.
#[derive(Debug)]
pub struct NameServer {
    queries: Arc<AtomicUsize>,
    _task: JoinSet<()>,
}

/// Type of a record with an IPv4 address.
const TYPE_A: u16 = 1;
/// Type of an alias.
const TYPE_CNAME: u16 = 5;
/// Type of a record with an IPv6 address.
const TYPE_AAAA: u16 = 28;

/// Query for one name and type.
struct NameQuery<'a> {
    /// Name without the final dot, in lower case.
    name: String,
    kind: u16,
    /// Question as received.
    question: &'a [u8],
    id: [u8; 2],
}

impl NameServer {
    /// Starts a server. `records` gets the name in lower case, and the number of earlier queries for it of the same type.
    pub async fn start(
        at: SocketAddr,
        records: impl Fn(&str, usize) -> NameRecords + Send + 'static,
    ) -> Result<Self> {
        let socket = UdpSocket::bind(at).await?;
        let queries = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&queries);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut earlier = HashMap::<(String, u16), usize>::new();
            let mut buffer = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let Some(query) = buffer.get(..length).and_then(read) else {
                    continue;
                };
                let count = earlier.entry((query.name.clone(), query.kind)).or_default();
                let answer = respond(&query, &records(&query.name, *count));
                *count += 1;
                counted.fetch_add(1, Ordering::Relaxed);
                let _sent = socket.send_to(&answer, client).await;
            }
        });
        Ok(Self {
            queries,
            _task: task,
        })
    }

    /// Number of queries so far.
    #[must_use]
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::Relaxed)
    }
}

/// Reads the only question of a query.
fn read(query: &[u8]) -> Option<NameQuery<'_>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        if length == 0 {
            break;
        }
        let label = query.get(at + 1..at + 1 + length)?;
        labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
        at += 1 + length;
    }
    let kind = query.get(at + 1..at + 3)?;
    Some(NameQuery {
        name: labels.join("."),
        kind: u16::from_be_bytes([kind[0], kind[1]]),
        question: query.get(12..at + 5)?,
        id: [query[0], query[1]],
    })
}

/// Name as labels, each after its length.
fn labels(name: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in name.split('.') {
        out.extend(u8::try_from(label.len()));
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}

fn respond(query: &NameQuery<'_>, records: &NameRecords) -> Vec<u8> {
    // A pointer to the name in the question.
    let mut owner = vec![0xc0, 0x0c];
    let mut answers = Vec::new();
    let mut add = |owner: &[u8], kind: u16, data: &[u8]| {
        let mut record = owner.to_vec();
        record.extend(kind.to_be_bytes());
        // Class IN, and no time to live.
        record.extend([0, 1, 0, 0, 0, 0]);
        record.extend(u16::try_from(data.len()).unwrap_or(0).to_be_bytes());
        record.extend(data);
        answers.push(record);
    };
    if let Some(alias) = &records.alias {
        let name = labels(alias);
        add(&owner, TYPE_CNAME, &name);
        owner = name;
    }
    for address in &records.addresses {
        match address {
            IpAddr::V4(v4) if query.kind == TYPE_A => add(&owner, TYPE_A, &v4.octets()),
            IpAddr::V6(v6) if query.kind == TYPE_AAAA => add(&owner, TYPE_AAAA, &v6.octets()),
            IpAddr::V4(_) | IpAddr::V6(_) => {}
        }
    }
    let count = u16::try_from(answers.len()).unwrap_or(0).to_be_bytes();
    let mut out = query.id.to_vec();
    // A response that is authoritative for recursive clients; one question, no authorities, nothing additional.
    out.extend([0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    out.extend(query.question);
    out.extend(answers.concat());
    out
}
