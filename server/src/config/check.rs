//! What a configuration must be: every value by itself, and those that need each other.
//!
//! Reads no file and no environment. Invariant: all that is wrong is reported, not the first.

use std::net::SocketAddr;

use super::{Config, ConfigError, UdsAccess, WORKER_THREADS_MAX, address, ids};
use crate::audit::{AuditFailure, AuditMode};

/// Room for a few of the largest records.
const AUDIT_QUEUE_BYTES_MIN: usize = 1 << 20;

impl Config {
    /// Checks every value.
    ///
    /// # Errors
    /// All that is wrong, not the first.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut wrong = Vec::new();
        let mut at_least_one = |name: &str, value: u64| {
            if value == 0 {
                wrong.push(format!("`{name}` must be at least 1"));
            }
        };
        at_least_one("poll_interval_ms", self.poll_interval_ms);
        at_least_one("policy_file_bytes_max", self.policy_file_bytes_max);
        at_least_one("policy_total_bytes_max", self.policy_total_bytes_max);
        at_least_one("policy_files_max", self.policy_files_max as u64);
        at_least_one("last_good_age_max_ms", self.last_good_age_max_ms);
        at_least_one("http_connections_max", self.http_connections_max as u64);
        at_least_one("http_request_ms", self.http_request_ms);
        at_least_one("connections_max", self.connections_max as u64);
        at_least_one("first_byte_ms", self.first_byte_ms);
        at_least_one("first_request_ms", self.first_request_ms);
        at_least_one("tls_handshake_ms", self.tls_handshake_ms);
        at_least_one("credentials_poll_ms", self.credentials_poll_ms);
        at_least_one("streams_per_connection_max", self.streams_per_connection_max.into());
        at_least_one("local_error_resets_max", self.local_error_resets_max as u64);
        at_least_one("pending_accept_resets_max", self.pending_accept_resets_max as u64);
        at_least_one("keepalive_interval_ms", self.keepalive_interval_ms);
        at_least_one("keepalive_timeout_ms", self.keepalive_timeout_ms);
        at_least_one("message_bytes_max", self.message_bytes_max as u64);
        at_least_one("response_bytes_max", self.response_bytes_max as u64);
        at_least_one("batch_items_max", self.batch_items_max as u64);
        at_least_one("requests_in_flight_max", self.requests_in_flight_max as u64);
        at_least_one("request_timeout_ms", self.request_timeout_ms);
        at_least_one("simulations_max", self.simulations_max as u64);
        at_least_one("simulation_timeout_ms", self.simulation_timeout_ms);
        at_least_one("revision_wait_ms", self.revision_wait_ms);
        at_least_one("audit_queue_records_max", self.audit_queue_records_max as u64);
        at_least_one("audit_sync_ms", self.audit_sync_ms);
        if self.header_list_bytes_max < 1 << 10 {
            wrong.push("`header_list_bytes_max` must be at least 1024".to_owned());
        }
        for (name, window) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            if !(65_535..=i32::MAX as u32).contains(&window) {
                wrong.push(format!("`{name}` must be between 65535 and 2147483647"));
            }
        }
        if self.connections_max > tokio::sync::Semaphore::MAX_PERMITS
            || self.requests_in_flight_max > tokio::sync::Semaphore::MAX_PERMITS
        {
            wrong.push("`connections_max` and `requests_in_flight_max` must be smaller".to_owned());
        }
        if self.worker_threads > WORKER_THREADS_MAX {
            wrong.push(format!("`worker_threads` must be at most {WORKER_THREADS_MAX}"));
        }
        self.check_addresses(&mut wrong);
        self.check_credentials(&mut wrong);
        self.check_audit(&mut wrong);
        if wrong.is_empty() { Ok(()) } else { Err(ConfigError::Values(wrong)) }
    }

    fn check_audit(&self, wrong: &mut Vec<String>) {
        if self.audit_queue_bytes_max < AUDIT_QUEUE_BYTES_MIN {
            wrong.push(format!("`audit_queue_bytes_max` must be at least {AUDIT_QUEUE_BYTES_MIN}"));
        }
        let to_stdout = self.audit_file.as_ref().is_some_and(|file| file.as_os_str() == "-");
        match (&self.audit_file, self.audit_mode) {
            (None, AuditMode::Sync) => {
                wrong.push("`audit_mode` is `sync`, but `audit_file` is not set".to_owned());
            }
            (None, _) if self.on_audit_failure == AuditFailure::Deny => {
                wrong.push("`on_audit_failure` is `deny`, but `audit_file` is not set".to_owned());
            }
            (Some(_), AuditMode::Sync) if to_stdout => {
                wrong.push("`audit_mode` is `sync`, but standard output cannot be put on a disk".to_owned());
            }
            _ => {}
        }
    }

    fn check_credentials(&self, wrong: &mut Vec<String>) {
        let set = [
            ("tls_certificate", self.tls_certificate.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_client_ca", self.tls_client_ca.is_some()),
            ("tls_client_crl", self.tls_client_crl.is_some()),
            ("uds_token_exempt", self.uds_token_exempt),
            ("uds_access", self.uds_access != UdsAccess::Group),
            ("uds_allowed_uids", !self.uds_allowed_uids.is_empty()),
            ("uds_allowed_gids", !self.uds_allowed_gids.is_empty()),
            ("token_file", self.token_file.is_some()),
            ("uds", self.uds.is_some()),
            ("listen", !self.listen.is_empty()),
        ];
        let is_set = |name| set.contains(&(name, true));
        for (name, needed) in [
            ("tls_certificate", "tls_key"),
            ("tls_key", "tls_certificate"),
            ("tls_client_ca", "tls_certificate"),
            ("tls_client_crl", "tls_client_ca"),
            ("tls_certificate", "listen"),
            ("uds_token_exempt", "token_file"),
            ("uds_token_exempt", "uds"),
            ("uds_access", "uds"),
            ("uds_allowed_uids", "uds"),
            ("uds_allowed_gids", "uds"),
        ] {
            if is_set(name) && !is_set(needed) {
                wrong.push(format!("`{name}` is set, but `{needed}` is not"));
            }
        }
        let lists =
            [("uds_allowed_uids", &self.uds_allowed_uids), ("uds_allowed_gids", &self.uds_allowed_gids)];
        wrong.extend(lists.into_iter().filter_map(|(name, text)| ids(name, text).err()));
    }

    /// What is missing for an address that other machines reach.
    fn exposed(&self, address: SocketAddr) -> Option<String> {
        let (tls, tokens) = (self.tls_certificate.is_some(), self.token_file.is_some());
        if tokens && !tls {
            return Some(format!(
                "`listen` is `{address}`, and tokens would go over the network in plain text: set `tls_certificate` and \
                 `tls_key`, or use a loopback address or a Unix socket"
            ));
        }
        let proved = tokens || self.tls_client_ca.is_some();
        (!proved && !self.allow_plaintext_network).then(|| {
            format!(
                "`listen` is `{address}`, which other machines reach without a credential: set `tls_client_ca` or \
                 `token_file` together with `tls_certificate` and `tls_key`, use a loopback address or a Unix socket, \
                 or set `allow_plaintext_network`"
            )
        })
    }

    fn check_addresses(&self, wrong: &mut Vec<String>) {
        match address("listen", &self.listen) {
            Err(sentence) => wrong.push(sentence),
            Ok(None) if self.uds.is_none() => {
                wrong.push("nothing to listen on: set `listen` or `uds`".to_owned());
            }
            Ok(Some(address)) if !address.ip().is_loopback() => wrong.extend(self.exposed(address)),
            Ok(_) => {}
        }
        if let Err(sentence) = address("http_listen", &self.http_listen) {
            wrong.push(sentence);
        }
    }
}
