//! `config`: which source wins, and that it says so.

use crate::program::{finish, program, run, text};

#[test]
fn each_value_names_its_origin() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("portcullis.toml");
    std::fs::write(&file, "listen = '127.0.0.1:1'\npoll_interval_ms = 250\n").unwrap();
    let mut command = program();
    command.env("PORTCULLIS_CONFIG", &file).env("PORTCULLIS_LISTEN", "127.0.0.1:2");
    command.args(["config", "--effective", "--log", "debug"]);
    let run = finish(command, "");
    assert_eq!((run.code, run.err.as_str()), (0, ""));
    let path = text(&file);
    for line in [
        "listen = \"127.0.0.1:2\"  # environment PORTCULLIS_LISTEN\n",
        &format!("poll_interval_ms = 250  # file {path}\n"),
        "log = \"debug\"  # flag --log\n",
        "http_listen = \"127.0.0.1:8181\"  # default\n",
    ] {
        assert!(run.out.contains(line), "{line}{}", run.out);
    }
}

#[test]
fn unknown_names_are_usage_errors() {
    let mut command = program();
    command.env("PORTCULLIS_LISTN", "x").args(["config", "--effective"]);
    let wrong = finish(command, "");
    assert_eq!((wrong.code, wrong.out.as_str()), (64, ""));
    assert!(wrong.err.contains("`PORTCULLIS_LISTN` is not a setting"), "{}", wrong.err);
    assert_eq!(run(&["config", "--config", "/nonexistent.toml"]).code, 1);
}
