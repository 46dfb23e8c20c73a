//! Files that flags name -> settings of the client library.

use std::path::Path;

use anyhow::Context as _;
use portcullis_client::Builder;

use crate::args::Transport;
use crate::exit::usage;

/// The same builder with everything that the flags ask for.
pub(super) fn apply(mut builder: Builder, transport: &Transport) -> anyhow::Result<Builder> {
    let Transport { tls_ca, tls_certificate, tls_key, tls_server_name, token_file } = transport;
    if let Some(path) = tls_ca {
        builder = builder.tls_ca(read(path)?);
    }
    if let (Some(certificate), Some(key)) = (tls_certificate, tls_key) {
        builder = builder.tls_identity(read(certificate)?, read(key)?);
    }
    if let Some(name) = tls_server_name {
        builder = builder.tls_server_name(name);
    }
    if let Some(path) = token_file {
        builder = builder.token(token(path)?);
    }
    Ok(builder)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The one word of a file, beside lines of comment.
fn token(path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words: Vec<_> = lines.flat_map(str::split_whitespace).collect();
    match *words.as_slice() {
        [token] => Ok(token.to_owned()),
        _ => Err(usage(format!("{}: not one token and nothing else", path.display()))),
    }
}
