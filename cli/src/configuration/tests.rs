//! Precedence, and mistakes that come back together.

use super::*;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn file(text: &str) -> File {
    File { path: PathBuf::from("p.toml"), values: text.parse().unwrap() }
}

fn entry<'a>(configuration: &'a Configuration, name: &str) -> &'a Entry {
    configuration.entries.iter().find(|entry| entry.name == name).unwrap()
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let flags = vec![("log", "debug".to_owned())];
    let variables = variables(&[("PORTCULLIS_LOG", "trace"), ("PORTCULLIS_LISTEN", "127.0.0.1:2")]);
    let file = file("log = 'warn'\nlisten = '127.0.0.1:1'\npoll_interval_ms = 250");
    let configuration = resolve(flags, &variables, file).unwrap();
    assert_eq!(configuration.log, "debug");
    assert_eq!(configuration.server.listen, "127.0.0.1:2");
    assert_eq!(configuration.server.poll_interval_ms, 250);
    let origin = |name| entry(&configuration, name).origin.to_string();
    assert_eq!(origin("log"), "flag --log");
    assert_eq!(origin("listen"), "environment PORTCULLIS_LISTEN");
    assert_eq!(origin("poll_interval_ms"), "file p.toml");
    assert_eq!(origin("http_listen"), "default");
}

#[test]
fn every_mistake_is_reported_at_once() {
    let variables = variables(&[
        ("PORTCULLIS_LISTN", "x"),
        ("PORTCULLIS_LOAD_MODE", "loose"),
        ("PORTCULLIS_REFLECTION", "yes"),
        ("PORTCULLIS_CONNECTIONS_MAX", "-1"),
    ]);
    let error = resolve(Vec::new(), &variables, file("poll = 3\nuds = true\nlog = '=='")).unwrap_err();
    let text = error.to_string();
    for part in [
        "`PORTCULLIS_LISTN`",
        "`load_mode` is \"loose\" (environment PORTCULLIS_LOAD_MODE)",
        "`reflection` is \"yes\"",
        "`connections_max` is \"-1\"",
        "`poll` is not a setting",
        "`uds` is true (file p.toml)",
        "`log` is \"==\"",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn variables_that_kubernetes_sets_are_left_alone() {
    let variables = variables(&[
        ("PORTCULLIS_PORT", "tcp://10.0.0.1:8180"),
        ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
        ("PORTCULLIS_SERVICE_PORT_GRPC", "8180"),
        ("PORTCULLIS_PORT_8180_TCP_ADDR", "10.0.0.1"),
    ]);
    assert!(resolve(Vec::new(), &variables, file("")).is_ok());
}

#[test]
fn the_defaults_file_is_a_configuration_that_changes_nothing() {
    let configuration = resolve(Vec::new(), &[], file(&defaults_file())).unwrap();
    assert_eq!(configuration.server, Config::default());
}
