//! The worker loops.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::task::spawn_local;

use super::connection::{ClientConnection, ClientSession};
use super::recorder::LoadRecorder;
use super::{LoadOperation, LoadPlan, LoadReport};
use crate::{clock, usage};

/// Pause after a failure, so that an unreachable target does not cause a busy loop.
const PAUSE: Duration = Duration::from_millis(5);

pub(super) async fn run(plan: Rc<LoadPlan>) -> Result<LoadReport> {
    let mut workers = Vec::new();
    let mut first = ClientConnection::new(plan.target.clone());
    let session = first.open().await?;
    let tool = match plan.work {
        LoadOperation::Echo(_) | LoadOperation::Cycle => first.find(&session, "echo").await?,
        LoadOperation::Big(_) => first.find(&session, "big").await?,
        LoadOperation::List => String::new(),
    };
    let tool: Rc<str> = tool.into();
    let mut sessions = vec![session];
    for _ in 1..plan.connections {
        sessions.push(first.open().await?);
    }
    let record = Rc::new(RefCell::new(LoadRecorder::new(plan.warmup, plan.time)));
    for (number, session) in sessions.into_iter().enumerate() {
        let worker = LoadWorker {
            number,
            plan: Rc::clone(&plan),
            tool: Rc::clone(&tool),
            record: Rc::clone(&record),
            connection: ClientConnection::new(plan.target.clone()),
            session,
        };
        workers.push(spawn_local(worker.run()));
    }
    let mut report = watch(&plan, &record).await;
    for worker in workers {
        worker.await.context("a worker broke")?;
    }
    let figures = record.borrow_mut().report();
    report = LoadReport {
        cpu: report.cpu,
        memory: report.memory,
        ..figures
    };
    Ok(report)
}

/// Measures CPU time and memory of the process over the measured window.
async fn watch(plan: &LoadPlan, record: &RefCell<LoadRecorder>) -> LoadReport {
    let (from, until) = record.borrow().window();
    tokio::time::sleep_until(from.into()).await;
    let before = plan.process.map(usage::of).unwrap_or_default();
    tokio::time::sleep_until(until.into()).await;
    let after = plan.process.map(usage::of).unwrap_or_default();
    let done = record.borrow().done().max(1) as f64;
    let cpu = (after.cpu - before.cpu) * 1e6 / done;
    LoadReport {
        cpu,
        memory: after.memory,
        ..LoadReport::default()
    }
}

struct LoadWorker {
    number: usize,
    plan: Rc<LoadPlan>,
    tool: Rc<str>,
    record: Rc<RefCell<LoadRecorder>>,
    connection: ClientConnection,
    session: ClientSession,
}

impl LoadWorker {
    async fn run(mut self) {
        let until = self.record.borrow().window().1;
        let mut count = 2;
        loop {
            let start = clock::now();
            if start >= until {
                return;
            }
            let outcome = self.run_once(count).await;
            let failed = outcome.is_err();
            self.record.borrow_mut().add(start, outcome);
            if failed {
                tokio::time::sleep(PAUSE).await;
            }
            count += 1;
        }
    }

    async fn run_once(&mut self, count: u64) -> Result<usize> {
        match self.plan.work {
            LoadOperation::Echo(length) => self.echo(count, length).await,
            LoadOperation::Big(bytes) => {
                let params = format!(r#""name":"{}","arguments":{{"bytes":{bytes}}}"#, self.tool);
                let tool = Rc::clone(&self.tool);
                let ask =
                    self.connection
                        .ask(&self.session, count, "tools/call", Some(&tool), &params);
                let body = ask.await?.success(b"\"result\"")?;
                anyhow::ensure!(body.len() >= bytes, "only {} bytes came", body.len());
                Ok(body.len())
            }
            LoadOperation::List => {
                let ask = self
                    .connection
                    .ask(&self.session, count, "tools/list", None, "");
                Ok(ask.await?.success(b"\"inputSchema\"")?.len())
            }
            LoadOperation::Cycle => {
                self.session = self.connection.open().await?;
                let bytes = self.echo(count, 32).await?;
                self.connection.close(&self.session).await?;
                Ok(bytes)
            }
        }
    }

    async fn echo(&mut self, count: u64, length: usize) -> Result<usize> {
        let text = format!("w{}n{count}-{}", self.number, "x".repeat(length));
        let text = text.get(..length).unwrap_or(&text);
        let params = format!(r#""name":"{}","arguments":{{"text":"{text}"}}"#, self.tool);
        let tool = Rc::clone(&self.tool);
        let ask = self
            .connection
            .ask(&self.session, count, "tools/call", Some(&tool), &params);
        Ok(ask.await?.success(text.as_bytes())?.len())
    }
}
