//! The hot calls from bytes to bytes: the same five steps as `authorization`, without a message in between.
//!
//! Whatever is not plain is left alone, unrecorded, for `authorization`: bytes that are not read here, a question that
//! is refused, a trace. So there is one place that words a refusal. Invariant (AS-SLOW): an answer given here is the one
//! that `authorization` gives.

use portcullis_engine::OwnedKeys;

use super::authorization::{Asker, Authorization, Call, Moment, Recorded};
use super::decode::{self, Detail, bytes};
use super::encode;
use crate::accept::Peer;

impl Authorization {
    /// Appends the answer to an AuthorizeRequest, framed, to `out`; none leaves the question to the slow way.
    pub(crate) fn answer_bytes(
        &self,
        moment: &Moment,
        peer: &Peer,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Recorded> {
        let message = bytes::authorize(message).ok()?;
        let (question, wishes) = decode::authorize(&message, &self.policies).ok()?;
        if wishes.detail == Detail::Trace {
            return None;
        }
        let request = question.check(moment.now(), OwnedKeys::Refuse).ok()?;
        moment.check(wishes).ok()?;
        let asker = Asker { peer, call: Call::Authorize };
        let (answered, recorded) = self.decide(moment, &request, wishes.detail, asker);
        encode::bytes::framed(out, |out| encode::bytes::response(out, &answered));
        Some(recorded)
    }
}
