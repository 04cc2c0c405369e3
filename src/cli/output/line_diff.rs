//! Line-by-line comparison of two texts.

/// Returns the lines of both texts: those only in the first begin with `-`, those only in the second with `+`,
/// common lines with a space.
pub fn diff(before: &str, after: &str) -> Vec<String> {
    let before: Vec<_> = before.lines().collect();
    let after: Vec<_> = after.lines().collect();
    let lengths = common_lengths(&before, &after);
    let at = |b: usize, a: usize| {
        lengths
            .get(b)
            .and_then(|row| row.get(a))
            .copied()
            .unwrap_or(0)
    };
    let (mut b, mut a) = (0, 0);
    let mut lines = Vec::new();
    loop {
        match (before.get(b), after.get(a)) {
            (Some(old), Some(new)) if old == new => {
                lines.push(format!(" {old}"));
                (b, a) = (b + 1, a + 1);
            }
            (Some(old), Some(_)) if at(b + 1, a) >= at(b, a + 1) => {
                lines.push(format!("-{old}"));
                b += 1;
            }
            (_, Some(new)) => {
                lines.push(format!("+{new}"));
                a += 1;
            }
            (Some(old), None) => {
                lines.push(format!("-{old}"));
                b += 1;
            }
            (None, None) => return lines,
        }
    }
}

/// Computes the lengths of the longest common subsequences: `[b][a]` is the length for `before[b..]` and `after[a..]`.
fn common_lengths(before: &[&str], after: &[&str]) -> Vec<Vec<u32>> {
    let mut lengths = vec![vec![0_u32; after.len() + 1]; before.len() + 1];
    for b in (0..before.len()).rev() {
        for a in (0..after.len()).rev() {
            lengths[b][a] = if before[b] == after[a] {
                lengths[b + 1][a + 1] + 1
            } else {
                lengths[b + 1][a].max(lengths[b][a + 1])
            };
        }
    }
    lengths
}

#[cfg(test)]
mod tests;
