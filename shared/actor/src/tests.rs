//! Tests of actors: one for each actix pitfall that this crate works around.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use serde_json::{Value, json};

use super::*;

/// Upper bound of waits that only guard against a hang: far above any time that is promised.
const HANG_GUARD: Duration = Duration::from_secs(60);

/// Test actor that keeps a counter and runs the requested effects.
struct CounterActor {
    total: u64,
    stopped: Option<mpsc::SyncSender<u64>>,
}

enum Message {
    Add(u64),
    Total(ReplySender<u64>),
    Panic,
    /// Blocks the thread until the other end is dropped. Real handlers must never block.
    Block(mpsc::Receiver<()>),
    AddLater(Duration, u64),
    SetAndCancel(Duration, u64),
    PerformAdd(tokio::sync::oneshot::Receiver<u64>),
    PerformPanic,
    Stop,
}

impl CounterActor {
    fn new() -> Self {
        Self {
            total: 0,
            stopped: None,
        }
    }
}

impl Actor for CounterActor {
    type Message = Message;
    const KIND: &'static str = "counter";
    const CAPACITY: usize = 4;
    const MAX_RESTARTS: usize = 2;

    fn handle(&mut self, message: Message, cx: &mut ActorContext<Self>) {
        match message {
            Message::Add(more) => self.total += more,
            Message::Total(reply) => reply.send(self.total),
            Message::Panic => panic!("on purpose"),
            Message::Block(until) => {
                let _released = until.recv();
            }
            Message::AddLater(delay, more) => {
                cx.after(delay, Message::Add(more));
            }
            Message::SetAndCancel(delay, more) => {
                let timer = cx.after(delay, Message::Add(more));
                cx.cancel(timer);
            }
            Message::PerformAdd(more) => {
                cx.perform(async move { Message::Add(more.await.unwrap_or_default()) });
            }
            Message::PerformPanic => cx.perform(async { panic!("on purpose") }),
            Message::Stop => cx.stop(),
        }
    }

    fn observe(&self) -> Value {
        json!({ "total": self.total })
    }

    fn stopped(&mut self) {
        if let Some(stopped) = &self.stopped {
            stopped.send(self.total).unwrap();
        }
    }
}

fn counter() -> (ActorSystem, ActorHandle<CounterActor>) {
    let system = ActorSystem::start(1).unwrap();
    let handle = system.spawn(CounterActor::new);
    (system, handle)
}

async fn total(handle: &ActorHandle<CounterActor>) -> Result<u64, AskError> {
    handle.ask(HANG_GUARD, Message::Total).await
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(HANG_GUARD, waiting).await;
    assert!(waited.is_ok(), "waited in vain");
}

#[tokio::test]
async fn messages_are_handled_in_order() {
    let (_system, handle) = counter();
    for more in 1..=3 {
        handle.tell(Message::Add(more)).unwrap();
    }
    assert_eq!(total(&handle).await, Ok(6));
}

#[test]
fn a_request_works_from_any_runtime() {
    let (_system, handle) = counter();
    for _runtime in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(total(&handle)), Ok(0));
    }
}

#[tokio::test]
async fn the_mailbox_bound_holds_for_any_number_of_senders() {
    let (_system, handle) = counter();
    let (release, blocked) = mpsc::sync_channel(0);
    handle.tell(Message::Block(blocked)).unwrap();
    // The message being handled still counts.
    let accepted = (0..50)
        .filter(|_| handle.clone().tell(Message::Add(1)).is_ok())
        .count();
    assert_eq!(accepted, CounterActor::CAPACITY - 1);
    assert_eq!(handle.tell(Message::Add(1)), Err(SendError::Busy));
    assert_eq!(total(&handle).await, Err(AskError::Busy));
    drop(release);
    until(|| handle.queued() == 0).await;
    assert_eq!(total(&handle).await, Ok(3));
}

#[tokio::test]
async fn a_request_times_out_at_its_deadline() {
    let (_system, handle) = counter();
    let (release, blocked) = mpsc::sync_channel(0);
    handle.tell(Message::Block(blocked)).unwrap();
    let asked = handle.ask(Duration::from_millis(20), Message::Total).await;
    assert_eq!(asked, Err(AskError::Timeout));
    drop(release);
    assert_eq!(total(&handle).await, Ok(0));
}

