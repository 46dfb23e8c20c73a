//! A decision's entry as it was captured, and the members of its record that differ each time.

use portcullis_engine::{Effect, Instant};

use super::values::cut_text;
use crate::audit::capture::{Cut, Reader};
use crate::audit::escape::{escape, string};

/// A decision's entry, taken apart into sections that are rendered as one and texts that are rendered each time.
pub(super) struct Entry<'b> {
    pub(super) now: Instant,
    pub(super) latency_ns: Option<u64>,
    pub(super) request_id: Cut<'b>,
    pub(super) how: &'b [u8],
    pub(super) who: &'b [u8],
    pub(super) action: Cut<'b>,
    pub(super) resource: Cut<'b>,
    pub(super) resource_account: Cut<'b>,
    pub(super) message: Cut<'b>,
    pub(super) context: &'b [u8],
    pub(super) why: &'b [u8],
}

impl<'b> Entry<'b> {
    pub(super) fn read(mut reader: Reader<'b>) -> Option<Self> {
        Some(Self {
            now: reader.time()?,
            latency_ns: reader.wide()?.checked_sub(1),
            request_id: reader.text()?,
            how: reader.section()?,
            who: reader.section()?,
            action: reader.text()?,
            resource: reader.text()?,
            resource_account: reader.text()?,
            message: reader.text()?,
            context: reader.section()?,
            why: reader.rest(),
        })
    }

    /// What was decided.
    pub(super) fn effect(&self) -> Option<Effect> {
        Reader::new(self.how).effect()
    }

    /// The region and the account of the resource's ARN; empty where it has none.
    pub(super) fn region_and_account(&self) -> [&'b [u8]; 2] {
        let text = self.resource.text;
        let mut colons = memchr::memchr_iter(b':', text).skip(2);
        let (Some(a), Some(b), Some(c)) = (colons.next(), colons.next(), colons.next()) else {
            return [b""; 2];
        };
        let between = |from: usize, to| text.get(from + 1..to).unwrap_or_default();
        [between(a, b), between(b, c)]
    }

    /// What of the question stands beside its context.
    pub(super) fn parameters(&self, out: &mut Vec<u8>) {
        if self.resource.text == b"*" {
            out.extend_from_slice(b",\"resource\":\"*\"");
        }
        if !self.resource_account.text.is_empty() {
            out.extend_from_slice(b",\"resourceAccount\":");
            string(out, self.resource_account.text);
        }
    }

    /// The resource, and the account that the record is for: the first that is known. Whether something was cut.
    pub(super) fn resources(&self, out: &mut Vec<u8>, accounts: [&[u8]; 3]) -> bool {
        let account = accounts.into_iter().find(|account| !account.is_empty());
        let mut truncated = false;
        if self.resource.text != b"*" {
            out.extend_from_slice(b",\"resources\":[{\"ARN\":\"");
            truncated = cut_text(out, self.resource);
            if let Some(account) = account {
                out.extend_from_slice(b"\",\"accountId\":\"");
                escape(out, account);
            }
            out.extend_from_slice(b"\"}]");
        }
        out.extend_from_slice(b",\"eventType\":\"AwsApiCall\"");
        if let Some(account) = account {
            out.extend_from_slice(b",\"recipientAccountId\":");
            string(out, account);
        }
        truncated
    }
}
