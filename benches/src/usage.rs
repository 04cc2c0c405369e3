//! CPU time and memory of a process tree, read from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// Clock ticks per second of the CPU times in `/proc`, the same on all common Linux systems.
const TICKS: f64 = 100.0;

/// Totals over a process tree.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessUsage {
    /// User and system time in seconds, including children that have ended.
    pub cpu: f64,
    /// Resident memory in KiB.
    pub memory: u64,
}

struct ProcessStat {
    parent: u32,
    ticks: u64,
}

fn stat(id: u32) -> Option<ProcessStat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The command name may contain spaces and parentheses: the next field follows the last parenthesis.
    let fields: Vec<&str> = text.get(text.rfind(')')? + 2..)?.split(' ').collect();
    let number = |at: usize| {
        fields
            .get(at)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or(0)
    };
    let ticks = number(11) + number(12) + number(13) + number(14);
    Some(ProcessStat {
        parent: u32::try_from(number(1)).ok()?,
        ticks,
    })
}

fn resident(id: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Sums over `root` and all its descendants.
#[must_use]
pub fn of(root: u32) -> ProcessUsage {
    let mut all: BTreeMap<u32, ProcessStat> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        if let Some(id) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
            && let Some(found) = stat(id)
        {
            all.insert(id, found);
        }
    }
    let mut sum = ProcessUsage::default();
    let mut queue = vec![root];
    let mut seen = BTreeSet::new();
    while let Some(id) = queue.pop() {
        if !seen.insert(id) {
            continue;
        }
        let Some(found) = all.get(&id) else { continue };
        sum.cpu += found.ticks as f64 / TICKS;
        sum.memory += resident(id);
        queue.extend(
            all.iter()
                .filter(|(_, other)| other.parent == id)
                .map(|(id, _)| *id),
        );
    }
    sum
}

/// CPU time counters of the machine from `/proc/stat`.
#[derive(Clone, Copy, Debug)]
pub struct CpuCounters {
    total: u64,
    idle: u64,
}

impl CpuCounters {
    /// Reads the counters.
    #[must_use]
    pub fn read() -> Self {
        let text = fs::read_to_string("/proc/stat").unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let numbers: Vec<u64> = line
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|n| n.parse().ok())
            .collect();
        let idle = numbers.get(3..5).map_or(0, |idle| idle.iter().sum());
        Self {
            total: numbers.iter().sum(),
            idle,
        }
    }

    /// Returns the busy fraction of CPU time since `earlier`, from 0 to 1.
    #[must_use]
    pub fn busy_since(self, earlier: Self) -> f64 {
        let total = self.total.saturating_sub(earlier.total).max(1);
        1.0 - self.idle.saturating_sub(earlier.idle) as f64 / total as f64
    }
}
