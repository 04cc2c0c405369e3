//! Tests of the advice after the creation of a gateway.

use super::next_step;

#[test]
fn the_next_step_of_a_dry_run_names_no_gateway_that_does_not_exist() {
    for has_warnings in [true, false] {
        let dry = next_step("tools", has_warnings, true);
        assert!(!dry.contains("tools"), "{dry}");
        assert!(dry.contains("without `--dry-run`"), "{dry}");
        let real = next_step("tools", has_warnings, false);
        assert!(
            real.contains("tools") && !real.contains("--dry-run"),
            "{real}"
        );
    }
}
