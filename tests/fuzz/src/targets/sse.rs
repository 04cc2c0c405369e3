//! Server-sent events: the events do not depend on chunk boundaries, buffers stay within their limits, and written
//! events are read back.

use bytes::BytesMut;
use toolgate_mcp::sse::{SseDecoder, SseError, SseEvent, SseLimits, write_event};

const LIMITS: SseLimits = SseLimits {
    line: 256,
    event: 512,
};

/// Runs the target. The first byte determines the chunk boundaries.
pub fn run(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else {
        return;
    };
    let whole = read([stream]);
    let size = usize::from(cut % 17) + 1;
    assert_eq!(read(stream.chunks(size)), whole, "cut every {size} bytes");

    // Data of one line without control characters round-trips.
    let data: Vec<u8> = stream
        .iter()
        .copied()
        .filter(|byte| *byte >= b' ')
        .collect();
    if !data.is_empty() && data.len() < LIMITS.line - 16 {
        let mut written = BytesMut::new();
        write_event(&mut written, Some("7"), &data);
        let (events, error) = read([&written[..]]);
        assert_eq!(error, None);
        let [event] = &events[..] else {
            panic!("{} events for one", events.len());
        };
        assert_eq!(event.data, data);
    }
}

fn read<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<SseEvent>, Option<SseError>) {
    let mut framer = SseDecoder::new(LIMITS);
    let mut events = Vec::new();
    for chunk in chunks {
        let pushed = framer.push(chunk);
        while let Some(event) = framer.next_event() {
            assert!(event.data.len() <= LIMITS.event);
            events.push(event);
        }
        assert!(framer.buffered() <= LIMITS.line + LIMITS.event);
        if let Err(error) = pushed {
            return (events, Some(error));
        }
    }
    (events, None)
}
