//! The flags that say how a sidecar is reached over TLS or with a token.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// What protects an exchange with a sidecar.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Transport")]
pub(crate) struct Transport {
    /// Authorities (PEM) of which the sidecar's certificate must be, for https://HOST:PORT [default: the system's]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Certificate chain (PEM) to show to the sidecar
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The name that the sidecar's certificate must have [default: the host of the address]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_server_name: Option<String>,
    /// A file with one bearer token, sent with every call
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
}
