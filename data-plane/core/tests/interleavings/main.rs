//! The machines of calls, sessions, links and suspended calls together, in a small world of clients, servers and
//! proxies with any order of events. Every request ends exactly once, nothing crosses principals, no call runs twice,
//! every elicitation is closed, and in the end nothing is left behind.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod driving;
#[cfg(test)]
mod invariants;
#[cfg(test)]
mod linking;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod server;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod world;

use std::{cell::RefCell, collections::BTreeSet, time::Duration};

use driving::RESOURCE_CONSTRUCTORS;
use proptest::{prelude::*, test_runner::TestRunner};
use world::{CLIENTS, PROXIES, World};

/// A step. Numbers choose among what is there.
#[derive(Debug, Clone, Copy)]
enum Step {
    Call {
        client: usize,
        legacy: bool,
        proxy: usize,
    },
    Handshake {
        which: usize,
        well: bool,
    },
    Arrive {
        which: usize,
        how: u8,
    },
    EndpointRequest {
        which: usize,
        id: u64,
    },
    AskMuch {
        which: usize,
    },
    Withdraw {
        which: usize,
    },
    Finish {
        which: usize,
    },
    Narrate {
        which: usize,
        many: bool,
    },
    Interrupt {
        which: usize,
        resumable: bool,
        sense: bool,
    },
    Forget,
    Answer {
        client: usize,
        which: usize,
        how: u8,
    },
    Retry {
        client: usize,
        which: usize,
        answers: usize,
        same: bool,
    },
    Cancel {
        client: usize,
        which: usize,
    },
    Disconnect {
        client: usize,
    },
    Delete {
        client: usize,
    },
    Listen {
        client: usize,
        proxy: usize,
    },
    Notify {
        client: usize,
        proxy: usize,
        update: bool,
    },
    Later(u64),
    Soon(u64),
    Reconfigure {
        proxy: usize,
    },
    Drain {
        proxy: usize,
    },
    Lose {
        proxy: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (client, proxy, which, id) = (0..CLIENTS, 0..PROXIES, 0_usize..64, 0_u64..3);
    let any_client = client.clone();
    prop_oneof![
        8 => (client.clone(), prop::bool::weighted(0.7), proxy.clone())
            .prop_map(|(client, legacy, proxy)| Step::Call { client, legacy, proxy }),
        6 => (which.clone(), prop::bool::weighted(0.85))
            .prop_map(|(which, well)| Step::Handshake { which, well }),
        10 => (which.clone(), 0_u8..24).prop_map(|(which, how)| Step::Arrive { which, how }),
        8 => (which.clone(), id).prop_map(|(which, id)| Step::EndpointRequest { which, id }),
        1 => which.clone().prop_map(|which| Step::AskMuch { which }),
        1 => which.clone().prop_map(|which| Step::Withdraw { which }),
        4 => which.clone().prop_map(|which| Step::Finish { which }),
        2 => (which.clone(), any::<bool>()).prop_map(|(which, many)| Step::Narrate { which, many }),
        1 => (which.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(which, resumable, sense)| Step::Interrupt { which, resumable, sense }),
        1 => Just(Step::Forget),
        8 => (any_client.clone(), which.clone(), 0_u8..8)
            .prop_map(|(client, which, how)| Step::Answer { client, which, how }),
        6 => (any_client.clone(), which.clone(), 0_usize..4, prop::bool::weighted(0.9))
            .prop_map(|(client, which, answers, same)| Step::Retry { client, which, answers, same }),
        1 => (any_client, which).prop_map(|(client, which)| Step::Cancel { client, which }),
        3 => client.clone().prop_map(|client| Step::Disconnect { client }),
        1 => client.clone().prop_map(|client| Step::Delete { client }),
        2 => (client.clone(), proxy.clone()).prop_map(|(client, proxy)| Step::Listen { client, proxy }),
        3 => (client, proxy.clone(), any::<bool>())
            .prop_map(|(client, proxy, update)| Step::Notify { client, proxy, update }),
        2 => (1_u64..400).prop_map(Step::Later),
        4 => (1_u64..90).prop_map(Step::Soon),
        1 => proxy.clone().prop_map(|proxy| Step::Reconfigure { proxy }),
        1 => proxy.clone().prop_map(|proxy| Step::Drain { proxy }),
        1 => proxy.prop_map(|proxy| Step::Lose { proxy }),
    ]
}

fn take(world: &mut World, step: Step) {
    match step {
        Step::Call {
            client,
            legacy,
            proxy,
        } => world.call(client, legacy, proxy),
        Step::Handshake { which, well } => world.handshake(which, well),
        Step::Arrive { which, how } => world.arrive(which, how),
        Step::EndpointRequest { which, id } => world.ask(which, id),
        Step::AskMuch { which } => world.ask_much(which),
        Step::Withdraw { which } => world.withdraw(which),
        Step::Finish { which } => world.finish(which),
        Step::Narrate { which, many } => world.narrate(which, many),
        Step::Interrupt {
            which,
            resumable,
            sense,
        } => world.interrupt(which, resumable, sense),
        Step::Forget => world.forget_sessions(),
        Step::Answer { client, which, how } => world.answer(client, which, how),
        Step::Retry {
            client,
            which,
            answers,
            same,
        } => world.retry(client, which, answers, same),
        Step::Cancel { client, which } => world.cancel(client, which),
        Step::Disconnect { client } => world.disconnect(client),
        Step::Delete { client } => world.delete(client),
        Step::Listen { client, proxy } => world.listen(client, proxy),
        Step::Notify {
            client,
            proxy,
            update,
        } => world.notify(client, proxy, update),
        Step::Later(seconds) => world.later(Duration::from_secs(seconds)),
        Step::Soon(milliseconds) => world.later(Duration::from_millis(milliseconds)),
        Step::Reconfigure { proxy } => world.reconfigure(proxy),
        Step::Drain { proxy } => world.drain(proxy),
        Step::Lose { proxy } => world.lose(proxy),
    }
}

#[test]
fn every_request_ends_once_without_cross_talk_or_leaks() {
    let config = ProptestConfig {
        cases: 1024,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let seen = RefCell::new(BTreeSet::new());
    let run = TestRunner::new(config).run(&prop::collection::vec(step(), 0..160), |steps| {
        let mut world = World::new();
        for step in steps {
            take(&mut world, step);
            world.settle_deadlines();
            world.check();
        }
        world.wind_up();
        seen.borrow_mut().append(&mut world.seen);
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    let missed: Vec<_> = RESOURCE_CONSTRUCTORS
        .into_iter()
        .filter(|kind| !seen.borrow().contains(kind))
        .collect();
    assert_eq!(missed, [""; 0], "the steps do not reach these");
}
