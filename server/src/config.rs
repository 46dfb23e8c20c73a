//! The configuration: every value, its default and what it bounds.
//!
//! Reads TOML text and checks values; the file, the environment and the flags are merged by whoever starts the process.
//! Invariant: all that is wrong with a configuration is reported at once.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// Serves gRPC reflection, v1 and v1alpha. Default true.
    pub reflection: bool,

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
            listen: "127.0.0.1:8180".to_owned(),
            uds: None,
            http_listen: "127.0.0.1:8181".to_owned(),
            allow_plaintext_network: false,
            reflection: true,
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
        at_least_one("connections_max", self.connections_max as u64);
        at_least_one("first_byte_ms", self.first_byte_ms);
        at_least_one("first_request_ms", self.first_request_ms);
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

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    fn check_addresses(&self, wrong: &mut Vec<String>) {
        match address("listen", &self.listen) {
            Err(sentence) => wrong.push(sentence),
            Ok(None) if self.uds.is_none() => {
                wrong.push("nothing to listen on: set `listen` or `uds`".to_owned());
            }
            Ok(Some(address)) if !address.ip().is_loopback() && !self.allow_plaintext_network => {
                wrong.push(format!(
                    "`listen` is `{address}`, which other machines reach without a credential: use a loopback address \
                     or a Unix socket, or set `allow_plaintext_network`"
                ));
            }
            Ok(_) => {}
        }
        if let Err(sentence) = address("http_listen", &self.http_listen) {
            wrong.push(sentence);
        }
    }
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
