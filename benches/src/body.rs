//! Bounded reading of whole bodies.

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

/// Maximum size of a body in bytes.
pub const MAX_BODY: usize = 64 << 20;

/// Reads a whole body. A single frame is returned without a copy; several are concatenated.
pub async fn read_to_end(mut body: Incoming) -> Result<Bytes> {
    let mut first = Bytes::new();
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
        if all.len() > MAX_BODY {
            bail!("a body of more than {MAX_BODY} bytes");
        }
    }
    Ok(if all.is_empty() { first } else { all.into() })
}
