//! Precedence, and what each source is held to. The texts that a user sees are in `tests/configurations`.

use super::*;

fn read(
    flags: &[(&'static str, &str)],
    variables: &[(&str, &str)],
    text: &str,
) -> Result<Configuration, Rejected> {
    let own = |text: &&str| (*text).to_owned();
    let variables: Vec<_> = variables.iter().map(|(name, value)| (own(name), own(value))).collect();
    let flags = flags.iter().map(|(name, value)| (*name, own(value))).collect();
    resolve(ConfigFile::parse(Path::new("p.toml"), text.to_owned()), &variables, flags, Purpose::Show)
}

/// Each finding with its place, on one line.
fn wrong(flags: &[(&'static str, &str)], variables: &[(&str, &str)], text: &str) -> Vec<String> {
    read(flags, variables, text).unwrap_err().findings.iter().map(ToString::to_string).collect()
}

#[test]
fn flags_beat_environment_beats_file_beats_defaults() {
    let variables = [("PORTCULLIS_LOG", "trace"), ("PORTCULLIS_LISTEN", "127.0.0.1:2")];
    let file = "log = 'warn'\nlisten = '127.0.0.1:1'\n  poll_interval_ms = 250";
    let configuration = read(&[("log", "debug")], &variables, file).unwrap();
    assert_eq!(configuration.log, "debug");
    assert_eq!(configuration.server.listen, "127.0.0.1:2");
    assert_eq!(configuration.server.poll_interval_ms, 250);
    let origin = |name| {
        configuration.entries.iter().find(|entry| entry.name == name).map(|entry| entry.origin.to_string())
    };
    assert_eq!(origin("log").unwrap(), "flag --log");
    assert_eq!(origin("listen").unwrap(), "environment PORTCULLIS_LISTEN");
    assert_eq!(origin("poll_interval_ms").unwrap(), "file p.toml:3:22");
    assert_eq!(origin("http_listen").unwrap(), "default");
}

#[test]
fn a_value_that_another_source_overrides_is_looked_at_too() {
    let found = wrong(
        &[("batch_items_max", "5"), ("listen", "127.0.0.1:0")],
        &[("PORTCULLIS_BATCH_ITEMS_MAX", "0"), ("PORTCULLIS_LISTEN", "here")],
        "batch_items_max = 'many'",
    );
    assert_eq!(
        found,
        [
            "`batch_items_max` is 'many', and must be a whole number such as 100 (file p.toml:1:19)",
            "`batch_items_max` is 0, and must be at least 1 (environment PORTCULLIS_BATCH_ITEMS_MAX)",
            "`listen` is `here`, not an IP address with a port such as `127.0.0.1:8180` (environment PORTCULLIS_LISTEN)",
        ]
    );
}

#[test]
fn one_mistake_is_told_once() {
    // Without its certificate the key would be one too many, and the address would be open.
    let file = "tls_certificate = 1\ntls_key = 'none'\nlisten = '0.0.0.0:1'\nuds_allowed_uids = ''";
    let found = wrong(&[], &[], file);
    assert_eq!(found[0], "`tls_certificate` is 1, and must be text between quotes (file p.toml:1:19)");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[1].starts_with("`tls_key` is `none`: No such file"), "{found:?}");
    assert!(found[2].starts_with("`listen` is `0.0.0.0:1`, which other machines reach"), "{found:?}");
}

#[test]
fn a_line_that_is_no_toml_hides_no_other() {
    let found = wrong(&[], &[], "listen = 127.0.0.1:1\nbatch_items_max = 0\nuds = \nlog = '=='\npolls = 1\n");
    let lines: Vec<_> =
        found.iter().filter_map(|text| text.rsplit_once("p.toml:")).map(|(_, at)| at).collect();
    let of = |line: char| lines.iter().filter(|at| at.starts_with(line)).count();
    assert!(of('1') > 0 && of('3') > 0, "{found:#?}");
    assert_eq!((of('2'), of('4'), of('5')), (1, 1, 1), "{found:#?}");
}

#[test]
fn names_that_stand_twice_are_mistakes() {
    let found = wrong(&[], &[], "log = 'info'\nlog = 'info'");
    assert_eq!(found, ["this is not TOML: duplicate key (file p.toml:2:1)"]);
    let twice = [("PORTCULLIS_LOG", "info"), ("PORTCULLIS_LOG", "debug")];
    assert_eq!(
        wrong(&[], &twice, ""),
        ["`PORTCULLIS_LOG` stands twice in the environment (environment PORTCULLIS_LOG)"]
    );
}

#[test]
fn an_empty_text_says_that_there_is_none() {
    for (variables, text) in [(&[("PORTCULLIS_UDS", "")][..], "uds = 'socket'"), (&[][..], "uds = ''")] {
        assert_eq!(read(&[], variables, text).unwrap().server.uds, None);
    }
}

#[test]
fn variables_that_kubernetes_sets_are_left_alone() {
    let variables = [
        ("PORTCULLIS_PORT", "tcp://10.0.0.1:8180"),
        ("PORTCULLIS_SERVICE_HOST", "10.0.0.1"),
        ("PORTCULLIS_SERVICE_PORT_GRPC", "8180"),
        ("PORTCULLIS_PORT_8180_TCP_ADDR", "10.0.0.1"),
    ];
    assert!(read(&[], &variables, "").is_ok());
}

#[test]
fn the_defaults_file_is_a_configuration_that_changes_nothing() {
    assert_eq!(read(&[], &[], &defaults_file()).unwrap().server, Config::default());
}
