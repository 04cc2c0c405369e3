//! Markdown tables of medians over the rounds of a run.

use crate::load::LoadReport;

/// All rounds of one compared target in one case.
#[derive(Clone, Debug)]
pub struct ResultRow {
    /// Name of the target.
    pub peer: String,
    /// Reports, one per round.
    pub rounds: Vec<LoadReport>,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(value), 1) => *value,
        (Some(value), _) => values
            .get(middle - 1)
            .map_or(*value, |lower| (lower + value) / 2.0),
        (None, _) => f64::NAN,
    }
}

impl ResultRow {
    fn of(&self, figure: impl Fn(&LoadReport) -> f64) -> f64 {
        median(self.rounds.iter().map(figure).collect())
    }

    fn errors(&self) -> u64 {
        self.rounds.iter().map(|report| report.errors).sum()
    }
}

/// Returns the median of the CPU time ratios to `base` in the same round; ratios cancel noise that affects both.
fn ratio(row: &ResultRow, base: Option<&ResultRow>) -> String {
    let Some(base) = base else {
        return "–".to_owned();
    };
    let pairs = row.rounds.iter().zip(&base.rounds);
    let ratios: Vec<f64> = pairs
        .map(|(ours, theirs)| ours.cpu / theirs.cpu.max(0.01))
        .collect();
    format!("{:.2}", median(ratios))
}

/// Formats the table of a load case; `base` names the target that CPU time is compared with.
#[must_use]
pub fn load(title: &str, rows: &[ResultRow], base: &str) -> String {
    let mut out = format!(
        "\n### {title}\n\n| peer | CPU µs/op | × {base} | ops/s | p50 µs | p99 µs | RSS MiB | errors |\n|---|---:|---:|---:|---:|---:|---:|---:|\n"
    );
    let yardstick = rows.iter().find(|row| row.peer == base);
    for row in rows {
        out.push_str(&format!(
            "| {} | {:.1} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {} |\n",
            row.peer,
            row.of(|r| r.cpu),
            ratio(row, yardstick),
            row.of(|r| r.rate),
            row.of(|r| r.p50),
            row.of(|r| r.p99),
            row.of(|r| r.memory as f64 / 1024.0),
            row.errors(),
        ));
    }
    out
}

/// Formats the table of an idle case.
#[must_use]
pub fn idle(title: &str, rows: &[ResultRow]) -> String {
    let mut out = format!(
        "\n### {title}\n\n| peer | KiB/session | CPU µs to open one | RSS MiB |\n|---|---:|---:|---:|\n"
    );
    for row in rows {
        out.push_str(&format!(
            "| {} | {:.1} | {:.0} | {:.0} |\n",
            row.peer,
            row.of(|r| r.per_session.unwrap_or(f64::NAN)),
            row.of(|r| r.cpu),
            row.of(|r| r.memory as f64 / 1024.0),
        ));
    }
    out
}
