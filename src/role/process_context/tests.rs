//! Tests of the process context.

use super::*;

#[cfg(target_os = "linux")]
#[test]
fn a_process_of_a_role_is_not_dumpable() {
    disable_core_dumps();
    let behavior = rustix::process::dumpable_behavior().unwrap();
    assert_eq!(behavior, DumpableBehavior::NotDumpable);
}
