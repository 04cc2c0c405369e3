//! A network of a test's own, in which every address is one of the machine's own: nothing leaves the machine, and a
//! connection to any address is seen. The test runs itself once more inside of it, in a network and mount namespace, which
//! needs root or a user namespace. A machine without such namespaces fails the test. One without IPv6 has IPv4 only.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::sandbox::Sandbox;
use crate::{clock, namespace};

/// Environment variable that is set inside of the network.
const INSIDE: &str = "TOOLGATE_TEST_NETWORK";

/// Address of the name server that programs inside of the network ask.
pub const NAME_SERVER: &str = "127.0.0.53:53";

/// Makes every address local, replaces the name server, and runs the rest of the arguments.
const SETUP: &str = r#"set -e
ip link set lo up
ip route add local 0.0.0.0/0 dev lo
if [ -e /proc/net/if_inet6 ]; then ip -6 route add local ::/0 dev lo; fi
mount --bind "$1" /etc/resolv.conf
if [ -e /etc/nsswitch.conf ]; then mount --bind "$2" /etc/nsswitch.conf; fi
shift 2
exec "$@""#;

/// True if this process is inside of a private network.
#[must_use]
pub fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// True if the machine has IPv6.
#[must_use]
pub fn has_ipv6() -> bool {
    Path::new("/proc/net/if_inet6").exists()
}

/// Runs the test of this name of this program inside of a private network. Fails if the test fails, or if it did not run.
pub async fn run(test: &str) -> Result<()> {
    let sandbox = Sandbox::new("network")?;
    let (names, switch) = (sandbox.join("resolv.conf"), sandbox.join("nsswitch.conf"));
    let address = NAME_SERVER.trim_end_matches(":53");
    fs::write(
        &names,
        format!("nameserver {address}\noptions timeout:2 attempts:2\n"),
    )?;
    fs::write(&switch, "hosts: files dns\n")?;
    let path = std::env::var("PATH").unwrap_or_default();
    let command = namespace::unshare(&["--net", "--mount"])?;
    let mut command = tokio::process::Command::from(command);
    command
        .args(["sh", "-c", SETUP, "sh"])
        .args([&names, &switch])
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let running = tokio::time::timeout(longest(), command.output());
    let output = running
        .await
        .with_context(|| format!("{test}: no end within {:?}", longest()))?
        .context(namespace::REQUIREMENT)?;
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    ensure!(
        output.status.success() && out.contains("1 passed"),
        "{test}, in a private network ({}, and ip(8)): {}\n{out}\n{err}",
        namespace::REQUIREMENT,
        output.status
    );
    Ok(())
}

/// Longest time that a test inside of the network takes.
fn longest() -> Duration {
    clock::HANG_GUARD * 5
}
