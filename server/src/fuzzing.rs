//! Private parsers under names that the fuzz targets can reach; not part of the library.

use portcullis_proto::v1;
use portcullis_question::{BatchMessage, Message, bytes};
use prost::Message as _;

/// Reads a file of tokens and counts them.
///
/// # Errors
/// All that is wrong with it.
pub fn count_tokens(file: &[u8]) -> Result<usize, Vec<String>> {
    crate::token::count_tokens(file)
}

/// Reads an `AuthorizeRequest` in both ways. Whether the borrowing reader read it.
///
/// # Errors
/// What differs, when the borrowing reader read something else than prost.
pub fn authorize_agrees(message: &[u8]) -> Result<bool, String> {
    let prost = v1::AuthorizeRequest::decode(message);
    let Ok(read) = bytes::authorize(message) else { return Ok(false) };
    same(&Some(read), &prost.as_ref().ok().map(Message::from))
}

/// The same for an `AuthorizeStreamRequest`.
///
/// # Errors
/// As [`authorize_agrees`].
pub fn streamed_agrees(message: &[u8]) -> Result<bool, String> {
    let prost = v1::AuthorizeStreamRequest::decode(message);
    let prost = prost.as_ref().ok();
    let Ok(read) = bytes::streamed(message) else { return Ok(false) };
    same(&Some(read), &prost.map(|it| (it.correlation_id.as_str(), it.request.as_ref().map(Message::from))))
}

/// The same for a `BatchAuthorizeRequest` of at most `items_max` items.
///
/// # Errors
/// As [`authorize_agrees`].
pub fn batch_agrees(message: &[u8], items_max: usize) -> Result<bool, String> {
    let prost = v1::BatchAuthorizeRequest::decode(message);
    let Ok(read) = bytes::batch(message, items_max) else { return Ok(false) };
    if read.items.len() > items_max {
        return Err(format!("{} items were read, more than {items_max}", read.items.len()));
    }
    same(&Some(read), &prost.as_ref().ok().map(BatchMessage::from))
}

fn same<T: PartialEq + std::fmt::Debug>(read: &T, prost: &T) -> Result<bool, String> {
    if read == prost { Ok(true) } else { Err(format!("read {read:?}, prost {prost:?}")) }
}
