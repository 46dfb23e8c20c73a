//! What can be chosen about the audit trail, out of the configuration.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::mask::Mask;
use super::rotation::Rotation;
use crate::config::Config;

/// When an answer waits for its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditMode {
    /// Nothing is recorded.
    Off,
    /// Never; a record that finds no room is lost, counted and told of.
    Drop,
    /// For room in the queue, for a short time.
    #[default]
    Block,
    /// Until its record is on the disk.
    Sync,
}

/// What happens to an answer whose record could not be made as the mode promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditFailure {
    /// It goes out, and the loss is counted and told of.
    #[default]
    Allow,
    /// The caller gets an error instead, which it reads as a refusal.
    Deny,
}

/// Everything about the trail; the meaning and the defaults are those of [`Config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditOptions {
    /// `audit_file`; `-` is standard output.
    pub file: Option<PathBuf>,
    /// `audit_mode`.
    pub mode: AuditMode,
    /// `on_audit_failure`.
    pub on_failure: AuditFailure,
    /// `audit_queue_records_max`.
    pub queue_records_max: usize,
    /// `audit_queue_bytes_max`.
    pub queue_bytes_max: usize,
    /// `audit_wait_ms`.
    pub wait_ms: u64,
    /// `audit_sync_ms`.
    pub sync_ms: u64,
    /// `audit_allow_one_in`.
    pub allow_one_in: u64,
    /// `audit_skip_actions`.
    pub skip_actions: String,
    /// `audit_context`.
    pub context: String,
    /// `audit_hide`.
    pub hide: String,
    /// `audit_event_source_suffix`.
    pub source_suffix: String,
    /// `audit_chain`.
    pub chain: bool,
    /// `audit_rotate_bytes`.
    pub rotate_bytes: u64,
    /// `audit_rotate_s`.
    pub rotate_s: u64,
    /// `audit_files_max`.
    pub files_max: u64,
    /// `audit_total_bytes_max`.
    pub total_bytes_max: u64,
    /// How often a destination that fails is tried again. Default 1 s.
    pub probe: Duration,
}

impl AuditOptions {
    /// Those of a configuration.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self {
            file: config.audit_file.clone(),
            mode: config.audit_mode,
            on_failure: config.on_audit_failure,
            queue_records_max: config.audit_queue_records_max,
            queue_bytes_max: config.audit_queue_bytes_max,
            wait_ms: config.audit_wait_ms,
            sync_ms: config.audit_sync_ms,
            allow_one_in: config.audit_allow_one_in,
            skip_actions: config.audit_skip_actions.clone(),
            context: config.audit_context.clone(),
            hide: config.audit_hide.clone(),
            source_suffix: config.audit_event_source_suffix.clone(),
            chain: config.audit_chain,
            rotate_bytes: config.audit_rotate_bytes,
            rotate_s: config.audit_rotate_s,
            files_max: config.audit_files_max,
            total_bytes_max: config.audit_total_bytes_max,
            probe: Duration::from_secs(1),
        }
    }

    pub(super) fn rotation(&self) -> Rotation {
        Rotation {
            bytes: self.rotate_bytes,
            age: (self.rotate_s > 0).then(|| Duration::from_secs(self.rotate_s)),
            files_max: self.files_max,
            total_bytes_max: self.total_bytes_max,
        }
    }

    pub(super) fn mask(&self) -> Mask {
        Mask::new(&self.context, &self.hide)
    }
}
