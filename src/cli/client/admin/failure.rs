//! Conversion of the statuses of failed requests to errors that name the address or the file concerned, and the next step.

use tonic::Status;

use super::{
    AdminClient,
    status::{
        address_origin, is_answer, is_not_grpc, is_store_unavailable, is_timeout, timeout_status,
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
    /// Converts a status to an error.
    pub(super) fn to_cli_error(&self, status: Status) -> CliError {
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
