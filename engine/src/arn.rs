//! Amazon Resource Names: six components, split at the first five colons (semantics.md M-12).

use std::ops::ControlFlow;

use crate::word::{are_digits, equal, equals_folded, first, start, upper, visit_words};

/// A borrowed ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Arn<'a> {
    pub(crate) partition: &'a str,
    pub(crate) service: &'a str,
    pub(crate) region: &'a str,
    pub(crate) account: &'a str,
    /// Everything after the fifth colon.
    pub(crate) resource: &'a str,
    /// Everything before the fifth colon.
    pub(crate) prefix: &'a str,
    /// Whether the prefix has upper-case letters; it is compared in lower case (M-14).
    pub(crate) prefix_has_upper: bool,
}

impl<'a> Arn<'a> {
    /// Six components, the first of them `arn`.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut colons = [0_usize; 5];
        let mut count = 0;
        let (mut base, mut uppers) = (0, 0);
        let _ = visit_words(text.as_bytes(), |word| {
            let mut found = equal(word, b':');
            while found != 0 {
                let at = first(found);
                if let Some(colon) = colons.get_mut(count) {
                    *colon = base + at;
                }
                count += 1;
                if count == 5 {
                    uppers |= upper(start(word, at));
                    return ControlFlow::Break(());
                }
                found &= found - 1;
            }
            uppers |= upper(word);
            base += 8;
            ControlFlow::Continue(())
        });
        if count < colons.len() {
            return None;
        }
        let [scheme, partition, service, region, account] = colons;
        if !text.get(..scheme)?.eq_ignore_ascii_case("arn") {
            return None;
        }
        Some(Self {
            partition: text.get(scheme + 1..partition)?,
            service: text.get(partition + 1..service)?,
            region: text.get(service + 1..region)?,
            account: text.get(region + 1..account)?,
            resource: text.get(account + 1..)?,
            prefix: text.get(..account)?,
            prefix_has_upper: uppers != 0,
        })
    }
}

impl Arn<'_> {
    /// Whether the prefix in lower case is `folded`.
    #[inline]
    pub(crate) fn has_prefix(&self, folded: &str) -> bool {
        if self.prefix_has_upper { equals_folded(self.prefix, folded) } else { self.prefix == folded }
    }

    /// The five segments of the prefix, as written but for the scheme.
    pub(crate) fn segments(&self) -> [&str; 5] {
        ["arn", self.partition, self.service, self.region, self.account]
    }
}

/// Exactly 12 digits (I-5).
pub(crate) fn is_account(text: &str) -> bool {
    text.len() == 12 && are_digits(text)
}

/// The partitions AWS runs (G-27).
pub(crate) fn is_aws_partition(partition: &str) -> bool {
    matches!(
        partition,
        "aws" | "aws-cn" | "aws-us-gov" | "aws-iso" | "aws-iso-b" | "aws-iso-e" | "aws-iso-f" | "aws-eusc"
    )
}

/// The last path element of an ARN's resource part: the name.
pub(crate) fn name_of(resource: &str) -> &str {
    let start = memchr::memrchr(b'/', resource.as_bytes()).map_or(0, |slash| slash + 1);
    resource.get(start..).unwrap_or(resource)
}
