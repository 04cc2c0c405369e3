//! Tests of the log level: a server is sent the lowest requested level, each level once. A server without `logging` is
//! sent nothing. A request for a higher level takes no messages from other callers.

use proptest::prelude::*;

use super::*;

const LOGGING: &str = r#"{"tools":{},"logging":{}}"#;

fn told(levels: &Levels, level: Option<LogLevel>, asked: bool) -> Option<LogLevel> {
    levels.want(level, asked).map(|lowering| lowering.to)
}

#[test]
fn a_server_is_told_when_somebody_asks_for_more_and_never_twice() {
    let levels = Levels::of(LOGGING);
    assert_eq!(told(&levels, None, false), None);
    let warning = Some(LogLevel::Warning);
    assert_eq!(told(&levels, warning, true), warning);
    assert_eq!(told(&levels, warning, true), None);
    assert_eq!(told(&levels, Some(LogLevel::Error), true), None);
    let debug = Some(LogLevel::Debug);
    assert_eq!(told(&levels, debug, true), debug);
    assert_eq!(told(&levels, debug, true), None);
}

#[test]
fn a_server_without_logging_is_never_told() {
    for capabilities in ["{}", r#"{"tools":{"logging":{}}}"#, ""] {
        let levels = Levels::of(capabilities);
        assert_eq!(told(&levels, Some(LogLevel::Debug), true), None);
        assert_eq!(told(&levels, Some(LogLevel::Info), false), None);
    }
}

#[test]
fn who_leaves_it_to_the_server_does_not_get_less_because_another_asks_for_less() {
    let (info, error) = (Some(LogLevel::Info), Some(LogLevel::Error));
    let levels = Levels::of(LOGGING);
    assert_eq!(told(&levels, info, false), None, "left to the server");
    assert_eq!(told(&levels, error, true), info);
    assert_eq!(told(&levels, info, false), None);
    let levels = Levels::of(LOGGING);
    assert_eq!(told(&levels, error, true), error);
    assert_eq!(told(&levels, info, false), info, "ordinary again");
}

#[test]
fn what_could_not_be_told_is_tried_again_unless_more_was_told_meanwhile() {
    let levels = Levels::of(LOGGING);
    let (notice, debug) = (Some(LogLevel::Notice), Some(LogLevel::Debug));
    let failed = levels.want(notice, true).unwrap();
    levels.untold(failed);
    let failed = levels.want(notice, true).unwrap();
    assert_eq!(told(&levels, debug, true), debug);
    levels.untold(failed);
    assert_eq!(told(&levels, notice, true), None);
}

proptest! {
    #[test]
    fn in_the_end_the_server_was_told_the_lowest_that_anybody_wants(
        wishes in prop::collection::vec((prop::option::of(0..8_usize), any::<bool>()), 0..40)
    ) {
        let levels = Levels::of(LOGGING);
        let mut last = None;
        let (mut lowest, mut anybody) = (None, false);
        for (index, asked) in wishes {
            // A caller that did not set a level receives messages from `info` upwards.
            let level = index.map(|index| if asked { LogLevel::ALL[index] } else { LogLevel::Info });
            if let Some(level) = level {
                lowest = Some(lowest.map_or(level, |least: LogLevel| least.min(level)));
                anybody |= asked;
            }
            if let Some(lowering) = levels.want(level, asked) {
                prop_assert!(last.is_none_or(|last| lowering.to < last), "only ever lower");
                last = Some(lowering.to);
            }
            prop_assert_eq!(last, lowest.filter(|_| anybody));
        }
    }
}
