//! Content codings of responses. Toolgate asks for none, but some servers and the proxies in front of them compress
//! anyway. A coded body is decoded as it is read, so that the size limits apply to the decoded bytes and the decoder is
//! never ahead of its reader.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use async_compression::{
    tokio::bufread::{BrotliDecoder, DeflateDecoder, GzipDecoder, ZlibDecoder, ZstdDecoder},
    zstd::DParameter,
};
use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::{HeaderMap, header};
use http_body::Body as _;
use tokio::io::{AsyncBufRead as _, AsyncRead};
use tokio_util::io::{StreamReader, poll_read_buf};
use toolgate_egress::EgressResponseBody;
use toolgate_runtime::{
    MemoryBudget,
    budget::{BudgetCharge, BudgetOwner},
};

use crate::error::ClientError;

/// Maximum number of bytes decoded at once.
const DECODED_CHUNK: usize = 16 * 1024;

/// Largest window of a Zstandard frame, as its logarithm: the limit of RFC 9659 for content codings.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Largest window of a Brotli stream in bytes (RFC 7932).
const BROTLI_WINDOW: usize = 16 * 1024 * 1024;

/// Maximum ratio of the decoded size of a body to its coded size. Records of real tools reach 30; bodies that reach more than
/// 100 repeat one short text.
const EXPANSION: u64 = 100;

/// Decoded bytes up to which any ratio is accepted: the limit of an answer unless its server has a larger one.
const FREE_EXPANSION: u64 = 4 * 1024 * 1024;

/// Maximum length of the name of an unsupported coding in a message.
const MAX_NAME: usize = 24;

/// Content coding of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    Gzip,
    /// The zlib format, or bare DEFLATE, which some servers send under the same name.
    Deflate,
    Brotli,
    Zstd,
    /// Not supported; contains a name that is safe to display.
    Unsupported(String),
}

/// Body of a response without its content coding.
pub(crate) struct DecodedBody(BodySource);

enum BodySource {
    Plain(EgressResponseBody),
    Coded(Box<CodedBody>),
}

struct CodedBody {
    coding: ContentCoding,
    decoder: ContentDecoder,
    buffer: BytesMut,
    ended: bool,
    received: Arc<AtomicU64>,
    decoded: u64,
    /// Charge of the decoder's window.
    charge: Option<BudgetCharge>,
}

enum ContentDecoder {
    /// Nothing was received yet.
    Unopened(Box<StreamReader<CodedChunks, Bytes>>),
    Open(Pin<Box<dyn AsyncRead + Send + Sync>>),
    /// The decoder failed, or the coding is not supported.
    Closed,
}

/// Chunks as received, and the number of their bytes.
struct CodedChunks {
    body: EgressResponseBody,
    received: Arc<AtomicU64>,
}

impl ContentCoding {
    /// Returns the content coding that the headers of a response declare; `None` if the body is not coded.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let declared = headers.get_all(header::CONTENT_ENCODING);
        let mut names = declared
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case(b"identity"));
        let name = names.next()?;
        if names.next().is_some() {
            return Some(Self::Unsupported("of several codings".to_owned()));
        }
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        Some(if is(b"gzip") || is(b"x-gzip") {
            Self::Gzip
        } else if is(b"deflate") {
            Self::Deflate
        } else if is(b"br") {
            Self::Brotli
        } else if is(b"zstd") {
            Self::Zstd
        } else {
            let safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.+".contains(byte);
            let name = name.iter().take(MAX_NAME).filter(|byte| safe(byte));
            Self::Unsupported(format!(
                "`{}`",
                name.map(|byte| char::from(*byte)).collect::<String>()
            ))
        })
    }

    /// Maximum size of the decoder's window in bytes. Smaller ones than 64 KiB do not count.
    fn window(&self) -> usize {
        match self {
            Self::Brotli => BROTLI_WINDOW,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG,
            Self::Gzip | Self::Deflate | Self::Unsupported(_) => 0,
        }
    }

    /// Opens a decoder. `first` is the first byte of the body.
    fn open(&self, body: StreamReader<CodedChunks, Bytes>, first: u8) -> ContentDecoder {
        ContentDecoder::Open(match self {
            Self::Gzip => {
                let mut decoder = GzipDecoder::new(body);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            // The zlib format begins with method 8, which no encoder of bare DEFLATE begins with.
            Self::Deflate if first & 0x0f == 8 => Box::pin(ZlibDecoder::new(body)),
            Self::Deflate => Box::pin(DeflateDecoder::new(body)),
            Self::Brotli => Box::pin(BrotliDecoder::new(body)),
            Self::Zstd => {
                let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG)];
                let mut decoder = ZstdDecoder::with_params(body, &window);
                decoder.multiple_members(true);
                Box::pin(decoder)
            }
            Self::Unsupported(_) => return ContentDecoder::Closed,
        })
    }
}

impl DecodedBody {
    pub(crate) fn new(body: EgressResponseBody, coding: Option<ContentCoding>) -> Self {
        let Some(coding) = coding else {
            return Self(BodySource::Plain(body));
        };
        let received = Arc::<AtomicU64>::default();
        let chunks = CodedChunks {
            body,
            received: Arc::clone(&received),
        };
        Self(BodySource::Coded(Box::new(CodedBody {
            coding,
            decoder: ContentDecoder::Unopened(Box::new(StreamReader::new(chunks))),
            buffer: BytesMut::new(),
            ended: false,
            received,
            decoded: 0,
            charge: None,
        })))
    }

