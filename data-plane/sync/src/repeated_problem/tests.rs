//! Tests of the intervals of a lasting problem.

use super::*;

#[test]
#[expect(clippy::disallowed_methods, reason = "a point in time to count from")]
fn a_lasting_problem_is_logged_again_less_and_less_often() {
    let problem = RepeatedProblems::default();
    let begin = Instant::now();
    let day = 24 * 60 * 60;
    let due = |problem: &RepeatedProblems, second: u64| {
        problem.is_due("away", begin + Duration::from_secs(second))
    };
    let logged: Vec<u64> = (0..day).filter(|second| due(&problem, *second)).collect();
    assert_eq!(logged[..4], [0, 60, 180, 420]);
    assert!((24..40).contains(&logged.len()), "{logged:?}");
    assert!(problem.is_due("another", begin));
    assert!(!problem.is_due("another", begin));
    assert!(!due(&problem, day), "two that alternate are no news");
    problem.clear();
    assert!(problem.is_due("another", begin));
}
