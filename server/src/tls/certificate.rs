//! What a certificate says about itself: name, serial number, end.
//!
//! For telling and recording. Whether a certificate is good is decided elsewhere, before.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 256;

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// The first URI, DNS name or mail address that it stands for, in this order, or else its subject; with its kind in
    /// front, so that none passes for another.
    pub(super) name: String,
    pub(super) serial: String,
    /// Seconds since 1970.
    pub(super) not_after: i64,
    pub(super) not_after_text: String,
}

/// When a revocation list must be replaced, in seconds since 1970 and as text; none when it does not say.
pub(super) fn next_update(der: &[u8]) -> Option<(i64, String)> {
    let (_, list) = CertificateRevocationList::from_der(der).ok()?;
    let next_update = list.next_update()?;
    Some((next_update.timestamp(), printable(&next_update.to_string())))
}

/// Reads a certificate; none when it is no X.509.
pub(super) fn facts(der: &[u8]) -> Option<Facts> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let not_after = certificate.validity().not_after;
    Some(Facts {
        name: printable(&name(&certificate)),
        serial: printable(&certificate.raw_serial_as_string()),
        not_after: not_after.timestamp(),
        not_after_text: printable(&not_after.to_string()),
    })
}

fn name(certificate: &X509Certificate<'_>) -> String {
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let names = alternatives.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
    let first = |of: fn(&GeneralName<'_>) -> Option<String>| names.iter().find_map(of);
    first(|name| match name {
        GeneralName::URI(uri) => Some(format!("URI:{uri}")),
        _ => None,
    })
    .or_else(|| {
        first(|name| match name {
            GeneralName::DNSName(host) => Some(format!("DNS:{host}")),
            _ => None,
        })
    })
    .or_else(|| {
        first(|name| match name {
            GeneralName::RFC822Name(mail) => Some(format!("email:{mail}")),
            _ => None,
        })
    })
    .unwrap_or_else(|| format!("subject:{}", certificate.subject()))
}

/// Text that is safe in one line of anything.
fn printable(text: &str) -> String {
    let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    text.chars().take(NAME_CHARS_MAX).map(plain).collect()
}
