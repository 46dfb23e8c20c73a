//! Records that are no decisions: what happened to the service, and what was lost.

use portcullis_engine::Instant;

use super::Renderer;
use crate::audit::capture::Reader;
use crate::audit::escape::number;
use crate::audit::identity::member;
use crate::audit::loss::{Gap, LOSSES};
use crate::audit::service;

impl Renderer {
    pub(super) fn service(&mut self, out: &mut Vec<u8>, sequence: u64, mut reader: Reader<'_>) -> Option<()> {
        let now = reader.instant()??;
        let (name, code, message) = (reader.text()?, reader.text()?, reader.text()?);
        self.opening(out, now, name.text);
        if !code.text.is_empty() {
            member(out, b",\"errorCode\":", code.text);
            out.extend_from_slice(b",\"errorMessage\":\"");
            super::cut_text(out, message);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"serviceEventDetails\":{");
        let mut truncated = message.missing > 0;
        for at in 0..reader.number()? {
            if at > 0 {
                out.push(b',');
            }
            let name = reader.text()?;
            crate::audit::escape::string(out, name.text);
            out.push(b':');
            match reader.byte()? {
                service::TEXT => truncated |= super::shown_text(out, false, reader.text()?),
                service::NUMBER => number(out, reader.number()?),
                service::TEXTS => truncated |= super::text_list(out, false, &mut reader)?,
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
            crate::audit::escape::string(out, loss.as_str());
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
        out.extend_from_slice(self.clock.text(now).as_bytes());
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
