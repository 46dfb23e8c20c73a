//! Answers -> records of the audit trail. Borrows everything; what a record keeps of it is the trail's to say.

use std::future::ready;
use std::time::SystemTime;

use portcullis_engine::Effect;

use super::authorization::{Answered, Recorded};
use super::request_id::TEXT_BYTES;
use super::status::Refusal;
use crate::accept::PeerKind;
use crate::audit::{self, Audit, Decided, Peer};

/// Writes an answer down, and says what it has to wait for.
pub(super) fn written_down(audit: &Audit, answered: &Answered<'_>) -> Recorded {
    if !audit.is_on() {
        return None;
    }
    let decision = answered.verdict.decision();
    let message = match decision.effect {
        Effect::Allow => String::new(),
        Effect::Deny => decision.message(answered.request),
    };
    let recorded = audit.decision(&Decided {
        input: answered.request.input(),
        decision,
        message: &message,
        revision: &answered.stamp.revision,
        generation: answered.stamp.generation,
        request_id: answered.request_id.text(&mut [0; TEXT_BYTES]),
        // A clock that was set back in between measures nothing.
        latency: SystemTime::now().duration_since(answered.time).ok(),
        peer: match answered.asker.peer.kind() {
            PeerKind::Unknown => Peer::Unknown,
            PeerKind::Tcp(address) => Peer::Ip(address.ip()),
            PeerKind::Known { address, name } => Peer::Known { ip: address.ip(), name },
            PeerKind::Unix { uid, gid, pid: _ } => Peer::Unix { uid: *uid, gid: *gid },
        },
        user_agent: answered.asker.user_agent,
    });
    match recorded {
        audit::Recorded::Done => None,
        audit::Recorded::Refused => Some(Box::pin(ready(Err(Refusal::Unrecorded)))),
        audit::Recorded::Wait(wait) => {
            Some(Box::pin(async { if wait.settled().await { Ok(()) } else { Err(Refusal::Unrecorded) } }))
        }
    }
}
