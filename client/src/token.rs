//! The bearer token that goes with every call, where there is one. Never shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::error::Error;

/// How long a token from a file is used before the file is read again.
const REREAD: Duration = Duration::from_secs(5);

/// Where a token comes from.
#[derive(Clone)]
pub(crate) enum Token {
    /// The caller.
    Fixed(String),
    /// A file, which is read again now and then.
    File(PathBuf),
}

/// A token as a header.
#[derive(Clone)]
pub(crate) enum Bearer {
    Fixed(HeaderValue),
    File { path: PathBuf, read: Arc<Mutex<(Instant, HeaderValue)>> },
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(..)")
    }
}

impl Bearer {
    /// # Errors
    /// When the file cannot be read, or the token has characters that no header may have.
    pub(crate) fn new(token: &Token) -> Result<Self, Error> {
        match token {
            Token::Fixed(token) => Ok(Self::Fixed(header(token)?)),
            Token::File(path) => {
                let read = Arc::new(Mutex::new((Instant::now(), of_file(path)?)));
                Ok(Self::File { path: path.clone(), read })
            }
        }
    }

    /// The header of the next call. A file that cannot be used changes nothing, and one that cannot be read for a while
    /// holds up no other call.
    pub(crate) async fn header(&self) -> HeaderValue {
        let (path, read) = match self {
            Self::Fixed(value) => return value.clone(),
            Self::File { path, read } => (path, read),
        };
        if is_due(read) {
            let path = path.clone();
            match tokio::task::spawn_blocking(move || of_file(&path)).await {
                Ok(Ok(value)) => read.lock().unwrap_or_else(PoisonError::into_inner).1 = value,
                Ok(Err(error)) => tracing::warn!(%error, "the token is not renewed"),
                Err(error) => tracing::warn!(%error, "the token is not renewed"),
            }
        }
        read.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Whether it is this call that reads the file again.
fn is_due(read: &Mutex<(Instant, HeaderValue)>) -> bool {
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    let is_due = read.0.elapsed() >= REREAD;
    if is_due {
        read.0 = Instant::now();
    }
    is_due
}

/// The one word of a file, beside lines of comment.
fn of_file(path: &PathBuf) -> Result<HeaderValue, Error> {
    let unread = |error| Error::Credentials(format!("{} cannot be read: {error}", path.display()));
    let text = fs::read_to_string(path).map_err(unread)?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    match *words.as_slice() {
        [token] => header(token),
        _ => Err(Error::Credentials(format!("{}: not one token and nothing else", path.display()))),
    }
}

fn header(token: &str) -> Result<HeaderValue, Error> {
    let plain = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| plain);
    let mut value =
        value.ok_or_else(|| Error::Credentials("the token has characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn sent(bearer: &Bearer) -> String {
        bearer.header().await.to_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_is_read_again_and_a_bad_one_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "# of the sidecar\nfirst\n").unwrap();
        let bearer = Bearer::new(&Token::File(path.clone())).unwrap();
        assert_eq!(sent(&bearer).await, "Bearer first");
        fs::write(&path, "second").unwrap();
        assert_eq!(sent(&bearer).await, "Bearer first", "it is not time yet");
        tokio::time::advance(REREAD).await;
        assert_eq!(sent(&bearer).await, "Bearer second");
        for bad in ["", "two words", "caf\u{e9}"] {
            fs::write(&path, bad).unwrap();
            tokio::time::advance(REREAD).await;
            assert_eq!(sent(&bearer).await, "Bearer second", "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_hangs_holds_up_one_call_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "first").unwrap();
        let bearer = Bearer::new(&Token::File(path.clone())).unwrap();
        // To read a pipe is to wait for its writer.
        fs::remove_file(&path).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        tokio::time::advance(REREAD).await;
        let hung = tokio::spawn({
            let bearer = bearer.clone();
            async move { sent(&bearer).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(sent(&bearer).await, "Bearer first");
        assert!(!hung.is_finished());
        fs::write(&path, "second").unwrap();
        assert_eq!(hung.await.unwrap(), "Bearer second");
    }
}
