//! Histories of concurrent writes over two control planes and an etcd of three members, checked against a model: a
//! register per server, whose value is a number that each write raises by one.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use tonic::Code;
use toolgate_proto::admin::v1::Server;
use toolgate_tests::{
    admin_client::{AdminClient, is_unknown},
    clock::{HANG_GUARD, eventually, is_drill, now},
    etcd_cluster::TestEtcdCluster,
    sandbox::Sandbox,
    small_disk::SmallDisk,
    toolgate::ControlPlaneProcess,
};

/// Longest time without an acknowledged write after the loss of a leader.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);
/// Least rate of acknowledged writes while leaders are lost, per second.
const LEAST_RATE: f64 = 50.0;

/// Acknowledged write, or read, of a register.
#[derive(Clone, Copy, Debug)]
struct RegisterAccess {
    register: usize,
    value: u64,
    start: Instant,
    end: Instant,
}

/// All accesses of a run.
#[derive(Debug, Default)]
struct RegisterHistory {
    writes: Vec<RegisterAccess>,
    reads: Vec<RegisterAccess>,
}

impl RegisterHistory {
    /// Checks that the history of one register is linearizable: each value from 1 to `last` was written once, in the order of
    /// real time, and each read gives the last value written before it or one written meanwhile.
    fn check(&self, register: usize, last: u64) -> Result<()> {
        let of_register = |all: &[RegisterAccess]| {
            let own = all.iter().filter(|it| it.register == register);
            own.copied().collect::<Vec<_>>()
        };
        let mut writes = of_register(&self.writes);
        writes.sort_by_key(|write| write.value);
        let values: Vec<u64> = writes.iter().map(|write| write.value).collect();
        let expected: Vec<u64> = (1..=last).collect();
        ensure!(
            values == expected,
            "register {register} ends at {last}; acknowledged were {values:?}"
        );
        let mut latest_start = None;
        for write in &writes {
            let before = latest_start.max(Some(write.start));
            ensure!(
                latest_start.is_none_or(|start| start <= write.end),
                "register {register}: {} ended before a smaller value began",
                write.value
            );
            latest_start = before;
        }
        for read in of_register(&self.reads) {
            let ended_before = writes.iter().filter(|write| write.end < read.start);
            let began_before = writes.iter().filter(|write| write.start <= read.end);
            let least = ended_before.map(|write| write.value).max().unwrap_or(0);
            let most = began_before.map(|write| write.value).max().unwrap_or(0);
            ensure!(
                (least..=most).contains(&read.value),
                "register {register}: {} was read, not {least} to {most}",
                read.value
            );
        }
        Ok(())
    }
}

/// Registers of the run, and its history so far.
struct RegisterRun {
    planes: Vec<AdminClient>,
    registers: usize,
    history: Mutex<RegisterHistory>,
    acknowledged: AtomicUsize,
    has_ended: AtomicBool,
}

fn register_name(register: usize) -> String {
    format!("register-{register}")
}

fn value_of(server: &Server) -> u64 {
    let spec = server.spec.as_ref();
    spec.and_then(|spec| spec.description.parse().ok())
        .unwrap_or(0)
}

impl RegisterRun {
    /// Creates the registers.
    async fn start(planes: &[&ControlPlaneProcess], registers: usize) -> Result<Self> {
        let planes: Result<Vec<_>> = planes.iter().map(|plane| plane.admin_client()).collect();
        let planes = planes?;
        let first = planes.first().context("no control plane")?;
        for register in 0..registers {
            first.create_server(&register_name(register), "").await?;
        }
        Ok(Self {
            planes,
            registers,
            history: Mutex::default(),
            acknowledged: AtomicUsize::new(0),
            has_ended: AtomicBool::new(false),
        })
    }

    fn plane(&self, turn: usize) -> Result<&AdminClient> {
        let plane = self.planes.get(turn % self.planes.len());
        plane.context("no control plane")
    }

    fn history(&self) -> MutexGuard<'_, RegisterHistory> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Reads a register. Returns `None` if no answer came.
    async fn read(&self, turn: usize, register: usize) -> Result<Option<Server>> {
        let start = now();
        match self.plane(turn)?.server(&register_name(register)).await {
            Ok(server) => {
                let read = RegisterAccess {
                    register,
                    value: value_of(&server),
                    start,
                    end: now(),
                };
                self.history().reads.push(read);
                Ok(Some(server))
            }
            Err(status) if is_unknown(&status) => Ok(None),
            Err(status) => Err(status.into()),
        }
    }

