//! Tests of the admission table, against a model that searches a list.

use std::{collections::HashSet, net::Ipv4Addr};

use proptest::prelude::*;

use super::*;

/// Connection of the model.
#[derive(Debug, Clone, Copy)]
struct ModelConnection {
    id: ConnectionId,
    network: IpAddr,
    identity: Option<u8>,
    position: u64,
    opened_at: Duration,
}

/// Model: a plain list, searched and sorted for every decision.
#[derive(Debug, Default)]
struct AdmissionModel {
    limit: usize,
    per_source: usize,
    reserved: usize,
    open: Vec<ModelConnection>,
    position: u64,
}

impl AdmissionModel {
    fn of_network(&self, network: IpAddr) -> Vec<ModelConnection> {
        let same = |c: &&ModelConnection| c.identity.is_none() && c.network == network;
        let mut found: Vec<_> = self.open.iter().filter(same).copied().collect();
        found.sort_by_key(|c| c.position);
        found
    }

    fn unidentified(&self) -> usize {
        self.open.iter().filter(|c| c.identity.is_none()).count()
    }

    /// Returns whether the connection is admitted, and which one makes room.
    fn admit(
        &mut self,
        network: IpAddr,
        now: Duration,
        busy: &HashSet<ConnectionId>,
    ) -> (bool, Option<ConnectionId>) {
        let own = self.of_network(network);
        let identified = self.open.len() - self.unidentified();
        let room = (self.limit - self.reserved).min(self.limit - identified);
        if own.len() < self.per_source && self.unidentified() < room {
            return (true, None);
        }
        let mut candidates = own.clone();
        if own.len() < self.per_source {
            candidates = self.open.clone();
            candidates.retain(|c| c.identity.is_none());
            candidates.sort_by_key(|c| {
                let peers = self.of_network(c.network);
                (Reverse(peers.len()), peers[0].position, c.position)
            });
        }
        for candidate in candidates {
            if candidate.network == network && now - candidate.opened_at < EVICTION_AGE {
                break;
            }
            let at = self.open.iter().position(|c| c.id == candidate.id).unwrap();
            if !busy.contains(&candidate.id) {
                self.open.remove(at);
                return (true, Some(candidate.id));
            }
            self.open[at].position = self.next_position();
        }
        (false, None)
    }

    fn next_position(&mut self) -> u64 {
        self.position += 1;
        self.position - 1
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open(u8),
    Identify(usize, u8),
    Close(usize),
    Toggle(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..4).prop_map(Step::Open),
        2 => (0_usize..40, 0_u8..3).prop_map(|(at, identity)| Step::Identify(at, identity)),
        2 => (0_usize..40).prop_map(Step::Close),
        3 => (0_usize..40).prop_map(Step::Toggle),
        2 => (0_u64..1500).prop_map(Step::Wait),
    ]
}

const EVICTION_AGE: Duration = Duration::from_secs(1);

fn table(limit: usize, per_source: usize, reserved: usize) -> AdmissionTable {
    AdmissionTable::new(&ConnectionLimits {
        connections: limit,
        connections_per_address: per_source,
        reserved_connections: reserved,
        eviction_age: EVICTION_AGE,
        ..ConnectionLimits::default()
    })
}

