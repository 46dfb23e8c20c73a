//! The configuration: every value, its default and what it bounds.
//!
//! Reads TOML text and checks values; the file, the environment and the flags are merged by whoever starts the process.
//! Invariant: all that is wrong with a configuration is reported at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_store::{Limits, StateOptions, StoreOptions};
use serde::{Deserialize, Serialize};

use crate::accept::AllowedPeers;
use crate::audit::{AuditFailure, AuditMode};
use crate::http::HttpLimits;

/// Room for a few of the largest records.
const AUDIT_QUEUE_BYTES_MIN: usize = 1 << 20;

/// How strict policies are loaded, as written in a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadModeName {
    /// What AWS may already hold loads.
    #[default]
    Lenient,
    /// Only what AWS accepts in a create or put call today loads.
    Strict,
}

impl From<LoadModeName> for portcullis_engine::LoadMode {
    fn from(name: LoadModeName) -> Self {
        match name {
            LoadModeName::Lenient => Self::Lenient,
            LoadModeName::Strict => Self::Strict,
        }
    }
}

/// Everything that can be set. Flat, so that each value has one name in the file, the environment and the flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The policy directory. Default: none; one must be given.
    pub policy_directory: Option<PathBuf>,
    /// How strict policies are loaded. Default `lenient`.
    pub load_mode: LoadModeName,
    /// Longest time between two looks at the policy directory. Default 5,000.
    pub poll_interval_ms: u64,
    /// Takes an empty policy directory at the start for a policy set that allows nothing. Default false: it is a mistake.
    pub allow_empty: bool,
    /// Bytes of one policy file. Default 67,108,864, which is also the most.
    pub policy_file_bytes_max: u64,
    /// Bytes of all policy files together. Default 1,073,741,824.
    pub policy_total_bytes_max: u64,
    /// Policy files. Default 10,000.
    pub policy_files_max: usize,
    /// Folders between the policy directory and a file. Default 8.
    pub policy_depth_max: usize,
    /// How long a policy set that is not what the directory holds counts as ready; 0 is for ever. Default 0.
    pub policy_stale_max_ms: u64,
    /// Where the last good policy set is kept for a start with a directory that does not load. Default: nowhere.
    pub state_directory: Option<PathBuf>,
    /// How long a kept policy set that nothing confirms is good. Default 604,800,000, a week.
    pub last_good_age_max_ms: u64,

    /// TCP address of the gRPC listener; port 0 is any free one, an empty text none. Default `127.0.0.1:8180`.
    pub listen: String,
    /// Path of the gRPC Unix socket. Default: none.
    pub uds: Option<PathBuf>,
    /// TCP address of health and status over HTTP; port 0 is any free one, an empty text none. Default
    /// `127.0.0.1:8181`.
    pub http_listen: String,
    /// Lets the gRPC listener bind an address that other machines reach, although it asks callers for no credential.
    /// Default false: such an address stops the start.
    pub allow_plaintext_network: bool,

    /// Certificate chain (PEM) of the gRPC listener over TCP, its own certificate first. Default: none, and it speaks
    /// plain text.
    pub tls_certificate: Option<PathBuf>,
    /// Private key (PEM) of that certificate; nobody but its owner and group may read it. Default: none.
    pub tls_key: Option<PathBuf>,
    /// Certificates (PEM) of the authorities whose clients are let in; without a certificate of theirs nobody is.
    /// Default: none, and clients show no certificate.
    pub tls_client_ca: Option<PathBuf>,
    /// Revocation lists (PEM) of those authorities, one for each authority of a chain. Default: none, and nothing is
    /// revoked.
    pub tls_client_crl: Option<PathBuf>,
    /// Longest time for a TLS handshake, from its first byte. Default 5,000.
    pub tls_handshake_ms: u64,
    /// Bearer tokens that calls need, one a line: `[NAME] TOKEN [methods=METHOD,METHOD...]`; nobody but its owner and
    /// group may read it. Default: none, and calls need no token.
    pub token_file: Option<PathBuf>,
    /// Lets calls over the Unix socket do without a token: its permissions and `uds_allowed_uids` are their credential.
    /// Default false.
    pub uds_token_exempt: bool,
    /// User ids whose processes may connect to the Unix socket, between commas. Default: none, and with no
    /// `uds_allowed_gids` either everybody who can open the socket may.
    pub uds_allowed_uids: String,
    /// The same for group ids; the group is the one that a process has at the time, not its supplementary ones. One of
    /// both is enough. Default: none.
    pub uds_allowed_gids: String,
    /// Longest time between two looks at the files of certificates and tokens. Default 5,000.
    pub credentials_poll_ms: u64,
    /// Age, give or take a tenth, at which a connection is asked to leave, so that its peer proves itself again; 0 is
    /// never. Default 3,600,000.
    pub connection_age_max_ms: u64,
    /// Serves gRPC reflection, v1 and v1alpha. Default true.
    pub reflection: bool,

    /// Open connections of the HTTP listener. Default 64.
    pub http_connections_max: usize,
    /// Longest wait for a request on a connection of the HTTP listener. Default 5,000.
    pub http_request_ms: u64,
    /// Open connections of all gRPC listeners together. Default 1,024.
    pub connections_max: usize,
    /// Longest wait for the first byte of a connection. Default 5,000.
    pub first_byte_ms: u64,
    /// Longest wait for the first request of a connection, from its first byte. Default 10,000.
    pub first_request_ms: u64,
    /// Threads that serve requests. Default 0: one for each processor that this process may use.
    pub worker_threads: usize,
    /// Concurrent requests of one connection. Default 256.
    pub streams_per_connection_max: u32,
    /// Streams of one connection that the service had to reset before it ends the connection. Default 1,024: four times
    /// `streams_per_connection_max`.
    pub local_error_resets_max: usize,
    /// Streams of one connection that the peer reset before they were taken up. Default 20.
    pub pending_accept_resets_max: usize,
    /// Bytes of one request's headers. Default 8,192.
    pub header_list_bytes_max: u32,
    /// Flow-control window of one stream. Default 65,536.
    pub stream_window_bytes: u32,
    /// Flow-control window of one connection. Default 262,144.
    pub connection_window_bytes: u32,
    /// Time between two pings of a quiet connection. Default 30,000.
    pub keepalive_interval_ms: u64,
    /// Longest wait for the answer to a ping. Default 10,000.
    pub keepalive_timeout_ms: u64,

    /// Bytes of one request message. Default 262,144.
    pub message_bytes_max: usize,
    /// Bytes of one answer message. Default 4,194,304, which is what gRPC clients accept unless told otherwise.
    pub response_bytes_max: usize,
    /// Questions of one batch. Default 100.
    pub batch_items_max: usize,
    /// Requests under way in the whole process; one more is shed. Default 4,096.
    pub requests_in_flight_max: usize,
    /// Longest time for one request, reading it included. Default 2,000.
    pub request_timeout_ms: u64,
    /// Simulations compiled at the same time; others wait. Default 2.
    pub simulations_max: usize,
    /// Longest time for one simulation. Default 30,000.
    pub simulation_timeout_ms: u64,
    /// Longest wait of `WaitForRevision`. Default 300,000.
    pub revision_wait_ms: u64,
    /// Compiled session policies kept for the next request that carries the same text. Default 1,024.
    pub session_policies_max: usize,

    /// The audit file, or a named pipe; `-` is standard output. Default: none, and nothing is recorded.
    pub audit_file: Option<PathBuf>,
    /// When an answer waits for its record: `off`, `drop` (never), `block` (for room in the queue, up to
    /// `audit_wait_ms`) or `sync` (until it is on the disk, up to `audit_sync_ms`). Default `block`.
    pub audit_mode: AuditMode,
    /// What becomes of an answer whose record could not be made as `audit_mode` promises: `allow` or `deny`. Default
    /// `allow`: it goes out, and the loss is counted and told of in the file.
    pub on_audit_failure: AuditFailure,
    /// Records that may wait to be written. Default 10,000.
    pub audit_queue_records_max: usize,
    /// Bytes that may wait to be written. Default 16,777,216.
    pub audit_queue_bytes_max: usize,
    /// Longest wait for room in the queue. Default 20.
    pub audit_wait_ms: u64,
    /// Longest wait for the disk in mode `sync`. Default 1,000.
    pub audit_sync_ms: u64,
    /// One allow in this many is recorded, 0 is none; every deny is. Default 1.
    pub audit_allow_one_in: u64,
    /// Allows of these actions are not recorded, as patterns with `*` between commas such as `orders:Get*`. Default: none.
    pub audit_skip_actions: String,
    /// Context keys that a record shows, as patterns with `*` between commas. Default `*`.
    pub audit_context: String,
    /// Further context keys, as such patterns, whose values a record hides. Default: none beside those whose name reads
    /// like that of a secret.
    pub audit_hide: String,
    /// Follows the vendor of an action in a record's `eventSource`. Default `.amazonaws.com`.
    pub audit_event_source_suffix: String,
    /// Chains every record to the one before by its hash, so that `portcullis audit verify` finds a changed one. Default
    /// false.
    pub audit_chain: bool,
    /// Size at which a new audit file is begun; 0 is never. Default 134,217,728.
    pub audit_rotate_bytes: u64,
    /// Age in seconds at which a new audit file is begun; 0 is never. Default 0.
    pub audit_rotate_s: u64,
    /// Old audit files that are kept; 0 is all. Default 16.
    pub audit_files_max: u64,
    /// Bytes of all old audit files that are kept; 0 is any. Default 2,147,483,648.
    pub audit_total_bytes_max: u64,

    /// Time between turning unhealthy and refusing connections, for callers to notice. Default 0.
    pub drain_delay_ms: u64,
    /// Longest wait for open requests at the end. Default 10,000.
    pub drain_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy_directory: None,
            load_mode: LoadModeName::Lenient,
            poll_interval_ms: 5_000,
            allow_empty: false,
            policy_file_bytes_max: 64 << 20,
            policy_total_bytes_max: 1 << 30,
            policy_files_max: 10_000,
            policy_depth_max: 8,
            policy_stale_max_ms: 0,
            state_directory: None,
            last_good_age_max_ms: 7 * 24 * 3_600_000,
            listen: "127.0.0.1:8180".to_owned(),
            uds: None,
            http_listen: "127.0.0.1:8181".to_owned(),
            allow_plaintext_network: false,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_crl: None,
            tls_handshake_ms: 5_000,
            token_file: None,
            uds_token_exempt: false,
            uds_allowed_uids: String::new(),
            uds_allowed_gids: String::new(),
            credentials_poll_ms: 5_000,
            connection_age_max_ms: 3_600_000,
            reflection: true,
            http_connections_max: 64,
            http_request_ms: 5_000,
            connections_max: 1_024,
            first_byte_ms: 5_000,
            first_request_ms: 10_000,
            worker_threads: 0,
            streams_per_connection_max: 256,
            local_error_resets_max: 1_024,
            pending_accept_resets_max: 20,
            header_list_bytes_max: 8 << 10,
            stream_window_bytes: 64 << 10,
            connection_window_bytes: 256 << 10,
            keepalive_interval_ms: 30_000,
            keepalive_timeout_ms: 10_000,
            message_bytes_max: 256 << 10,
            response_bytes_max: 4 << 20,
            batch_items_max: 100,
            requests_in_flight_max: 4_096,
            request_timeout_ms: 2_000,
            simulations_max: 2,
            simulation_timeout_ms: 30_000,
            revision_wait_ms: 300_000,
            session_policies_max: 1_024,
            audit_file: None,
            audit_mode: AuditMode::Block,
            on_audit_failure: AuditFailure::Allow,
            audit_queue_records_max: 10_000,
            audit_queue_bytes_max: 16 << 20,
            audit_wait_ms: 20,
            audit_sync_ms: 1_000,
            audit_allow_one_in: 1,
            audit_skip_actions: String::new(),
            audit_context: "*".to_owned(),
            audit_hide: String::new(),
            audit_event_source_suffix: ".amazonaws.com".to_owned(),
            audit_chain: false,
            audit_rotate_bytes: 128 << 20,
            audit_rotate_s: 0,
            audit_files_max: 16,
            audit_total_bytes_max: 2 << 30,
            drain_delay_ms: 0,
            drain_ms: 10_000,
        }
    }
}

