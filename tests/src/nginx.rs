//! nginx in front of servers, as a single process: its end leaves no workers behind.

use std::fs;
use std::process::Command;

use anyhow::Result;

use crate::external_programs;
use crate::process::TestProcess;
use crate::sandbox::Sandbox;

/// Starts nginx with these directives in its `http` block.
pub fn start(sandbox: &Sandbox, http: &str) -> Result<TestProcess> {
    let folder = sandbox.path().display();
    let config = format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr; events {{}}\n\
         http {{ client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; \
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n{http}\n}}\n"
    );
    let file = sandbox.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = Command::new(external_programs::program("nginx")?);
    command.arg("-c").arg(&file).arg("-p").arg(sandbox.path());
    TestProcess::start("nginx", sandbox.path(), command)
}

/// Writes a certificate for this name, signed by itself, to `server.crt`, and its key to `server.key`. Returns the
/// directives of a server with both.
pub fn certificate(sandbox: &Sandbox, name: &str) -> Result<String> {
    let issued = rcgen::generate_simple_self_signed([name.to_owned()])?;
    let (certificate, key) = (sandbox.join("server.crt"), sandbox.join("server.key"));
    fs::write(&certificate, issued.cert.pem())?;
    fs::write(&key, issued.signing_key.serialize_pem())?;
    Ok(format!(
        "ssl_certificate {}; ssl_certificate_key {};",
        certificate.display(),
        key.display()
    ))
}