fn address(number: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Every decision is that of the model, and no history exceeds a limit.
    #[test]
    fn decisions_are_those_of_the_model(
        (limit, reserved, per_source) in (1_usize..12).prop_flat_map(|limit| {
            (Just(limit), 0..=limit, 1_usize..6)
        }),
        steps in proptest::collection::vec(step(), 0..160),
    ) {
        let mut table = table(limit, per_source, reserved);
        let mut now = Duration::ZERO;
        let mut model = AdmissionModel { limit, per_source, reserved, ..AdmissionModel::default() };
        let mut busy = HashSet::new();
        for step in steps {
            let at = |index: usize, model: &AdmissionModel| {
                let count = model.open.len();
                (count > 0).then(|| index % count)
            };
            match step {
                Step::Open(number) => {
                    let network = address(number);
                    let decision = table.admit(network, now, |id| !busy.contains(&id));
                    let (expected, evicts) = model.admit(network, now, &busy);
                    let (admitted, evicted) = match decision {
                        Admission::Admitted(id) => (Some(id), None),
                        Admission::AdmittedInsteadOf { admitted, evicted } => (Some(admitted), Some(evicted)),
                        Admission::Refused => (None, None),
                    };
                    prop_assert_eq!((admitted.is_some(), evicted), (expected, evicts));
                    if let Some(id) = admitted {
                        let position = model.next_position();
                        model.open.push(ModelConnection { id, network, identity: None, position, opened_at: now });
                    }
                }
                Step::Identify(index, identity) => {
                    let Some(at) = at(index, &model) else { continue };
                    let held = model.open.iter().filter(|c| c.identity == Some(identity)).count();
                    let id = model.open[at].id;
                    let counted = table.identify(id, BudgetOwner::of(&identity));
                    prop_assert_eq!(counted, held < per_source);
                    if counted {
                        model.open[at].identity = Some(identity);
                        model.open[at].position = model.next_position();
                    }
                }
                Step::Close(index) => {
                    let Some(at) = at(index, &model) else { continue };
                    table.close(model.open.remove(at).id);
                }
                Step::Toggle(index) => {
                    let Some(at) = at(index, &model) else { continue };
                    let id = model.open[at].id;
                    if !busy.remove(&id) {
                        busy.insert(id);
                    }
                }
                Step::Wait(milliseconds) => now += Duration::from_millis(milliseconds),
            }
            prop_assert_eq!(table.len(), model.open.len());
            prop_assert!(table.len() <= limit);
            prop_assert!(model.unidentified() <= limit - reserved);
            prop_assert_eq!(table.unidentified(), model.unidentified());
        }
        for connection in std::mem::take(&mut model.open) {
            table.close(connection.id);
        }
        prop_assert!(table.is_empty() && table.sources.is_empty() && table.ranking.is_empty());
    }
}

#[test]
fn a_flood_from_one_address_only_evicts_connections_of_that_address() {
    let mut table = table(100, 100, 0);
    let quiet: Vec<_> = (1..=20)
        .map(|number| table.admit(address(number), Duration::ZERO, |_| true))
        .collect();
    for millisecond in 0..10_000 {
        let now = Duration::from_millis(millisecond);
        let decision = table.admit(address(99), now, |_| true);
        if let Admission::AdmittedInsteadOf { evicted, .. } = decision {
            assert!(!quiet.contains(&Admission::Admitted(evicted)));
        }
    }
    assert_eq!(table.len(), 100);
}

#[test]
fn connections_of_one_ipv6_network_count_together() {
    let mut table = table(100, 2, 0);
    let address = |host: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host));
    for host in 1..=2 {
        assert!(matches!(
            table.admit(address(host), EVICTION_AGE, |_| false),
            Admission::Admitted(_)
        ));
    }
    assert_eq!(
        table.admit(address(3), EVICTION_AGE, |_| false),
        Admission::Refused
    );
    let other = address(1 << 64);
    assert!(matches!(
        table.admit(other, EVICTION_AGE, |_| false),
        Admission::Admitted(_)
    ));
}

#[test]
fn busy_connections_are_not_examined_again_before_the_others() {
    let mut table = table(4 * EVICTION_CANDIDATES, 4 * EVICTION_CANDIDATES, 0);
    let mut busy = HashSet::new();
    while table.len() < table.limit {
        let Admission::Admitted(id) = table.admit(address(1), Duration::ZERO, |_| false) else {
            panic!("there is room");
        };
        if busy.len() < 2 * EVICTION_CANDIDATES {
            busy.insert(id);
        }
    }
    let mut admit = || table.admit(address(1), EVICTION_AGE, |id| !busy.contains(&id));
    let refused = std::iter::repeat_with(&mut admit).take_while(|d| *d == Admission::Refused);
    assert_eq!(refused.count(), 2);
    for _ in 0..EVICTION_CANDIDATES {
        assert_ne!(admit(), Admission::Refused);
    }
}

#[test]
fn a_network_without_a_pause_does_not_end_its_own_handshakes_but_leaves_room_for_others() {
    let mut table = table(10, 10, 0);
    let at = Duration::from_millis;
    for _ in 0..10 {
        table.admit(address(1), at(0), |_| true);
    }
    assert_eq!(
        table.admit(address(1), at(999), |_| true),
        Admission::Refused
    );
    let other = table.admit(address(2), at(999), |_| true);
    assert!(matches!(other, Admission::AdmittedInsteadOf { .. }));
    let later = table.admit(address(1), at(1_000), |_| true);
    assert!(matches!(later, Admission::AdmittedInsteadOf { .. }));
}
