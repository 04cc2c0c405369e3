//! The circuit opens after five failures in a row, lets one call try, and never refuses for more than a minute.

use proptest::prelude::*;

use super::*;

fn opened() -> Circuit {
    let mut circuit = Circuit::default();
    for _ in 0..FAILURES {
        assert_eq!(circuit.admit(0), Admission::Pass);
        circuit.failed(false, 0, 0);
    }
    circuit
}

#[test]
fn four_failures_and_a_success_leave_it_closed() {
    let mut circuit = Circuit::default();
    for _ in 0..10 {
        for _ in 0..FAILURES - 1 {
            circuit.failed(false, 0, 0);
        }
        assert_eq!(circuit.admit(0), Admission::Pass);
        circuit.worked();
        assert!(circuit.is_untroubled());
    }
}

#[test]
fn the_fifth_failure_opens_it_and_one_call_at_a_time_probes() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(499), Admission::Refused);
    assert_eq!(circuit.admit(500), Admission::Probe);
    assert_eq!(circuit.admit(500), Admission::Refused);
    circuit.failed(true, 500, 0);
    assert_eq!(circuit.admit(1_499), Admission::Refused, "twice as long");
    assert_eq!(circuit.admit(1_500), Admission::Probe);
    circuit.worked();
    assert_eq!(circuit.admit(1_500), Admission::Pass);
}

#[test]
fn calls_sent_before_it_opened_do_not_lengthen_the_pause() {
    let mut circuit = opened();
    circuit.failed(false, 400, 0);
    assert_eq!(circuit.admit(500), Admission::Probe);
    circuit.failed(false, 500, 0);
    assert_eq!(
        circuit.admit(500),
        Admission::Refused,
        "the probe is still on its way"
    );
}

#[test]
fn an_abandoned_probe_does_not_block_the_server() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(500), Admission::Probe);
    circuit.abandoned(501);
    assert_eq!(circuit.admit(501), Admission::Probe);
}

proptest! {
    #[test]
    fn a_probe_is_admitted_within_a_minute_after_any_history(
        steps in proptest::collection::vec((0_u8..5, 0_u64..100_000, any::<u64>()), 0..200),
    ) {
        let mut circuit = Circuit::default();
        let mut now = 0;
        let mut probing = false;
        for (what, passed, random) in steps {
            now += passed;
            match what {
                0 | 1 => probing |= circuit.admit(now) == Admission::Probe,
                2 => circuit.failed(std::mem::take(&mut probing), now, random),
                3 => { circuit.worked(); probing = false; }
                _ => { circuit.abandoned(now); probing = false; }
            }
        }
        if probing {
            circuit.failed(true, now, u64::MAX);
        }
        prop_assert_ne!(circuit.admit(now + 60_000), Admission::Refused);
    }
}
