//! The private reader of a saved policy set under a name that the fuzz targets can reach; not part of the library.

/// The names and lengths of the files of a record with this body and a digest that fits it; `None` when it is damaged.
#[must_use]
pub fn record_of_body(body: &[u8]) -> Option<Vec<(String, usize)>> {
    let record = crate::last_good::record_of_body(body)?;
    Some(record.sources.into_iter().map(|source| (source.name, source.bytes.len())).collect())
}

/// Whether these bytes are a whole record.
#[must_use]
pub fn is_record(bytes: &[u8]) -> bool {
    crate::last_good::is_record(bytes)
}