#[tokio::test]
async fn a_panic_resets_the_state_but_keeps_the_actor() {
    let (system, handle) = counter();
    let neighbour = system.spawn(CounterActor::new);
    neighbour.tell(Message::Add(5)).unwrap();
    handle.tell(Message::Add(7)).unwrap();
    handle.tell(Message::Panic).unwrap();
    // A message accepted after the panic is handled by the new instance.
    handle.tell(Message::Add(1)).unwrap();
    assert_eq!(total(&handle).await, Ok(1));
    assert_eq!(total(&neighbour).await, Ok(5));
    assert_eq!(system.counts().get("counter"), Some(&2));
    let restarts: u64 = system
        .observe()
        .await
        .iter()
        .map(|picture| picture.restarts)
        .sum();
    assert_eq!(restarts, 1);
}

#[tokio::test]
async fn the_request_that_panics_gets_gone() {
    struct PanickingActor;
    impl Actor for PanickingActor {
        type Message = ReplySender<()>;
        const KIND: &'static str = "fragile";
        fn handle(&mut self, _reply: ReplySender<()>, _cx: &mut ActorContext<Self>) {
            panic!("on purpose")
        }
        fn observe(&self) -> Value {
            Value::Null
        }
    }
    let system = ActorSystem::start(1).unwrap();
    let handle = system.spawn(|| PanickingActor);
    assert_eq!(
        handle.ask(HANG_GUARD, |reply| reply).await,
        Err(AskError::Gone)
    );
    assert!(!handle.is_gone());
}

#[tokio::test]
async fn too_many_panics_end_the_actor_and_callers_get_gone() {
    let (system, handle) = counter();
    for _panic in 0..=CounterActor::MAX_RESTARTS {
        handle.tell(Message::Panic).unwrap();
    }
    until(|| handle.is_gone()).await;
    assert_eq!(handle.tell(Message::Add(1)), Err(SendError::Gone));
    assert_eq!(total(&handle).await, Err(AskError::Gone));
    until(|| system.counts().is_empty()).await;
}

#[tokio::test]
async fn a_factory_that_always_panics_ends_the_actor() {
    let system = ActorSystem::start(1).unwrap();
    let tried = Arc::new(AtomicUsize::new(0));
    let trying = Arc::clone(&tried);
    let handle = system.spawn(move || -> CounterActor {
        trying.fetch_add(1, Ordering::SeqCst);
        panic!("on purpose")
    });
    until(|| handle.is_gone()).await;
    assert_eq!(tried.load(Ordering::SeqCst), CounterActor::MAX_RESTARTS + 1);
    // The thread survives.
    assert_eq!(total(&system.spawn(CounterActor::new)).await, Ok(0));
}

#[tokio::test]
async fn timers_fire_unless_cancelled() {
    let (_system, handle) = counter();
    let soon = Duration::from_millis(10);
    handle.tell(Message::AddLater(soon, 1)).unwrap();
    handle.tell(Message::SetAndCancel(soon, 100)).unwrap();
    let fired = async {
        while total(&handle).await == Ok(0) {
            tokio::time::sleep(soon).await;
        }
    };
    let fired = tokio::time::timeout(HANG_GUARD, fired).await;
    assert!(fired.is_ok(), "the timer does not fire");
    // The other one was due at the same time.
    tokio::time::sleep(soon * 5).await;
    assert_eq!(total(&handle).await, Ok(1));
}

#[tokio::test]
async fn a_panic_cancels_timers() {
    let (_system, handle) = counter();
    // Long enough that the panic is handled before.
    let soon = Duration::from_millis(300);
    handle.tell(Message::AddLater(soon, 1)).unwrap();
    handle.tell(Message::Panic).unwrap();
    tokio::time::sleep(soon * 2).await;
    assert_eq!(total(&handle).await, Ok(0));
}