    /// Returns the lower and the upper bound of the size, as far as it is known.
    pub(crate) fn size_hint(&self) -> (u64, Option<u64>) {
        match &self.0 {
            BodySource::Plain(body) => {
                let hint = body.size_hint();
                (hint.lower(), hint.upper())
            }
            BodySource::Coded(_) => (0, None),
        }
    }

    /// Returns `true` if the body is known to have ended.
    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.0 {
            BodySource::Plain(body) => body.is_end_stream(),
            BodySource::Coded(coded) => coded.ended,
        }
    }

    /// Charges the window of a decoder, before its first use.
    pub(crate) fn charge_window(
        &mut self,
        budget: Option<&Arc<MemoryBudget>>,
        owner: Option<BudgetOwner>,
    ) -> Result<(), ClientError> {
        let BodySource::Coded(coded) = &mut self.0 else {
            return Ok(());
        };
        let window = coded.coding.window();
        if let (None, Some(budget), 1..) = (&coded.charge, budget, window) {
            let charge = coded.charge.insert(budget.open(owner));
            charge.cover(window)?;
        }
        Ok(())
    }

    /// Polls the next chunk, which is not empty; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Bytes>, ClientError>> {
        match &mut self.0 {
            BodySource::Plain(body) => {
                poll_data(body, cx).map_err(|error| ClientError::Broken(error.to_string()))
            }
            BodySource::Coded(coded) => coded.poll_chunk(cx),
        }
    }
}

impl CodedBody {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, ClientError>> {
        if self.ended {
            return Poll::Ready(Ok(None));
        }
        if let ContentCoding::Unsupported(name) = &self.coding {
            let words = format!(
                "the server's answer has the content coding {name}, which is not supported; have it answer with `Accept-Encoding: identity` unencoded"
            );
            return Poll::Ready(Err(ClientError::Protocol(words.into())));
        }
        if self.expands_too_far() {
            self.close();
            return Poll::Ready(Err(ClientError::Expansion(EXPANSION)));
        }
        let polled = ready!(self.poll_decoded(cx));
        if !matches!(&polled, Ok(1..)) {
            self.close();
        }
        Poll::Ready(match polled {
            Ok(0) => Ok(None),
            Ok(size) => {
                self.decoded += size as u64;
                Ok(Some(self.buffer.split().freeze()))
            }
            Err(error) => Err(self.failure(&error)),
        })
    }

    /// Reports if the bytes decoded so far exceed the ratio to those received.
    fn expands_too_far(&self) -> bool {
        let received = self.received.load(Ordering::Relaxed);
        self.decoded > FREE_EXPANSION && self.decoded > received.saturating_mul(EXPANSION)
    }

    /// Releases the decoder: nothing more is read.
    fn close(&mut self) {
        self.ended = true;
        self.decoder = ContentDecoder::Closed;
        self.charge = None;
    }

    /// Decodes into the buffer and returns the number of bytes; 0 at the end.
    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let ContentDecoder::Unopened(body) = &mut self.decoder {
            let first = ready!(Pin::new(body.as_mut()).poll_fill_buf(cx))?
                .first()
                .copied();
            let ContentDecoder::Unopened(body) =
                std::mem::replace(&mut self.decoder, ContentDecoder::Closed)
            else {
                return Poll::Ready(Ok(0));
            };
            // An empty body is not coded, even if its header declares a coding.
            let Some(first) = first else {
                return Poll::Ready(Ok(0));
            };
            self.decoder = self.coding.open(*body, first);
        }
        let ContentDecoder::Open(decoder) = &mut self.decoder else {
            return Poll::Ready(Ok(0));
        };
        self.buffer.reserve(DECODED_CHUNK);
        let mut limited = bytes::BufMut::limit(&mut self.buffer, DECODED_CHUNK);
        poll_read_buf(decoder.as_mut(), cx, &mut limited)
    }

    fn failure(&self, error: &io::Error) -> ClientError {
        let coding = self.coding.name();
        // `CodedChunks` passes on the error of the connection like this.
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return ClientError::Broken(error.to_string());
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return ClientError::Broken(format!("it ends within its content coding `{coding}`"));
        }
        let words = format!("the server's answer is not valid in its content coding `{coding}`");
        ClientError::Protocol(words.into())
    }
}

impl ContentCoding {
    fn name(&self) -> &str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Unsupported(name) => name,
        }
    }
}

impl Stream for CodedChunks {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let chunks = self.get_mut();
        let polled = ready!(poll_data(&mut chunks.body, cx));
        if let Ok(Some(chunk)) = &polled {
            let size = chunk.len() as u64;
            chunks.received.fetch_add(size, Ordering::Relaxed);
        }
        let broken = |error: hyper::Error| io::Error::new(io::ErrorKind::ConnectionAborted, error);
        Poll::Ready(polled.map_err(broken).transpose())
    }
}

/// Polls the next chunk of data. Trailers are ignored.
fn poll_data(
    body: &mut EgressResponseBody,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<Bytes>, hyper::Error>> {
    loop {
        let Some(frame) = ready!(Pin::new(&mut *body).poll_frame(cx)?) else {
            return Poll::Ready(Ok(None));
        };
        if let Ok(chunk) = frame.into_data()
            && !chunk.is_empty()
        {
            return Poll::Ready(Ok(Some(chunk)));
        }
    }
}

impl fmt::Debug for DecodedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            BodySource::Plain(body) => body.fmt(f),
            BodySource::Coded(coded) => write!(f, "CodedBody({})", coded.coding.name()),
        }
    }
}

#[cfg(test)]
mod tests;
