//! The text that names a sidecar, taken apart.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use http::Uri;

use crate::error::Error;

/// Where a sidecar listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A host and a port, perhaps under TLS.
    Tcp { host: String, port: u16, tls: bool },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port, tls } => {
                write!(f, "{}://{host}:{port}", if *tls { "https" } else { "http" })
            }
        }
    }
}

impl Endpoint {
    /// Reads `http://HOST:PORT`, `HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// When it is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or_else(|| Error::Endpoint(text.to_owned()))
    }

    fn read(text: &str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return (!path.is_empty()).then(|| Self::Unix(Path::new(path).to_path_buf()));
        }
        let (tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (false, text),
        };
        let uri: Uri = rest.strip_suffix('/').unwrap_or(rest).parse().ok()?;
        // What is only a host and a port has no scheme and no path.
        let authority = uri.authority().filter(|_| uri.scheme().is_none() && uri.path().is_empty())?;
        let plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        let port = authority.port_u16().or(text.contains("://").then_some(if tls { 443 } else { 80 }))?;
        plain.then(|| Self::Tcp { host: authority.host().to_owned(), port, tls })
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }

    /// Whether what is sent there can be read by nobody but this host.
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp { host, .. } => {
                let host = bare(host);
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }

    /// The address of the connection; its scheme is never `https`, for the handshake is the connector's work.
    pub(crate) fn origin(&self) -> Uri {
        match self {
            Self::Unix(_) => Uri::from_static("http://localhost"),
            Self::Tcp { host, port, .. } => format!("http://{host}:{port}").parse().unwrap_or_default(),
        }
    }

    /// What calls name as theirs.
    pub(crate) fn origin_of_calls(&self) -> Uri {
        match self {
            Self::Tcp { host, port, tls: true } => {
                format!("https://{host}:{port}").parse().unwrap_or_default()
            }
            _ => self.origin(),
        }
    }
}

/// A host without the brackets of an IPv6 address.
pub(crate) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let tcp = |host: &str, port, tls| Endpoint::Tcp { host: host.to_owned(), port, tls };
        for (text, endpoint) in [
            ("http://127.0.0.1:1", tcp("127.0.0.1", 1, false)),
            ("http://127.0.0.1:1/", tcp("127.0.0.1", 1, false)),
            ("127.0.0.1:1", tcp("127.0.0.1", 1, false)),
            ("[::1]:1", tcp("[::1]", 1, false)),
            ("localhost:1", tcp("localhost", 1, false)),
            ("https://sidecar", tcp("sidecar", 443, true)),
            ("https://sidecar:8180", tcp("sidecar", 8180, true)),
            ("unix:/run/socket", Endpoint::Unix("/run/socket".into())),
            ("unix:///run/socket", Endpoint::Unix("/run/socket".into())),
            ("unix:socket", Endpoint::Unix("socket".into())),
        ] {
            assert_eq!(Endpoint::parse(text), Ok(endpoint), "{text}");
        }
        for text in [
            "",
            "nowhere",
            "https:",
            "http:",
            "http://",
            "unix:",
            "http://a b:1",
            "ftp://a:1",
            "a:1/b",
            "u@a:1",
        ] {
            assert_eq!(Endpoint::parse(text), Err(Error::Endpoint(text.to_owned())));
        }
    }

    #[test]
    fn this_host_is_known() {
        for (text, here) in [
            ("127.0.0.1:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("unix:/run/socket", true),
            ("10.0.0.1:1", false),
            ("sidecar:1", false),
            ("[fe80::1]:1", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_here(), here, "{text}");
        }
    }
}