/// More threads than any machine that this was measured on has processors.
const WORKER_THREADS_MAX: usize = 256;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML, an unknown name or a value of the wrong type.
    #[error("{0}")]
    Text(#[from] toml::de::Error),
    /// Values that cannot be, one sentence each.
    #[error("{}", .0.join("; "))]
    Values(Vec<String>),
}

impl Config {
    /// Reads TOML text; what it leaves out has its default.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown name, or a value of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Ok(toml::from_str(text)?)
    }

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

    /// The address of the gRPC listener, when there is one.
    #[must_use]
    pub fn listen_address(&self) -> Option<SocketAddr> {
        address("listen", &self.listen).ok().flatten()
    }

    /// The address of the HTTP listener, when there is one.
    #[must_use]
    pub fn http_listen_address(&self) -> Option<SocketAddr> {
        address("http_listen", &self.http_listen).ok().flatten()
    }

    /// How many threads serve requests.
    pub(crate) fn workers(&self) -> usize {
        match self.worker_threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from).min(WORKER_THREADS_MAX),
            count => count,
        }
    }

    /// The store that this configuration asks for, on this directory.
    #[must_use]
    pub fn store_options(&self, directory: impl Into<PathBuf>) -> StoreOptions {
        let state = self.state_directory.clone().map(|directory| {
            let age_max = Duration::from_millis(self.last_good_age_max_ms);
            StateOptions { directory, age_max }
        });
        let limits = Limits {
            file_bytes: self.policy_file_bytes_max,
            total_bytes: self.policy_total_bytes_max,
            files: self.policy_files_max,
            depth: self.policy_depth_max,
            ..Limits::default()
        };
        StoreOptions {
            load_mode: self.load_mode.into(),
            poll_interval: Duration::from_millis(self.poll_interval_ms),
            allow_empty: self.allow_empty,
            limits,
            state,
            ..StoreOptions::new(directory)
        }
    }

    pub(crate) fn http_limits(&self) -> HttpLimits {
        let head = Duration::from_millis(self.http_request_ms);
        // A scraper may keep its connection for many scrapes, and a slow reader may not keep it for ever.
        HttpLimits { connections: self.http_connections_max, head, connection: head.saturating_mul(60) }
    }

    pub(crate) fn stale_max(&self) -> Option<Duration> {
        (self.policy_stale_max_ms > 0).then(|| Duration::from_millis(self.policy_stale_max_ms))
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// What is not as by default, `name = value` each.
    pub(crate) fn not_default(&self) -> Vec<String> {
        let members = |config: &Self| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(members)) => members,
            _ => serde_json::Map::new(),
        };
        let defaults = members(&Self::default());
        let differing = members(self).into_iter().filter(|(name, value)| defaults.get(name) != Some(value));
        differing.map(|(name, value)| format!("{name} = {value}")).collect()
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

    /// Who may connect to the Unix socket.
    pub(crate) fn allowed_peers(&self) -> AllowedPeers {
        let read = |name, text| ids(name, text).unwrap_or_default();
        AllowedPeers {
            uids: read("uds_allowed_uids", &self.uds_allowed_uids),
            gids: read("uds_allowed_gids", &self.uds_allowed_gids),
        }
    }

    fn check_credentials(&self, wrong: &mut Vec<String>) {
        let set = [
            ("tls_certificate", self.tls_certificate.is_some()),
            ("tls_key", self.tls_key.is_some()),
            ("tls_client_ca", self.tls_client_ca.is_some()),
            ("tls_client_crl", self.tls_client_crl.is_some()),
            ("uds_token_exempt", self.uds_token_exempt),
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

/// User or group ids between commas.
fn ids(name: &str, text: &str) -> Result<Vec<u32>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words
        .map(|word| {
            word.parse().map_err(|_| format!("`{name}` has `{word}`, which is no number of a user or group"))
        })
        .collect()
}

fn address(name: &str, text: &str) -> Result<Option<SocketAddr>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(address) => Ok(Some(address)),
        Err(_) => {
            Err(format!("`{name}` is `{text}`, not an IP address with a port such as `127.0.0.1:8180`"))
        }
    }
}

#[cfg(test)]
mod tests;
