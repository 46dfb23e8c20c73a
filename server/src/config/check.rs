//! What a configuration must be: every value by itself, and those that need each other.
//!
//! Reads no file and no environment. Invariant: all that is wrong is reported, not the first.

use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;

use portcullis_engine::limit::SOURCE_BYTES_MAX;

use super::finding::Findings;
use super::{Config, ConfigError, UdsAccess, WORKER_THREADS_MAX, address, ids};
use crate::audit::{AuditFailure, AuditMode};

/// Room for a few of the largest records.
const AUDIT_QUEUE_BYTES_MIN: usize = 1 << 20;
/// Fewer bytes hold no path and no token.
const HEADER_LIST_BYTES_MIN: u32 = 1 << 10;
/// The smallest and the largest window that HTTP/2 has.
const WINDOW_BYTES: std::ops::RangeInclusive<u32> = 65_535..=i32::MAX as u32;

impl Config {
    /// Checks every value, and those that need each other. The files that are named: [`Config::check_files`].
    ///
    /// # Errors
    /// All that is wrong, not the first.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut wrong = Findings::default();
        self.check_lower_bounds(&mut wrong);
        self.check_ranges(&mut wrong);
        self.check_addresses(&mut wrong);
        self.check_credentials(&mut wrong);
        self.check_audit(&mut wrong);
        if wrong.0.is_empty() { Ok(()) } else { Err(ConfigError::Values(wrong.0)) }
    }

    /// Nothing of which there must be some is 0.
    fn check_lower_bounds(&self, wrong: &mut Findings) {
        let mut at_least_one = |name: &'static str, value: u64| {
            if value == 0 {
                wrong.one(name, format!("`{name}` is 0, and must be at least 1"));
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
        at_least_one("share_streams_max", self.share_streams_max as u64);
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
    }

    fn check_ranges(&self, wrong: &mut Findings) {
        let permits = tokio::sync::Semaphore::MAX_PERMITS;
        let mut between = |name: &'static str, value: u64, least: u64, most: u64| {
            if value < least {
                wrong.one(name, format!("`{name}` is {value}, and must be at least {least}"));
            } else if value > most {
                wrong.one(name, format!("`{name}` is {value}, and must be at most {most}"));
            }
        };
        between("policy_file_bytes_max", self.policy_file_bytes_max, 0, SOURCE_BYTES_MAX as u64);
        between(
            "header_list_bytes_max",
            self.header_list_bytes_max.into(),
            HEADER_LIST_BYTES_MIN.into(),
            u64::MAX,
        );
        for (name, window) in [
            ("stream_window_bytes", self.stream_window_bytes),
            ("connection_window_bytes", self.connection_window_bytes),
        ] {
            between(name, window.into(), (*WINDOW_BYTES.start()).into(), (*WINDOW_BYTES.end()).into());
        }
        between("connections_max", self.connections_max as u64, 0, permits as u64);
        between("requests_in_flight_max", self.requests_in_flight_max as u64, 0, permits as u64);
        between("share_streams_max", self.share_streams_max as u64, 0, permits as u64);
        between("simulations_max", self.simulations_max as u64, 0, permits as u64);
        between("http_connections_max", self.http_connections_max as u64, 0, permits as u64);
        // The length of a gRPC message has four bytes.
        between("message_bytes_max", self.message_bytes_max as u64, 0, u32::MAX.into());
        between("response_bytes_max", self.response_bytes_max as u64, 0, u32::MAX.into());
        between("worker_threads", self.worker_threads as u64, 0, WORKER_THREADS_MAX as u64);
        between(
            "audit_queue_bytes_max",
            self.audit_queue_bytes_max as u64,
            AUDIT_QUEUE_BYTES_MIN as u64,
            u64::MAX,
        );
    }

    fn check_audit(&self, wrong: &mut Findings) {
        let deny = self.on_audit_failure == AuditFailure::Deny;
        let (is_set, mode) = (self.audit_file.is_some(), self.audit_mode);
        let to_stdout = self.audit_file.as_ref().is_some_and(|file| file.as_os_str() == "-");
        if mode == AuditMode::Sync && !is_set {
            let message = "`audit_mode` is `sync`, but `audit_file` is not set";
            wrong.between(&["audit_mode", "audit_file"], message);
        }
        if mode == AuditMode::Sync && to_stdout {
            let message = "`audit_mode` is `sync`, but standard output cannot be put on a disk";
            wrong.between(&["audit_mode", "audit_file"], message);
        }
        if deny && !is_set {
            let message = "`on_audit_failure` is `deny`, but `audit_file` is not set";
            wrong.between(&["on_audit_failure", "audit_file"], message);
        }
        if deny && matches!(mode, AuditMode::Off | AuditMode::Drop) {
            let message = "`on_audit_failure` is `deny`, but with `audit_mode` `off` or `drop` no answer depends on its record";
            wrong.between(&["on_audit_failure", "audit_mode"], message);
        }
    }

    fn check_credentials(&self, wrong: &mut Findings) {
        let set = [
            ("tls_certificate", self.tls_certificate.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_client_ca", self.tls_client_ca.is_some()),
            ("tls_client_crl", self.tls_client_crl.is_some()),
            ("allow_expired_crl", self.allow_expired_crl),
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
            ("allow_expired_crl", "tls_client_crl"),
            ("tls_certificate", "listen"),
            ("uds_token_exempt", "token_file"),
            ("uds_token_exempt", "uds"),
            ("uds_access", "uds"),
            ("uds_allowed_uids", "uds"),
            ("uds_allowed_gids", "uds"),
        ] {
            if is_set(name) && !is_set(needed) {
                wrong.between(&[name, needed], format!("`{name}` is set, but `{needed}` is not"));
            }
        }
        if self.share_policies && !["uds", "tls_client_ca", "token_file"].into_iter().any(is_set) {
            let message = "`share_policies` is set, but no caller can show who it is: set `uds`, `tls_client_ca` or `token_file`";
            wrong.between(&["share_policies", "uds", "tls_client_ca", "token_file"], message);
        }
        let lists =
            [("uds_allowed_uids", &self.uds_allowed_uids), ("uds_allowed_gids", &self.uds_allowed_gids)];
        for (name, text) in lists {
            if let Err(message) = ids(name, text) {
                wrong.one(name, message);
            }
        }
    }

    /// What is missing for an address that other machines reach.
    fn check_exposed(&self, address: SocketAddr, wrong: &mut Findings) {
        let (tls, tokens) = (self.tls_certificate.is_some(), self.token_file.is_some());
        if tokens && !tls {
            return wrong.between(
                &["listen", "token_file", "tls_certificate"],
                format!(
                    "`listen` is `{address}`, and tokens would go over the network in plain text: set \
                     `tls_certificate` and `tls_key`, or use a loopback address or a Unix socket"
                ),
            );
        }
        let proved = tokens || self.tls_client_ca.is_some();
        if !proved && !self.allow_plaintext_network {
            wrong.between(
                &["listen", "tls_client_ca", "token_file"],
                format!(
                    "`listen` is `{address}`, which other machines reach without a credential: set `tls_client_ca` or \
                     `token_file` together with `tls_certificate` and `tls_key`, use a loopback address or a Unix \
                     socket, or set `allow_plaintext_network`"
                ),
            );
        }
    }

    fn check_addresses(&self, wrong: &mut Findings) {
        let grpc = address("listen", &self.listen);
        let http = address("http_listen", &self.http_listen);
        match (&grpc, &http) {
            (Ok(Some(grpc)), Ok(Some(http))) if grpc == http && grpc.port() != 0 => wrong.between(
                &["http_listen", "listen"],
                format!("`http_listen` is `{http}`, and so is `listen`: each needs a port of its own"),
            ),
            _ => {}
        }
        match grpc {
            Err(message) => wrong.one("listen", message),
            Ok(None) if self.uds.is_none() => {
                wrong.between(
                    &["listen", "uds"],
                    "`listen` is empty, and `uds` is not set: nothing to listen on",
                );
            }
            Ok(Some(address)) if !address.ip().is_loopback() => self.check_exposed(address, wrong),
            Ok(_) => {}
        }
        if let Err(message) = http {
            wrong.one("http_listen", message);
        }
        // It could be made under a short name and moved there, where no caller could name it.
        if let Some(path) = self.uds.as_ref().filter(|path| UnixAddress::from_pathname(path).is_err()) {
            let bytes = path.as_os_str().len();
            let message =
                format!("`uds` has {bytes} bytes; the path of a socket has at most 107, and no NUL");
            wrong.one("uds", message);
        }
    }
}
