//! The bearer token that goes with every call, where there is one. Never shown.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderValue;

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

    /// The header of the next call. A file that cannot be used changes nothing.
    pub(crate) fn header(&self) -> HeaderValue {
        match self {
            Self::Fixed(value) => value.clone(),
            Self::File { path, read } => {
                let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                if read.0.elapsed() >= REREAD {
                    read.0 = Instant::now();
                    match of_file(path) {
                        Ok(value) => read.1 = value,
                        Err(error) => tracing::warn!(%error, "the token is not renewed"),
                    }
                }
                read.1.clone()
            }
        }
    }
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