#[tokio::test]
async fn performed_futures_return_and_count_against_the_bound_until_done() {
    let (_system, handle) = counter();
    let (answer, pending) = tokio::sync::oneshot::channel();
    handle.tell(Message::PerformAdd(pending)).unwrap();
    // The actor handles other messages meanwhile.
    assert_eq!(total(&handle).await, Ok(0));
    until(|| handle.queued() == 1).await;
    answer.send(9).unwrap();
    until(|| handle.queued() == 0).await;
    assert_eq!(total(&handle).await, Ok(9));
}

#[tokio::test]
async fn a_panic_in_a_performed_future_is_a_panic_of_the_actor() {
    let (_system, handle) = counter();
    handle.tell(Message::Add(4)).unwrap();
    handle.tell(Message::PerformPanic).unwrap();
    until(|| handle.queued() == 0).await;
    assert_eq!(total(&handle).await, Ok(0));
}

#[tokio::test]
async fn an_actor_can_stop_itself() {
    let (system, handle) = counter();
    handle.tell(Message::Stop).unwrap();
    until(|| handle.is_gone()).await;
    assert_eq!(handle.tell(Message::Add(1)), Err(SendError::Gone));
    until(|| system.counts().is_empty()).await;
}

#[tokio::test]
async fn an_actor_ends_when_its_last_handle_is_dropped() {
    let (system, handle) = counter();
    assert_eq!(total(&handle).await, Ok(0));
    drop(handle);
    until(|| system.counts().is_empty()).await;
}

#[tokio::test]
async fn every_actor_is_counted() {
    let (system, handle) = counter();
    handle.tell(Message::Add(3)).unwrap();
    let pictures = system.observe().await;
    let expected = ActorSnapshot {
        kind: "counter",
        id: handle.id(),
        state: json!({ "total": 3 }),
        restarts: 0,
        queued: 0,
    };
    assert_eq!(pictures, [expected]);
}

#[tokio::test]
async fn a_drain_ends_actors_in_order_and_names_blocked_ones() {
    let (system, handle) = counter();
    let (stopped, stops) = mpsc::sync_channel(1);
    let other = system.spawn(move || CounterActor {
        total: 0,
        stopped: Some(stopped.clone()),
    });
    other.tell(Message::Add(2)).unwrap();
    assert_eq!(system.drain(HANG_GUARD).await, ActorDrainOutcome::Drained);
    assert_eq!(stops.recv().unwrap(), 2);
    assert_eq!(total(&handle).await, Err(AskError::Gone));
    assert_eq!(
        system
            .spawn(CounterActor::new)
            .ask(HANG_GUARD, Message::Total)
            .await,
        Err(AskError::Gone)
    );

    let (system, handle) = counter();
    let (_release, blocked) = mpsc::sync_channel(0);
    handle.tell(Message::Block(blocked)).unwrap();
    let ActorDrainOutcome::Blocked(who) = system.drain(Duration::from_millis(50)).await else {
        panic!("drained with a blocked actor");
    };
    assert_eq!(who.get("counter"), Some(&1));
}

#[tokio::test]
async fn a_hundred_thousand_messages_from_many_tasks_all_arrive() {
    let system = ActorSystem::start(2).unwrap();
    let handle = system.spawn(CounterActor::new);
    let senders = (0..8).map(|_| {
        let handle = handle.clone();
        async move {
            for _message in 0..12_500 {
                while handle.tell(Message::Add(1)) == Err(SendError::Busy) {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    futures_util::future::join_all(senders).await;
    until(|| handle.queued() == 0).await;
    assert_eq!(total(&handle).await, Ok(100_000));
}

#[tokio::test]
async fn a_future_runs_on_each_thread_and_ends_with_it() {
    let system = ActorSystem::start(3).unwrap();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(3);
    system.spawn_on_each_thread(|| {
        let sender = sender.clone();
        async move {
            let _sent = sender.send(std::thread::current().id()).await;
            std::future::pending::<()>().await;
        }
    });
    drop(sender);
    let mut threads = Vec::new();
    for _ in 0..3 {
        threads.push(receiver.recv().await.unwrap());
    }
    threads.dedup();
    assert_eq!(threads.len(), 3);
    drop(system);
    assert_eq!(receiver.recv().await, None);
}
