//! Files that flags name -> settings of the client library.

use portcullis_client::Builder;

use crate::args::Transport;

/// The same builder with everything that the flags ask for.
pub(super) fn apply(mut builder: Builder, transport: &Transport) -> Builder {
    let Transport { tls_ca, tls_certificate, tls_key, tls_server_name, token_file } = transport;
    if let Some(path) = tls_ca {
        builder = builder.tls_ca_file(path);
    }
    if let (Some(certificate), Some(key)) = (tls_certificate, tls_key) {
        builder = builder.tls_identity_files(certificate, key);
    }
    if let Some(name) = tls_server_name {
        builder = builder.tls_server_name(name);
    }
    if let Some(path) = token_file {
        builder = builder.token_file(path);
    }
    builder
}
