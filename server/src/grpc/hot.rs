//! The hot calls from bytes to bytes: the same five steps as `authorization`, without a message in between.
//!
//! Whatever is not plain is left alone, unrecorded, for `authorization`: bytes that are not read here, a call that is
//! refused as a whole, a trace, a batch that may take long. So there is one place that words a refusal. Invariant
//! (AS-SLOW): an answer given here is the one that `authorization` gives.

use portcullis_engine::OwnedKeys;
use portcullis_question::{self as question, Batch, Detail, Message, bytes};

use super::authorization::{Answered, Asker, Authorization, Moment, Recorded, Wait, asked, written};
use super::encode::bytes as write;
use super::status::Refusal;

/// Bytes of the session policies of a batch that is answered in one go. AWS takes no longer ones for a session; how long one
/// item takes is up to them, and nobody else of the connection has a turn before the last.
const SESSION_POLICIES_BYTES_MAX: usize = 2_048;

impl Authorization {
    /// Appends the answer to an AuthorizeRequest, framed, to `out`; none leaves the question to the slow way.
    pub(crate) fn answer_bytes(
        &self,
        moment: &Moment,
        asker: Asker<'_>,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Recorded> {
        let message = bytes::authorize(message).ok()?;
        let encode = |answered: &Answered<'_>| write::framed(out, |out| write::response(out, answered));
        self.answer_plain(moment, &message, asker, encode).ok()?
    }

    /// Appends the answer to an AuthorizeStreamRequest, framed; a question that is refused has its refusal for an answer.
    pub(crate) fn answer_streamed_bytes(
        &self,
        moment: &Moment,
        asker: Asker<'_>,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Recorded> {
        let (correlation_id, message) = bytes::streamed(message).ok()?;
        let start = out.len();
        let mut recorded = None;
        write::framed(out, |out| {
            write::streamed(out, correlation_id, |out| {
                let answered = asked(message.as_ref()).and_then(|message| {
                    self.answer_plain(moment, message, asker, |answered| write::answered(out, answered))
                });
                recorded = answered.unwrap_or_else(|refusal| Some(self.refuse(refusal, out)));
            });
        });
        if recorded.is_none() {
            out.truncate(start);
        }
        recorded
    }

    /// Appends the answers to a BatchAuthorizeRequest, framed.
    pub(crate) fn answer_batch_bytes(
        &self,
        moment: &Moment,
        asker: Asker<'_>,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<Recorded> {
        let items_max = self.shared.config.batch_items_max;
        let message = bytes::batch(message, items_max).ok()?;
        let batch = question::batch(&message, items_max, &self.policies).ok()?;
        moment.check(batch.wishes()).ok()?;
        let costly = message.session_policies_bytes() > SESSION_POLICIES_BYTES_MAX;
        if costly || batch.wishes().detail == Detail::Trace {
            return None;
        }
        let mut waits = Vec::new();
        let mut time = self.batch_time();
        write::framed(out, |out| {
            for item in &message.items {
                write::batch_result(out, |out| {
                    waits.extend(match time.is_left() {
                        true => self.answer_item_bytes(moment, (&batch, item), asker, out),
                        false => self.refuse(Refusal::Late, out),
                    });
                });
            }
            write::batch_end(out, &moment.stamp().revision, moment.stamp().generation);
        });
        Some(all(waits))
    }

    fn answer_item_bytes<'m, 'b>(
        &self,
        moment: &Moment,
        (batch, item): (&Batch<'m, 'b>, &'m Message<'b>),
        asker: Asker<'_>,
        out: &mut Vec<u8>,
    ) -> Recorded {
        let answered = batch.item(item, &self.policies).map_err(Refusal::from).and_then(|question| {
            let request = question.check(moment.now(), OwnedKeys::Refuse)?;
            let (answered, recorded) = self.decide(moment, &request, batch.wishes().detail, asker);
            write::answered(out, &answered);
            Ok(recorded)
        });
        answered.unwrap_or_else(|refusal| self.refuse(refusal, out))
    }

    /// Answers one question that wants no trace; none when it wants one.
    fn answer_plain(
        &self,
        moment: &Moment,
        message: &Message<'_>,
        asker: Asker<'_>,
        encode: impl FnOnce(&Answered<'_>),
    ) -> Result<Option<Recorded>, Refusal> {
        let (question, wishes) = question::authorize(message, &self.policies)?;
        if wishes.detail == Detail::Trace {
            return Ok(None);
        }
        let request = question.check(moment.now(), OwnedKeys::Refuse)?;
        moment.check(wishes)?;
        let (answered, recorded) = self.decide(moment, &request, wishes.detail, asker);
        encode(&answered);
        Ok(Some(recorded))
    }

    /// A refusal in the place of one answer of several.
    fn refuse(&self, refusal: Refusal, out: &mut Vec<u8>) -> Recorded {
        self.shared.tally.refusal(refusal.reason());
        write::refused(out, &refusal.into_item());
        None
    }
}

/// One wait for several; none for none.
fn all(waits: Vec<Wait>) -> Recorded {
    if waits.is_empty() {
        return None;
    }
    Some(Box::pin(async move {
        for wait in waits {
            written(Some(wait)).await?;
        }
        Ok(())
    }))
}
