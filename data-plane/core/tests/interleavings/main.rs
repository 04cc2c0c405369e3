//! Sessions, links, questions and parked calls together, in a small world of clients, servers and proxies where
//! anything happens in any order. Every request ends exactly once, nothing crosses principals, no call runs twice, and
//! in the end nothing is left behind.

#[cfg(test)]
mod calls;
#[cfg(test)]
mod linking;
#[cfg(test)]
mod questions;
#[cfg(test)]
mod retries;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod world;

use proptest::prelude::*;
use world::{CLIENTS, PROXIES, World};

/// Something that happens. Numbers choose among what is there.
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
    },
    Ask {
        which: usize,
        id: u64,
    },
    Withdraw {
        which: usize,
    },
    Finish {
        which: usize,
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
        8 => which.clone().prop_map(|which| Step::Arrive { which }),
        8 => (which.clone(), id).prop_map(|(which, id)| Step::Ask { which, id }),
        1 => which.clone().prop_map(|which| Step::Withdraw { which }),
        4 => which.clone().prop_map(|which| Step::Finish { which }),
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
        Step::Arrive { which } => world.arrive(which),
        Step::Ask { which, id } => world.ask(which, id),
        Step::Withdraw { which } => world.withdraw(which),
        Step::Finish { which } => world.finish(which),
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
        Step::Later(seconds) => world.later(seconds),
        Step::Reconfigure { proxy } => world.reconfigure(proxy),
        Step::Drain { proxy } => world.drain(proxy),
        Step::Lose { proxy } => world.lose(proxy),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_ends_once_without_cross_talk_or_leaks(steps in prop::collection::vec(step(), 0..160)) {
        let mut world = World::new();
        for step in steps {
            take(&mut world, step);
            world.check();
        }
        world.wind_up();
    }
}
