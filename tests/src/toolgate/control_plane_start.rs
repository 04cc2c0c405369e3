//! First start of a control plane.

use anyhow::Result;

use super::{ControlPlaneProcess, await_ready};
use crate::port;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;
use crate::shifted_clock::ShiftedClock;

impl ControlPlaneProcess {
    /// Same as [`Self::start_with`], with its own clock.
    pub async fn start_at(
        sandbox: &Sandbox,
        name: &str,
        endpoints: &[String],
        flags: &[&str],
        clock: Option<&ShiftedClock>,
    ) -> Result<Self> {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let (admin, push, private) = (port::free()?, port::free()?, port::free()?);
        let data = sandbox.join("control-plane");
        let home = sandbox.path().to_owned();
        let endpoints = endpoints.join(",");
        let mut command = Self::command(&data, admin, push, private, &endpoints)?;
        command.args(&flags);
        if let Some(clock) = clock {
            clock.apply(&mut command);
        }
        let process = TestProcess::start(name, &home, command)?;
        let name = name.to_owned();
        let mut this = Self {
            process,
            admin,
            push,
            private,
            data,
            home,
            name,
            endpoints,
            flags,
        };
        await_ready(&mut this.process, this.private).await?;
        Ok(this)
    }
}
