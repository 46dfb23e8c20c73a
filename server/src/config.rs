//! The configuration: every value, its default and what it bounds.
//!
//! Reads TOML text and checks values; the file, the environment and the flags are merged by whoever starts the process.
//! Invariant: all that is wrong with a configuration is reported at once.

mod check;
mod difference;
mod files;
mod finding;
mod words;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_store::{Limits, StateOptions, StoreOptions};
use serde::{Deserialize, Serialize};

use crate::accept::AllowedPeers;
use crate::audit::{AuditFailure, AuditMode};
use crate::http::HttpLimits;
pub use finding::Finding;
pub(crate) use finding::joined;
pub use words::{LoadModeName, Reflection, Startup, UdsAccess};

/// Everything that can be set. Flat, so that each value has one name in the file, the environment and the flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The policy directory. Default: none; one must be given.
    pub policy_directory: Option<PathBuf>,
    /// How strict policies are loaded. Default `lenient`.
    pub load_mode: LoadModeName,
    /// What a start does when the policies do not load and no last good ones are kept: `wait` for better ones, or `exit`
    /// with code 3. Default `wait`.
    pub startup: Startup,
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
    /// Who may open that socket: `group`, or `all` for a volume that only callers mount. Default `group`.
    pub uds_access: UdsAccess,
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
    /// Takes revocation lists that are past their next update. Default false: a file with one is refused, and when one
    /// comes to its end in use, no caller's certificate is good until it is replaced.
    pub allow_expired_crl: bool,
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
    /// Hands out the policy set to callers that decide in their own process: to those whose token is for
    /// `WatchPolicySet`, and where calls need no token, to those that come over the Unix socket or show a client
    /// certificate. Default false.
    pub share_policies: bool,
    /// Callers that are handed the policy set at the same time. Default 64.
    pub share_streams_max: usize,
    /// Whether gRPC reflection is served, v1 and v1alpha: `on`, `off`, or `local` for as long as `listen` is a loopback
    /// address or none. Default `local`.
    pub reflection: Reflection,

    /// Open connections of the HTTP listener. Default 64.
    pub http_connections_max: usize,
    /// Longest wait for a request on a connection of the HTTP listener. Default 5,000.
    pub http_request_ms: u64,
    /// Open connections of all gRPC listeners together. Default 1,024.
    pub connections_max: usize,
    /// Longest wait for the first byte of a connection; a tenth of a second while all places are taken. Default 5,000.
    pub first_byte_ms: u64,
    /// Longest wait for the first request of a connection, from its first byte; a second while all places are taken.
    /// Default 10,000.
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
    /// Requests under way in the whole process; one more is shed. A quarter of them at most waits for a revision or a
    /// simulation, a quarter for the rest of its message, and a quarter is for questions that are answered at once.
    /// Streams and watchers are counted apart, and there may be as many; watchers of health a quarter. Default 4,096.
    pub requests_in_flight_max: usize,
    /// Longest time for one request, reading it included. Default 2,000.
    pub request_timeout_ms: u64,
    /// Simulations compiled at the same time; others wait. Default 2.
    pub simulations_max: usize,
    /// Longest time for one simulation. Default 30,000.
    pub simulation_timeout_ms: u64,
    /// Longest wait of `WaitForRevision`. Default 300,000.
    pub revision_wait_ms: u64,
    /// Compiled session policies kept for the next request that carries the same text; fewer when they are long, which is
    /// 4 MiB of text in all. Default 1,024.
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
            startup: Startup::Wait,
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
            uds_access: UdsAccess::Group,
            http_listen: "127.0.0.1:8181".to_owned(),
            allow_plaintext_network: false,
            tls_certificate: None,
            tls_key: None,
            tls_client_ca: None,
            tls_client_crl: None,
            allow_expired_crl: false,
            tls_handshake_ms: 5_000,
            token_file: None,
            uds_token_exempt: false,
            uds_allowed_uids: String::new(),
            uds_allowed_gids: String::new(),
            credentials_poll_ms: 5_000,
            connection_age_max_ms: 3_600_000,
            share_policies: false,
            share_streams_max: 64,
            reflection: Reflection::Local,
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
    /// Values that cannot be.
    #[error("{}", joined(.0))]
    Values(Vec<Finding>),
}

impl Config {
    /// Reads TOML text; what it leaves out has its default.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown name, or a value of the wrong type.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        Ok(toml::from_str(text)?)
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

    /// Whether reflection is served.
    pub(crate) fn serves_reflection(&self) -> bool {
        match self.reflection {
            Reflection::On => true,
            Reflection::Off => false,
            Reflection::Local => self.listen_address().is_none_or(|address| address.ip().is_loopback()),
        }
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

    /// Who may connect to the Unix socket.
    pub(crate) fn allowed_peers(&self) -> AllowedPeers {
        let read = |name, text| ids(name, text).unwrap_or_default();
        AllowedPeers {
            uids: read("uds_allowed_uids", &self.uds_allowed_uids),
            gids: read("uds_allowed_gids", &self.uds_allowed_gids),
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
