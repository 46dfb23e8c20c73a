//! Defaults hold, unknown names do not, and everything wrong is said at once.

use super::*;

#[test]
fn defaults_are_valid_and_survive_a_round_trip() {
    let config = Config::default();
    config.check().unwrap();
    let text = toml::to_string(&config).unwrap();
    assert_eq!(Config::parse(&text).unwrap(), config);
    assert_eq!(Config::parse("").unwrap(), config);
}

#[test]
fn unknown_names_are_errors() {
    let error = Config::parse("listn = \"127.0.0.1:1\"").unwrap_err().to_string();
    assert!(error.contains("unknown field `listn`"), "{error}");
}

#[test]
fn all_wrong_values_are_reported_at_once() {
    let config = Config {
        listen: "0.0.0.0:8180".to_owned(),
        http_listen: "nowhere".to_owned(),
        batch_items_max: 0,
        stream_window_bytes: 1,
        ..Config::default()
    };
    let ConfigError::Values(wrong) = config.check().unwrap_err() else { panic!("values are wrong") };
    assert_eq!(wrong.len(), 4, "{wrong:?}");
}

#[test]
fn a_reachable_address_needs_the_option() {
    let mut config = Config { listen: "0.0.0.0:8180".to_owned(), ..Config::default() };
    assert!(config.check().is_err());
    config.allow_plaintext_network = true;
    config.check().unwrap();
    config.listen.clear();
    assert!(config.check().is_err(), "nothing to listen on");
    config.uds = Some("/run/portcullis/socket".into());
    config.check().unwrap();
}
