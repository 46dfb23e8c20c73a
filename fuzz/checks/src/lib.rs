//! What must hold for any bytes.
//!
//! One target is one function of bytes that panics when its promise is broken. libFuzzer calls it through
//! `fuzz_targets/`, and `short` calls it with seeds and simple mutations, so that both check the same. Seeds are drawn
//! from the repository's own cases (`corpus/`, `examples/`) when they are asked for, and not kept twice.

mod arn;
mod audit;
mod config;
mod connection;
mod directory;
mod json;
mod last_good;
mod mutate;
mod pattern;
mod place;
mod reload;
mod request;
mod seed;
mod simulate;
mod value;
mod wire;

pub use mutate::Mutator;

/// One promise and how to try it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, also that of the file in `fuzz_targets/`.
    pub name: &'static str,
    /// Panics when the promise does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Inputs as large as the limits allow, made to be slow; tried once each and not mutated.
    pub hostile: fn() -> Vec<Vec<u8>>,
    /// Texts that mean something to the reader under test.
    pub words: &'static [&'static str],
    /// Longest input that mutation makes.
    pub length_max: usize,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target {
        name: "policy_json",
        check: json::check,
        seeds: seed::documents,
        hostile: json::hostile,
        words: json::WORDS,
        length_max: 4 << 10,
    },
    Target {
        name: "policy_json_vs_serde",
        check: json::check_against_serde,
        seeds: seed::documents,
        hostile: json::hostile,
        words: json::WORDS,
        length_max: 4 << 10,
    },
    Target {
        name: "directory",
        check: directory::check,
        seeds: seed::directories,
        hostile: directory::hostile,
        words: directory::WORDS,
        length_max: 16 << 10,
    },
    Target {
        name: "session_policies",
        check: directory::check_session,
        seeds: seed::documents,
        hostile: directory::hostile_documents,
        words: directory::WORDS,
        length_max: 4 << 10,
    },
    Target {
        name: "pattern_vs_reference",
        check: pattern::check,
        seeds: pattern::seeds,
        hostile: pattern::hostile,
        words: pattern::WORDS,
        length_max: 256,
    },
    Target {
        name: "variable_pieces",
        check: pattern::check_pieces,
        seeds: pattern::seeds,
        hostile: pattern::hostile_pieces,
        words: pattern::WORDS,
        length_max: 512,
    },
    Target {
        name: "condition_values",
        check: value::check,
        seeds: value::seeds,
        hostile: none,
        words: value::WORDS,
        length_max: 256,
    },
    Target {
        name: "request",
        check: request::check,
        seeds: request::seeds,
        hostile: request::hostile,
        words: request::WORDS,
        length_max: 4 << 10,
    },
    Target {
        name: "decode_bytes_vs_prost",
        check: wire::check,
        seeds: wire::seeds,
        hostile: wire::hostile,
        words: &["aws:SourceIp", "\u{1}", "\n", "\u{12}"],
        length_max: 2 << 10,
    },
    Target {
        name: "config_file",
        check: config::check,
        seeds: config::seeds,
        hostile: none,
        words: config::WORDS,
        length_max: 8 << 10,
    },
    Target {
        name: "token_file",
        check: config::check_tokens,
        seeds: config::token_seeds,
        hostile: none,
        words: config::TOKEN_WORDS,
        length_max: 4 << 10,
    },
    Target {
        name: "audit_render",
        check: audit::check,
        seeds: audit::seeds,
        hostile: audit::hostile,
        words: audit::WORDS,
        length_max: 8 << 10,
    },
    Target {
        name: "audit_entry",
        check: audit::check_entry,
        seeds: audit::entry_seeds,
        hostile: none,
        words: audit::WORDS,
        length_max: 2 << 10,
    },
    Target {
        name: "simulate_line",
        check: simulate::check,
        seeds: seed::lines,
        hostile: simulate::hostile,
        words: directory::WORDS,
        length_max: 16 << 10,
    },
    Target {
        name: "last_good_record",
        check: last_good::check,
        seeds: last_good::seeds,
        hostile: none,
        words: &["0.1.0", "a.json"],
        length_max: 2 << 10,
    },
    Target {
        name: "arn",
        check: arn::check,
        seeds: arn::seeds,
        hostile: arn::hostile,
        words: arn::WORDS,
        length_max: 256,
    },
    Target {
        name: "connection_bytes",
        check: connection::check,
        seeds: connection::seeds,
        hostile: connection::hostile,
        words: connection::WORDS,
        length_max: 2 << 10,
    },
    Target {
        name: "reload_sequence",
        check: reload::check,
        seeds: reload::seeds,
        hostile: none,
        words: &[],
        length_max: 24,
    },
];

fn none() -> Vec<Vec<u8>> {
    Vec::new()
}

/// Checks these bytes with the target of this name.
///
/// # Panics
/// When the promise does not hold, or no target has the name.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    (target.unwrap_or_else(|| panic!("no target is named {name}")).check)(bytes);
}
