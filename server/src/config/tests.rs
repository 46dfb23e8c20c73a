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
fn numbers_that_nothing_can_hold_are_wrong_and_no_panic() {
    let most = usize::MAX;
    let config = Config {
        connections_max: most,
        http_connections_max: most,
        requests_in_flight_max: most,
        simulations_max: most,
        share_streams_max: most,
        message_bytes_max: most,
        response_bytes_max: most,
        ..Config::default()
    };
    let ConfigError::Values(wrong) = config.check().unwrap_err() else { panic!("values are wrong") };
    assert_eq!(wrong.len(), 7, "{wrong:?}");
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

#[test]
fn a_socket_has_a_path_that_callers_can_name() {
    let long = |bytes| Config { uds: Some("/".repeat(bytes).into()), ..Config::default() };
    long(107).check().unwrap();
    let error = long(108).check().unwrap_err().to_string();
    assert_eq!(error, "`uds` has 108 bytes; the path of a socket has at most 107, and no NUL");
    let nul = Config { uds: Some("/run/\0".into()), ..Config::default() };
    assert!(nul.check().is_err());
}

#[test]
fn policies_are_shared_where_callers_can_show_who_they_are() {
    let mut config = Config { share_policies: true, ..Config::default() };
    let told = config.check().unwrap_err().to_string();
    assert!(told.contains("no caller can show who it is"), "{told}");
    config.uds = Some("/run/portcullis/socket".into());
    config.check().unwrap();
}

#[test]
fn reflection_is_for_this_machine_unless_it_is_switched_on() {
    for (reflection, listen, served) in [
        (Reflection::Local, "127.0.0.1:8180", true),
        (Reflection::Local, "[::1]:8180", true),
        (Reflection::Local, "", true),
        (Reflection::Local, "0.0.0.0:8180", false),
        (Reflection::On, "10.1.2.3:8180", true),
        (Reflection::Off, "127.0.0.1:8180", false),
    ] {
        let config = Config { reflection, listen: listen.to_owned(), ..Config::default() };
        assert_eq!(config.serves_reflection(), served, "{reflection:?} {listen}");
    }
}

#[test]
fn an_address_that_other_machines_reach_needs_a_credential() {
    let file = || Some(PathBuf::from("file"));
    // Certificate and key, authority of callers, tokens, and whether plain text is allowed.
    for (tls, mutual, tokens, allowed, good) in [
        (false, false, false, false, false),
        (false, false, false, true, true),
        (true, false, false, false, false),
        (true, false, false, true, true),
        (true, true, false, false, true),
        (true, false, true, false, true),
        (true, true, true, false, true),
        // A token in plain text is one that others have.
        (false, false, true, false, false),
        (false, false, true, true, false),
    ] {
        let mut config = Config {
            tls_certificate: file().filter(|_| tls),
            tls_key: file().filter(|_| tls),
            tls_client_ca: file().filter(|_| mutual),
            token_file: file().filter(|_| tokens),
            allow_plaintext_network: allowed,
            ..Config::default()
        };
        config.check().unwrap();
        for listen in ["0.0.0.0:8180", "[::]:8180", "10.1.2.3:8180"] {
            config.listen = listen.to_owned();
            let case = format!("{listen} tls {tls} mutual {mutual} tokens {tokens} allowed {allowed}");
            assert_eq!(config.check().is_ok(), good, "{case}");
        }
    }
}

#[test]
fn credentials_that_do_nothing_are_mistakes() {
    let file = || Some(PathBuf::from("file"));
    let uds = Config { uds: file(), ..Config::default() };
    for (config, wrong) in [
        (Config { tls_certificate: file(), ..Config::default() }, 1),
        (Config { tls_key: file(), ..Config::default() }, 1),
        (Config { tls_client_ca: file(), ..Config::default() }, 1),
        (Config { tls_client_crl: file(), ..Config::default() }, 1),
        (Config { uds_token_exempt: true, ..Config::default() }, 2),
        (Config { uds_token_exempt: true, ..uds.clone() }, 1),
        (Config { uds_access: UdsAccess::All, ..Config::default() }, 1),
        (
            Config {
                uds_allowed_uids: "0".to_owned(),
                uds_allowed_gids: "1".to_owned(),
                ..Config::default()
            },
            2,
        ),
        (
            Config {
                uds_allowed_uids: "root".to_owned(),
                uds_allowed_gids: "1 2, -1".to_owned(),
                ..uds.clone()
            },
            2,
        ),
        (Config { tls_certificate: file(), tls_key: file(), listen: String::new(), ..uds.clone() }, 1),
        (Config { tls_handshake_ms: 0, credentials_poll_ms: 0, ..Config::default() }, 2),
    ] {
        let ConfigError::Values(found) = config.check().unwrap_err() else { panic!("values are wrong") };
        assert_eq!(found.len(), wrong, "{found:?}");
    }
    let good = Config {
        uds_access: UdsAccess::All,
        uds_allowed_uids: " 0,65532 ,".to_owned(),
        uds_token_exempt: true,
        token_file: file(),
        ..uds
    };
    good.check().unwrap();
    assert_eq!(good.allowed_peers().uids, [0, 65532]);
}
