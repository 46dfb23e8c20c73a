//! The audit trail: what it took, what it lost, whether it can write.

use std::fmt::Error;

use super::family::Families;
use crate::audit::{Audit, AuditCounts, LOSSES};

pub(super) fn write(families: &mut Families<'_>, audit: &Audit, queue_max: usize) -> Result<(), Error> {
    let AuditCounts {
        recorded,
        written,
        lost,
        unconfirmed,
        left_out,
        queue_records,
        queue_bytes,
        bytes_written,
        write_failures,
        rotations,
        writer_restarts,
        healthy,
    } = audit.counts();
    let flag = |set: bool| f64::from(u8::from(set));
    families.gauge("portcullis_audit_enabled", "1 while decisions are recorded", flag(audit.is_on()))?;
    let help = "1 while records can be written, or nothing is to be recorded; 0 while the disk refuses them or hangs";
    families.gauge("portcullis_audit_healthy", help, flag(healthy))?;
    let help = "Records taken, of decisions and of what happened to the service";
    families.counter("portcullis_audit_records", help, recorded)?;
    families.counter("portcullis_audit_written_records", "Records written, gap records included", written)?;
    families.counter("portcullis_audit_written_bytes", "Bytes of records written", bytes_written)?;
    let help = "Records lost, by reason; the file says so too";
    let mut counters = families.counters("portcullis_audit_lost", help)?;
    for (loss, count) in LOSSES.into_iter().zip(lost) {
        counters.value(&[("reason", loss.as_str())], count)?;
    }
    let help = "Answers that had to wait for the disk and were settled before it confirmed their record";
    families.counter("portcullis_audit_unconfirmed", help, unconfirmed)?;
    let help = "Decisions that the filters left out, as configured";
    families.counter("portcullis_audit_left_out", help, left_out)?;
    families.gauge(
        "portcullis_audit_queue_records",
        "Records that wait to be written",
        queue_records as f64,
    )?;
    families.gauge("portcullis_audit_queue_bytes", "Bytes that wait to be written", queue_bytes as f64)?;
    let help = "Most records that may wait to be written";
    families.gauge("portcullis_audit_queue_records_max", help, queue_max as f64)?;
    let help = "Failed attempts to open, write or sync the audit file";
    families.counter("portcullis_audit_write_failures", help, write_failures)?;
    families.counter("portcullis_audit_rotations", "Audit files set aside", rotations)?;
    let help = "How often the audit writer broke and began again";
    families.counter("portcullis_audit_writer_restarts", help, writer_restarts)
}
