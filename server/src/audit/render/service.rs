//! Records that are no decisions: what happened to the service, and what was lost.

use portcullis_engine::Instant;

use super::Renderer;
use super::values::{cut_text, shown_text, text_list};
use crate::audit::capture::Reader;
use crate::audit::escape::{number, string};
use crate::audit::identity::member;
use crate::audit::loss::{Gap, LOSSES};
use crate::audit::service;

impl Renderer {
    pub(super) fn service(&mut self, out: &mut Vec<u8>, sequence: u64, mut reader: Reader<'_>) -> Option<()> {
        let now = reader.instant()??;
        let (name, code, message) = (reader.text()?, reader.text()?, reader.text()?);
        self.opening(out, now, name.as_str());
        if !code.text.is_empty() {
            member(out, b",\"errorCode\":", code.as_str());
            out.extend_from_slice(b",\"errorMessage\":\"");
            cut_text(out, message);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"serviceEventDetails\":{");
        let mut truncated = message.missing > 0;
        for at in 0..reader.number()? {
            if at > 0 {
                out.push(b',');
            }
            let name = reader.text()?;
            string(out, name.text);
            out.push(b':');
            match reader.byte()? {
                service::TEXT => truncated |= shown_text(out, false, reader.text()?),
                service::NUMBER => number(out, reader.number()?),
                service::TEXTS => truncated |= text_list(out, false, &mut reader)?,
                _ => return None,
            }
        }
        out.push(b'}');
        self.closing(out, now, sequence, truncated);
        Some(())
    }

    pub(super) fn gap(&mut self, out: &mut Vec<u8>, sequence: u64, mut reader: Reader<'_>) -> Option<()> {
        let now = reader.instant()??;
        let gap = Gap::read(&mut reader)?;
        self.opening(out, now, service::GAP);
        out.extend_from_slice(b",\"errorCode\":\"RecordsLost\",\"serviceEventDetails\":{\"firstSequence\":");
        number(out, gap.first);
        out.extend_from_slice(b",\"lastSequence\":");
        number(out, gap.last);
        out.extend_from_slice(b",\"lost\":");
        number(out, gap.lost());
        out.extend_from_slice(b",\"reasons\":{");
        let mut first = true;
        for (loss, count) in LOSSES.iter().zip(gap.counts).filter(|(_, count)| *count > 0) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            string(out, loss.as_str().as_bytes());
            out.push(b':');
            number(out, count);
        }
        out.extend_from_slice(b"}}");
        self.closing(out, now, sequence, false);
        Some(())
    }

    fn opening(&mut self, out: &mut Vec<u8>, now: Instant, name: &str) {
        out.extend_from_slice(
            b"{\"eventVersion\":\"1.11\",\"userIdentity\":{\"type\":\"AWSService\",\"invokedBy\":\"portcullis\"}",
        );
        out.extend_from_slice(b",\"eventTime\":\"");
        out.extend_from_slice(self.clock.text(now));
        member(out, b"\",\"eventSource\":\"portcullis\",\"eventName\":", name);
        out.extend_from_slice(b",\"sourceIPAddress\":\"portcullis\"");
    }

    fn closing(&mut self, out: &mut Vec<u8>, now: Instant, sequence: u64, truncated: bool) {
        out.extend_from_slice(b",\"eventID\":\"");
        self.ids.render(out, now, sequence);
        out.extend_from_slice(b"\",\"readOnly\":false,\"eventType\":\"AwsServiceEvent\"");
        out.extend_from_slice(b",\"additionalEventData\":{\"timeMicros\":");
        number(out, super::micros(now));
        if truncated {
            out.extend_from_slice(b",\"truncated\":true");
        }
        self.numbering(out, sequence);
        out.extend_from_slice(b"}}");
    }
}
