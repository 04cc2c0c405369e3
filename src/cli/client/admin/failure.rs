//! Conversion of the statuses of failed requests to errors that name the address or the file concerned, and the next step.

use std::error::Error as _;

use tonic::Status;
use toolgate_egress::{ConnectProblem, ControlConnectError};

use super::{
    AdminClient,
    status::{
        address_origin, is_answer, is_broken, is_not_grpc, is_store_unavailable, is_timeout,
        timeout_status,
    },
};
use crate::cli::output::error::{CliError, CliErrorKind};

/// Advice printed if the control plane answers but its store is unavailable.
const STORE_UNAVAILABLE_ADVICE: &str = "check the store, etcd or the file in the data folder: --etcd of the control plane names it; its log \
     tells when it is back. Proxies serve on meanwhile";
/// Advice printed if no address was given and no control plane answers at the usual one.
const NO_ADDRESS_ADVICE: &str = "`toolgate up` starts a control plane here; --data-dir DIR names the folder of one that runs, --addr URL \
     or TOOLGATE_ADDR its address; `toolgate doctor` looks closer";
/// Advice printed if no token was given and none is in the data folder.
const NO_TOKEN_ADVICE: &str = "--data-dir DIR names the data folder of the `toolgate up` that answers, which holds its token; --token or \
     TOOLGATE_TOKEN gives a token";

impl AdminClient {
    /// Converts a status to an error. If the connection broke without a reason, the address is diagnosed first.
    pub(super) async fn explained(&self, status: Status) -> CliError {
        if let Some(error) = ControlConnectError::of(&status) {
            return self.of_connect(error);
        }
        if is_broken(&status)
            && let Some(error) = self.connector.diagnose().await
        {
            return self.of_connect(&error);
        }
        self.to_cli_error(status)
    }

    /// Names the address, why it cannot be used, and the next step.
    fn of_connect(&self, error: &ControlConnectError) -> CliError {
        let fault = CliError::new(CliErrorKind::Unavailable, error.problem.to_string());
        let fault = self.without_answer(fault);
        let (addr, authority) = (&self.addr, &error.address);
        match error.problem {
            ConnectProblem::PeerWithoutTls => fault.with_next_step(format!(
                "--addr http://{authority}, or the same in TOOLGATE_ADDR, if it is the admin API and the way to it is safe"
            )),
            ConnectProblem::PeerWithTls => fault.with_next_step(format!(
                "--addr https://{authority}, or the same in TOOLGATE_ADDR; --ca FILE names an authority that this machine does not \
                 trust"
            )),
            ConnectProblem::Http1 => fault.with_next_step(format!(
                "set TOOLGATE_ADDR to the admin API: 7400 is its usual port; now it is {addr}"
            )),
            ConnectProblem::Handshake => {
                let detail = error.source().map(ToString::to_string);
                let fault = fault.with_note(detail.unwrap_or_default());
                fault.with_next_step(
                    "--ca FILE names the authority of its certificate, PEM; --addr has to name a host of the certificate",
                )
            }
            ConnectProblem::Unresolved => fault.with_next_step(format!(
                "correct the host name in {addr}: --addr or TOOLGATE_ADDR sets it"
            )),
            ConnectProblem::Refused | ConnectProblem::Timeout | ConnectProblem::Unreachable => fault,
        }
    }

    /// Converts a status to an error.
    fn to_cli_error(&self, status: Status) -> CliError {
        let status = match is_timeout(&status) {
            true => timeout_status(),
            false => status,
        };
        if is_not_grpc(&status) {
            return CliError::new(
                CliErrorKind::Unavailable,
                format!("{} answers, but not as an admin API does", self.addr),
            )
            .with_next_step(format!(
                "set TOOLGATE_ADDR to the admin API: 7400 is its usual port, and a proxy has none; now it is {}",
                self.addr
            ));
        }
        if is_store_unavailable(&status) {
            return CliError::from(status)
                .with_note(format!("{} answers; its store does not", self.addr))
                .with_next_step(STORE_UNAVAILABLE_ADVICE);
        }
        let has_answered = is_answer(&status);
        let fault = CliError::from(status);
        match fault.kind {
            CliErrorKind::Unavailable if has_answered => fault,
            CliErrorKind::Unavailable => self.without_answer(fault),
            CliErrorKind::Denied if self.bearer.is_none() => {
                let file = std::path::absolute(&self.token_file);
                let file = file.unwrap_or_else(|_unknown| self.token_file.clone());
                fault
                    .with_note(format!(
                        "no token was sent: none was given, and there is no {}",
                        file.display()
                    ))
                    .with_next_step(NO_TOKEN_ADVICE)
            }
            CliErrorKind::Denied
            | CliErrorKind::Error
            | CliErrorKind::CallFailed
            | CliErrorKind::Usage
            | CliErrorKind::NotFound
            | CliErrorKind::HungUp
            | CliErrorKind::Interrupted
            | CliErrorKind::Terminated
            | CliErrorKind::Conflict => fault,
        }
    }

    /// Names the address that does not answer, and where it comes from.
    fn without_answer(&self, fault: CliError) -> CliError {
        let fault = fault.with_prefix(format_args!("no answer from {}", self.addr));
        let fault = match self.addr_file.as_deref() {
            Some(file) => fault.with_note(address_origin(file, &self.addr)),
            None => fault,
        };
        let step = match self.addr_file {
            Some(_) => NO_ADDRESS_ADVICE.to_owned(),
            None => format!(
                "see that the control plane runs and that {} is its address: --addr or TOOLGATE_ADDR names another; \
                 `toolgate doctor` looks closer",
                self.addr
            ),
        };
        fault.with_next_step(step)
    }
}
