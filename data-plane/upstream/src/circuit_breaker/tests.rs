//! The circuit opens after five failures in a row, admits one probe when half open, and refuses for a minute at most.

use proptest::prelude::*;

use super::*;

fn opened() -> CircuitBreaker {
    let mut circuit = CircuitBreaker::default();
    for _ in 0..FAILURES {
        assert_eq!(circuit.admit(0), BreakerAdmission::Pass);
        circuit.record_failure(false, 0, 0);
    }
    circuit
}

#[test]
fn four_failures_and_a_success_leave_it_closed() {
    let mut circuit = CircuitBreaker::default();
    for _ in 0..10 {
        for _ in 0..FAILURES - 1 {
            circuit.record_failure(false, 0, 0);
        }
        assert_eq!(circuit.admit(0), BreakerAdmission::Pass);
        circuit.record_success();
        assert!(circuit.has_no_failures());
    }
}

#[test]
fn the_fifth_failure_opens_it_and_one_call_at_a_time_probes() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(499), BreakerAdmission::Refused);
    assert_eq!(circuit.admit(500), BreakerAdmission::Probe);
    assert_eq!(circuit.admit(500), BreakerAdmission::Refused);
    assert!(circuit.record_failure(true, 500, 0), "it stays open");
    assert_eq!(
        circuit.admit(1_499),
        BreakerAdmission::Refused,
        "twice as long"
    );
    assert_eq!(circuit.admit(1_500), BreakerAdmission::Probe);
    circuit.record_success();
    assert_eq!(circuit.admit(1_500), BreakerAdmission::Pass);
}

#[test]
fn calls_sent_before_it_opened_do_not_lengthen_the_open_state() {
    let mut circuit = opened();
    circuit.record_failure(false, 400, 0);
    assert_eq!(circuit.admit(500), BreakerAdmission::Probe);
    assert!(!circuit.record_failure(false, 500, 0));
    assert_eq!(
        circuit.admit(500),
        BreakerAdmission::Refused,
        "the probe is still on its way"
    );
}

#[test]
fn an_abandoned_probe_does_not_block_the_server() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(500), BreakerAdmission::Probe);
    circuit.record_abandoned(501);
    assert_eq!(circuit.admit(501), BreakerAdmission::Probe);
}

#[test]
fn a_probe_that_takes_long_is_followed_by_another() {
    let mut circuit = opened();
    assert_eq!(circuit.admit(500), BreakerAdmission::Probe);
    assert_eq!(
        circuit.admit(500 + PROBE_INTERVAL - 1),
        BreakerAdmission::Refused
    );
    assert_eq!(circuit.admit(500 + PROBE_INTERVAL), BreakerAdmission::Probe);
    assert_eq!(
        circuit.admit(500 + PROBE_INTERVAL),
        BreakerAdmission::Refused
    );
}

proptest! {
    #[test]
    fn whatever_happens_it_tries_again_within_a_minute(
        steps in proptest::collection::vec((0_u8..5, 0_u64..100_000, any::<u64>()), 0..200),
    ) {
        let mut circuit = CircuitBreaker::default();
        let mut now = 0;
        let mut probing = false;
        for (what, passed, random) in steps {
            now += passed;
            match what {
                0 | 1 => probing |= circuit.admit(now) == BreakerAdmission::Probe,
                2 => {
                    let was_open = circuit.is_open();
                    let stays_open = circuit.record_failure(std::mem::take(&mut probing), now, random);
                    prop_assert!(was_open || !stays_open);
                }
                3 => { circuit.record_success(); probing = false; }
                _ => { circuit.record_abandoned(now); probing = false; }
            }
        }
        prop_assert_ne!(circuit.admit(now + 60_000), BreakerAdmission::Refused);
    }
}

#[test]
fn the_three_states_follow_one_another() {
    let mut breaker = CircuitBreaker::default();
    assert_eq!(breaker.state, BreakerState::Closed { failures: 0 });
    breaker.record_failure(false, 0, 0);
    assert_eq!(breaker.state, BreakerState::Closed { failures: 1 });
    assert!(!breaker.is_open() && !breaker.has_no_failures());
    for _ in 1..FAILURES {
        breaker.record_failure(false, 0, 0);
    }
    assert_eq!(breaker.state, BreakerState::Open { until: 500 });
    assert_eq!(breaker.admit(500), BreakerAdmission::Probe);
    assert_eq!(breaker.state, BreakerState::HalfOpen { next_probe: 5_500 });
    assert!(breaker.is_open());
    breaker.record_abandoned(600);
    assert_eq!(breaker.state, BreakerState::Open { until: 600 });
    assert_eq!(breaker.admit(600), BreakerAdmission::Probe);
    breaker.record_success();
    assert_eq!(breaker, CircuitBreaker::default());
}

#[test]
fn an_answer_to_a_call_in_flight_closes_an_open_circuit() {
    let mut breaker = opened();
    breaker.record_success();
    assert_eq!(breaker.admit(0), BreakerAdmission::Pass);
    assert!(breaker.has_no_failures());
}

#[test]
fn open_durations_double_up_to_a_minute() {
    let mut breaker = opened();
    let mut now = 0;
    let mut durations = Vec::new();
    for _ in 0..8 {
        let BreakerState::Open { until } = breaker.state else {
            panic!("{breaker:?}");
        };
        // Without jitter a duration is half of its ceiling.
        durations.push((until - now) * 2 / 1_000);
        now = until;
        assert_eq!(breaker.admit(now), BreakerAdmission::Probe);
        breaker.record_failure(true, now, 0);
    }
    assert_eq!(durations, [1, 2, 4, 8, 16, 32, 60, 60]);
}

/// A server that is away for every other half minute, with twenty calls a second: of the calls while it is away, few are
/// sent, and the first probe after its return closes the circuit.
#[test]
fn at_most_one_call_in_twenty_waits_for_a_flapping_server_that_is_away() {
    let (interval, half) = (50, 30_000);
    let is_away = |now: u64| now / half % 2 == 1;
    let mut circuit = CircuitBreaker::default();
    let (mut away, mut sent) = (0, 0);
    // Times between the return of the server and the first call that it answers.
    let mut recoveries = Vec::new();
    let mut returned = None;
    for now in (0..20 * half).step_by(interval) {
        if now % half == 0 && !is_away(now) {
            returned = Some(now);
        }
        let admission = circuit.admit(now);
        away += u32::from(is_away(now));
        if admission == BreakerAdmission::Refused {
            continue;
        }
        if is_away(now) {
            sent += 1;
            circuit.record_failure(admission == BreakerAdmission::Probe, now, now * 7_919);
        } else {
            circuit.record_success();
            recoveries.extend(returned.take().map(|at| now - at));
        }
    }
    assert!(sent * 20 <= away, "{sent} of {away}");
    assert_eq!(recoveries.len(), 10);
    // The server was away for half a minute: no pause is longer than twice that time.
    assert!(recoveries.iter().all(|took| *took < half), "{recoveries:?}");
}
