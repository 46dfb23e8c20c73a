//! The bytes below HTTP/2: written whole, and closed so that the peer reads the last of them.
//!
//! h2 gives a frame of more than 256 bytes to a vectored writer at once and by itself, which costs a system call for
//! each answer. It collects frames of up to a kilobyte for any other writer; so this one says that it is another.
//!
//! A socket that is closed while the peer still sends is reset by the system, and the reset overtakes what was written
//! before: a peer would not learn from the last GOAWAY that a call it was just sending was never taken up, and may be
//! sent again. So the stream outlives h2 here, and [`Rest::linger`] reads it out.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// Longest time that a peer has for closing its side.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read from it in that time.
const LINGER_BYTES_MAX: u64 = 64 << 10;

/// `S` without vectored writes, until it is dropped.
#[derive(Debug)]
pub(super) struct Whole<S> {
    /// None only while it is dropped.
    stream: Option<S>,
    /// Everything is written, and the peer was told so.
    ended: bool,
    rest: Arc<Mutex<Option<S>>>,
}

/// What is left of a stream that h2 has done with.
#[derive(Debug)]
pub(super) struct Rest<S>(Arc<Mutex<Option<S>>>);

impl<S> Whole<S> {
    pub(super) fn new(stream: S) -> (Self, Rest<S>) {
        let rest = Arc::new(Mutex::new(None));
        (Self { stream: Some(stream), ended: false, rest: Arc::clone(&rest) }, Rest(rest))
    }

    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>>
    where
        S: Unpin,
    {
        self.get_mut().stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S> Drop for Whole<S> {
    fn drop(&mut self) {
        if self.ended {
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = self.stream.take();
        }
    }
}

impl<S: AsyncRead + Unpin> Rest<S> {
    /// Waits until the peer has closed its side too, and throws away what it still sends.
    pub(super) async fn linger(self) {
        let stream = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(stream) = stream else { return };
        // However this ends, the stream is closed.
        let _ = timeout(LINGER, tokio::io::copy(&mut stream.take(LINGER_BYTES_MAX), &mut tokio::io::sink()))
            .await;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Whole<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Whole<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.as_mut().stream()?.poll_shutdown(context);
        self.ended |= matches!(shut, Poll::Ready(Ok(())));
        shut
    }
}
