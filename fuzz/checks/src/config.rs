//! The configuration file and the file of tokens.

use portcullis_server::Config;
use portcullis_server::fuzzing::count_tokens;

pub(crate) const WORDS: &[&str] = &[
    "listen = ",
    "\"127.0.0.1:8180\"",
    "\"0.0.0.0:1\"",
    "\"[::1]:0\"",
    "uds = \"/a\"",
    "load_mode = \"strict\"",
    "audit_mode = ",
    "\"sync\"",
    "\"block\"",
    "audit_file = \"-\"",
    "tls_certificate = \"c\"\n",
    "tls_key = \"k\"\n",
    "token_file = \"t\"\n",
    "uds_allowed_uids = \"0,1\"\n",
    "drain_ms = ",
    "0",
    "-1",
    "9223372036854775807",
    "18446744073709551615",
    "1e9",
    "true",
    "[a]",
    "[[a]]",
    "= {",
    "'''",
    "\"\"\"",
    "\\u0000",
    "\n",
    "#",
    "poll_interval_ms = ",
    "connections_max = ",
    "header_list_bytes_max = ",
    "stream_window_bytes = ",
    "worker_threads = ",
    "on_audit_failure = \"deny\"\n",
];

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let defaults = toml::to_string(&Config::default()).expect("defaults are TOML");
    let mut seeds: Vec<Vec<u8>> = vec![defaults.clone().into_bytes()];
    seeds.extend(defaults.lines().map(|line| line.as_bytes().to_vec()));
    seeds.extend(
        [
            "policy_directory = \"/policies\"\nuds = \"/run/p.sock\"\nlisten = \"\"\nuds_allowed_uids = \"1000, 1001\"\n",
            "listen = \"0.0.0.0:8180\"\ntls_certificate = \"c\"\ntls_key = \"k\"\ntls_client_ca = \"a\"\n",
            "audit_file = \"/var/log/a.jsonl\"\naudit_mode = \"sync\"\non_audit_failure = \"deny\"\n",
            "listen = \"127.0.0.1:99999\"\nhttp_listen = \"x\"\nconnections_max = 0\n",
        ]
        .map(Into::into),
    );
    seeds
}

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let config = match Config::parse(text) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    match config.check() {
        Ok(()) => {
            assert_eq!(config.listen_address().is_some(), !config.listen.is_empty());
            assert_eq!(config.http_listen_address().is_some(), !config.http_listen.is_empty());
            assert!(config.listen_address().is_some() || config.uds.is_some());
            // Whoever other machines reach asks for something, or was told not to.
            let exposed = config.listen_address().is_some_and(|address| !address.ip().is_loopback());
            let asks = config.tls_certificate.is_some()
                && (config.tls_client_ca.is_some() || config.token_file.is_some());
            assert!(!exposed || asks || config.allow_plaintext_network, "{config:?}");
            drop(config.store_options("/policies"));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let written = toml::to_string(&config).expect("what was read can be written");
    assert_eq!(Config::parse(&written).expect("and read again"), config);
}

pub(crate) const TOKEN_WORDS: &[&str] = &[
    "methods=",
    "Authorize",
    "BatchAuthorize",
    "Reflection",
    "GetStatus",
    "*",
    ",",
    " ",
    "\t",
    "\n",
    "\r\n",
    "#",
    "=",
    "0123456789abcdef0123456789abcdef",
    "name",
    "\u{a0}",
    "\u{2028}",
    "-._~+/",
    "\0",
];

pub(crate) fn token_seeds() -> Vec<Vec<u8>> {
    let token = "0123456789abcdefghijklmnopqrstuv";
    [
        format!("{token}\n"),
        format!("# tokens\nweb {token} methods=Authorize,GetStatus\n\nops {token}= methods=*\n"),
        format!("web {token}\nweb {token}\n"),
        format!("{token} {token} {token}\r\n"),
        format!("name-that-is-too-long-to-be-the-name-of-a-token {token}\n"),
        format!("web {token} methods=\n"),
        "short\n".to_owned(),
        (0..300).map(|at| format!("{token}{at}\n")).collect(),
    ]
    .map(String::into_bytes)
    .into()
}

/// Longer than any word of our own sentences.
const SECRET_BYTES: usize = 32;

pub(crate) fn check_tokens(bytes: &[u8]) {
    match count_tokens(bytes) {
        Ok(count) => {
            let text = std::str::from_utf8(bytes).expect("what is read is UTF-8");
            let used =
                text.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'));
            assert_eq!(used.count(), count);
            assert!(count > 0);
        }
        Err(sentences) => {
            assert!(!sentences.is_empty(), "refused without a word");
            let text = String::from_utf8_lossy(bytes);
            for word in text.split_whitespace().filter(|word| word.len() >= SECRET_BYTES) {
                assert!(
                    !sentences.iter().any(|sentence| sentence.contains(word)),
                    "quotes a word: {sentences:?}"
                );
            }
        }
    }
}
