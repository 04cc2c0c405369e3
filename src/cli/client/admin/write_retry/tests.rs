//! Tests of repeated writes.

use std::time::Duration;

use super::{WriteRetry, explain_overtaken, part_of};
use crate::cli::output::error::{ApiErrorReason, CliError, CliErrorKind};

fn fault(reason: ApiErrorReason) -> CliError {
    let mut fault = CliError::new(
        CliErrorKind::Conflict,
        "it has been changed since it was read",
    );
    fault.reason = reason;
    fault
}

#[tokio::test]
async fn only_an_overtaken_write_is_repeated() {
    let mut retry = WriteRetry::new();
    assert!(retry.is_due(&fault(ApiErrorReason::Stale)).await);
    assert!(retry.is_due(&fault(ApiErrorReason::AlreadyExists)).await);
    assert!(!retry.is_due(&fault(ApiErrorReason::InUse)).await);
    assert!(!retry.is_due(&fault(ApiErrorReason::Other)).await);
    let told = explain_overtaken(fault(ApiErrorReason::Stale));
    assert!(told.next_step.unwrap().contains("repeat the command"));
}

#[test]
fn a_pause_is_a_part_of_the_longest_one() {
    let pause = Duration::from_millis(20);
    for random in [0, 1, 19_999, 20_000, 20_001, u64::MAX] {
        assert!(part_of(pause, random) <= pause, "{random}");
    }
}