    /// Raises the value that was read by one, at another control plane with the same request id until an answer tells. Returns
    /// `false` if another writer was faster.
    async fn raise(
        &self,
        turn: &mut usize,
        register: usize,
        read: &Server,
        request_id: &str,
    ) -> Result<bool> {
        let (start, value) = (now(), value_of(read) + 1);
        loop {
            let plane = self.plane(*turn)?;
            let answer = plane
                .describe_server(read, &value.to_string(), request_id)
                .await;
            match answer {
                Ok(_) => break,
                Err(status) if status.code() == Code::Aborted => return Ok(false),
                Err(status) if is_unknown(&status) => {
                    ensure!(start.elapsed() < HANG_GUARD, "{request_id}: {status}");
                    *turn += 1;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(status) => return Err(status.into()),
            }
        }
        let write = RegisterAccess {
            register,
            value,
            start,
            end: now(),
        };
        self.history().writes.push(write);
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        Ok(true)
    }

    /// Writes until `updates` are acknowledged, or until the run has ended.
    async fn write(&self, writer: usize, updates: usize) -> Result<()> {
        let (mut turn, mut attempt, mut done) = (writer, 0, 0);
        while done < updates && !self.has_ended.load(Ordering::SeqCst) {
            attempt += 1;
            let register = (writer + attempt) % self.registers;
            let Some(read) = self.read(turn, register).await? else {
                turn += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            };
            let request_id = format!("{writer}-{attempt}");
            if self.raise(&mut turn, register, &read, &request_id).await? {
                done += 1;
            } else {
                // Later writers wait longer, so that they do not meet again.
                tokio::time::sleep(Duration::from_millis(1 + writer as u64)).await;
            }
        }
        Ok(())
    }

    /// Checks the history against the values that the registers have at the end.
    async fn check(&self) -> Result<u64> {
        let mut total = 0;
        for register in 0..self.registers {
            let what = "the register is read at the end";
            let last = eventually(what, HANG_GUARD, || async {
                let server = self.read(register, register).await?;
                server.context("no answer")
            })
            .await?;
            let last = value_of(&last);
            self.history().check(register, last)?;
            total += last;
        }
        Ok(total)
    }
}

/// Kills or freezes the leader of etcd again and again, while the writers go on. Describes each round.
async fn disturb(
    run: &RegisterRun,
    etcd: &mut TestEtcdCluster,
    sandbox: &Sandbox,
    rounds: usize,
) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    for round in 0..rounds {
        let leader = eventually("a member leads", HANG_GUARD, || etcd.leader()).await?;
        let is_kill = round % 2 == 0;
        if is_kill {
            etcd.kill(leader)?;
        } else {
            etcd.freeze(leader)?;
        }
        let (start, before) = (now(), run.acknowledged());
        // Writes that were on their way may still be acknowledged.
        eventually("writes go on", HANG_GUARD, || async {
            let count = run.acknowledged() - before;
            ensure!(count > 20, "{count} acknowledged since the loss");
            Ok(())
        })
        .await?;
        let took = start.elapsed();
        notes.push(format!(
            "round {round}: 20 writes {took:?} after the loss of member {leader} (killed: {is_kill})"
        ));
        ensure!(
            !is_drill() || took < RESUME_TIMEOUT,
            "writes go on after {took:?}"
        );
        if is_drill() {
            tokio::time::sleep(Duration::from_secs(5).saturating_sub(took)).await;
        }
        if is_kill {
            etcd.restart(sandbox, leader)?;
        } else {
            etcd.thaw(leader)?;
        }
        etcd.healthy(leader).await?;
    }
    Ok(notes)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_is_lost_or_doubled_while_leaders_of_etcd_are_killed_and_frozen() {
    const WRITERS: usize = 8;
    let sandbox = Sandbox::new("leaders").unwrap();
    let mut etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let run = RegisterRun::start(&[&first, &second], 4).await.unwrap();
    let rounds = if is_drill() { 12 } else { 2 };
    let start = now();
    let writers = (0..WRITERS).map(|writer| run.write(writer, usize::MAX));
    let writing = async {
        let written = try_join_all(writers).await;
        run.has_ended.store(true, Ordering::SeqCst);
        written
    };
    let disturbing = async {
        let disturbed = disturb(&run, &mut etcd, &sandbox, rounds).await;
        run.has_ended.store(true, Ordering::SeqCst);
        disturbed
    };
    let (written, disturbed) = tokio::join!(writing, disturbing);
    written.unwrap();
    println!("{}", disturbed.unwrap().join("\n"));
    let rate = run.acknowledged() as f64 / start.elapsed().as_secs_f64();
    let total = run.check().await.unwrap();
    println!("{total} writes, {rate:.0} per second");
    assert_eq!(total, run.acknowledged() as u64);
    assert!(
        !is_drill() || rate >= LEAST_RATE,
        "{rate} writes per second"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_of_one_object_by_many_administrators_are_all_counted() {
    let (writers, updates) = if is_drill() { (50, 200) } else { (10, 10) };
    let sandbox = Sandbox::new("one-object").unwrap();
    let etcd = TestEtcdCluster::start(&sandbox, 3).await.unwrap();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let run = RegisterRun::start(&[&first, &second], 1).await.unwrap();
    let start = now();
    try_join_all((0..writers).map(|writer| run.write(writer, updates)))
        .await
        .unwrap();
    println!("{} updates in {:?}", writers * updates, start.elapsed());
    assert_eq!(run.check().await.unwrap(), (writers * updates) as u64);
    // A blind update names no version that was read.
    let mut blind = run.read(0, 0).await.unwrap().unwrap();
    if let Some(metadata) = &mut blind.metadata {
        metadata.resource_version.clear();
    }
    for plane in &run.planes {
        let refused = plane.describe_server(&blind, "0", "blind").await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(run.check().await.unwrap(), (writers * updates) as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_of_etcd_whose_disk_is_full_interrupts_no_writes() {
    let sandbox = Sandbox::new("full-member").unwrap();
    // etcd sets 64 MiB aside for its log, and as much for the next one.
    let disk = SmallDisk::mount(&sandbox, 150 * 1024 * 1024).await.unwrap();
    let disk = Arc::new(disk);
    let mut etcd = TestEtcdCluster::start_on(&sandbox, 3, &disk).await.unwrap();
    let first = ControlPlaneProcess::start(&sandbox, "plane", &etcd.endpoints())
        .await
        .unwrap();
    let second = first.start_replica("replica").await.unwrap();
    let run = RegisterRun::start(&[&first, &second], 4).await.unwrap();
    let filling = async {
        disk.fill()?;
        etcd.wait_for_end(0).await?;
        let (start, before) = (now(), run.acknowledged());
        eventually("writes go on", HANG_GUARD, || async {
            let count = run.acknowledged() - before;
            ensure!(count > 50, "{count} acknowledged without the member");
            Ok(())
        })
        .await?;
        anyhow::Ok(start.elapsed())
    };
    let filling = async {
        let filled = filling.await;
        run.has_ended.store(true, Ordering::SeqCst);
        filled
    };
    let writing = try_join_all((0..4).map(|writer| run.write(writer, usize::MAX)));
    let (written, filled) = tokio::join!(writing, filling);
    written.unwrap();
    let took = filled.unwrap();
    println!("50 writes {took:?} after the member had ended");
    assert!(!is_drill() || took < RESUME_TIMEOUT, "{took:?}");
    assert_eq!(run.check().await.unwrap(), run.acknowledged() as u64);
}

/// Shows that the model can fail, once for each fault that it looks for.
#[test]
fn a_history_that_is_not_linearizable_is_found() {
    let begin = now();
    let access = |value: u64, start: u64, end: u64| RegisterAccess {
        register: 0,
        value,
        start: begin + Duration::from_millis(start),
        end: begin + Duration::from_millis(end),
    };
    let check = |writes: &[RegisterAccess], reads: &[RegisterAccess], last: u64| {
        let history = RegisterHistory {
            writes: writes.to_vec(),
            reads: reads.to_vec(),
        };
        history.check(0, last)
    };
    let (one, two) = (access(1, 0, 10), access(2, 5, 20));
    check(&[two, one], &[access(1, 6, 30), access(2, 6, 7)], 2).unwrap();
    for (what, writes, reads, last) in [
        ("lost", vec![one, two], vec![], 1),
        ("not acknowledged", vec![one], vec![], 2),
        ("doubled", vec![one, two, two], vec![], 2),
        ("out of order", vec![access(1, 30, 40), two], vec![], 2),
        ("stale read", vec![one, two], vec![access(1, 25, 30)], 2),
        ("early read", vec![one, two], vec![access(2, 1, 4)], 2),
    ] {
        assert!(check(&writes, &reads, last).is_err(), "{what}");
    }
}
