//! `config` and bad configurations: which source wins, and the exact text about everything that is wrong.
//!
//! `tests/configurations/NAME.toml` is a configuration file that cannot be; comment lines at its beginning set variables
//! (`# env NAME=VALUE`) and flags (`# flag --NAME VALUE`), and `NAME.txt` is what is told about them.
//! `PORTCULLIS_BLESS=1 cargo test -p portcullis configuration` writes the texts anew.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{GOOD, Run, directory, finish, program, run, text};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configurations")
}

fn names(extension: &str) -> BTreeSet<String> {
    let files = fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Runs `arguments` on a configuration of the corpus, in a directory with that file alone.
fn run_on(name: &str, arguments: &[&str]) -> Run {
    let file = format!("{name}.toml");
    let place = tempfile::tempdir().unwrap();
    let content = fs::read_to_string(corpus().join(&file)).unwrap();
    fs::write(place.path().join(&file), &content).unwrap();
    let mut command = program();
    command.current_dir(place.path()).env("COLUMNS", "140").args(arguments).args(["--config", &file]);
    for line in content.lines().map_while(|line| line.strip_prefix("# ")) {
        if let Some((name, value)) = line.strip_prefix("env ").and_then(|line| line.split_once('=')) {
            command.env(name, value);
        } else if let Some((flag, value)) = line.strip_prefix("flag ").and_then(|line| line.split_once(' ')) {
            command.args([flag, value]);
        }
    }
    finish(command, "")
}

#[test]
fn each_bad_configuration_reads_as_recorded() {
    let bless = std::env::var_os("PORTCULLIS_BLESS").is_some();
    let mut wrong = Vec::new();
    for name in names("toml") {
        let shown = run_on(&name, &["config", "--effective"]);
        assert_eq!((shown.code, shown.out.as_str()), (64, ""), "{name}: {}", shown.err);
        let recorded = corpus().join(format!("{name}.txt"));
        if bless {
            fs::write(recorded, shown.err).unwrap();
        } else if fs::read_to_string(&recorded).unwrap_or_default() != shown.err {
            wrong.push(format!("{name}:\n{}", shown.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    if !bless {
        assert_eq!(
            names("toml"),
            names("txt"),
            "a configuration without a text, or a text without a configuration"
        );
    }
}

#[test]
fn serve_tells_the_same_before_anything_listens() {
    let shown = run_on("everything-at-once", &["config", "--effective"]);
    let policies = directory(GOOD);
    let served = run_on("everything-at-once", &["serve", text(policies.path())]);
    assert_eq!((served.code, served.out.as_str()), (64, ""));
    assert_eq!(served.err, shown.err);
    // What only a start needs comes with the rest.
    let served = run_on("everything-at-once", &["serve"]);
    assert_eq!(served.code, 64);
    assert!(
        served.err.contains("error: no policy directory: give DIR or set `policy_directory`"),
        "{}",
        served.err
    );
}

#[test]
fn programs_get_the_same_as_an_object() {
    let shown = run_on("everything-at-once", &["config", "--effective"]);
    let told = run_on("everything-at-once", &["config", "--effective", "--output", "json"]);
    assert_eq!((told.code, told.out.as_str()), (64, ""));
    let error: Value = serde_json::from_str::<Value>(&told.err).unwrap()["Error"].take();
    assert_eq!(error["Code"], "ConfigurationRejected");
    let findings = error["Diagnostics"].as_array().unwrap();
    assert_eq!(findings.len(), shown.err.lines().filter(|line| line.starts_with("error: ")).count());
    assert!(findings.len() >= 10, "{}", findings.len());
    for finding in findings {
        let message = finding["Message"].as_str().unwrap();
        assert!(shown.err.contains(message), "{message}");
        let place = match finding["Origin"].as_str().unwrap() {
            "file" => {
                format!("{}:{}:{}", finding["File"].as_str().unwrap(), finding["Line"], finding["Column"])
            }
            "environment" => format!("environment {}", finding["Variable"].as_str().unwrap()),
            "flag" => format!("flag {}", finding["Flag"].as_str().unwrap()),
            other => panic!("{other}"),
        };
        assert!(shown.err.contains(&format!("--> {place}\n")), "{place}");
    }
}

#[test]
fn each_value_names_its_origin() {
    let directory = tempfile::TempDir::new().unwrap();
    let file = directory.path().join("portcullis.toml");
    fs::write(&file, "listen = '127.0.0.1:1'\npoll_interval_ms = 250\n").unwrap();
    let effective = |more: &[&str]| {
        let mut command = program();
        command.env("PORTCULLIS_CONFIG", &file).env("PORTCULLIS_LISTEN", "127.0.0.1:2");
        command.args(["config", "--effective", "--log", "debug"]).args(more);
        let run = finish(command, "");
        assert_eq!((run.code, run.err.as_str()), (0, ""));
        run.out
    };
    let (shown, path) = (effective(&[]), text(&file));
    for line in [
        "listen = \"127.0.0.1:2\"  # environment PORTCULLIS_LISTEN\n",
        &format!("poll_interval_ms = 250  # file {path}:2:20\n"),
        "log = \"debug\"  # flag --log\n",
        "http_listen = \"127.0.0.1:8181\"  # default\n",
    ] {
        assert!(shown.contains(line), "{line}{shown}");
    }
    let object: Value = serde_json::from_str(&effective(&["--output", "json"])).unwrap();
    let poll = &object["poll_interval_ms"];
    assert_eq!(
        (&poll["Value"], &poll["Origin"], &poll["Line"], &poll["Column"]),
        (&Value::from(250), &Value::from("file"), &Value::from(2), &Value::from(20))
    );
    assert_eq!(object["listen"]["Variable"], "PORTCULLIS_LISTEN");
}

#[test]
fn a_configuration_file_that_cannot_be_read_is_a_bad_value() {
    let wrong = run(&["config", "--effective", "--config", "/nonexistent.toml", "--log", "=="]);
    assert_eq!(wrong.code, 64);
    assert!(wrong.err.contains("cannot read the configuration file `/nonexistent.toml`"), "{}", wrong.err);
    assert!(
        wrong.err.contains("--> flag --config\n") && wrong.err.contains("--> flag --log\n"),
        "{}",
        wrong.err
    );
    assert_eq!(run(&["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:1"]).code, 64);
}

#[test]
fn the_chart_sets_every_setting_in_one_way() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../helm/portcullis");
    let schema = fs::read_to_string(chart.join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let free = schema["properties"]["config"]["properties"].as_object().unwrap();
    let template = fs::read_to_string(chart.join("templates/_container.tpl")).unwrap();

    let printed = run(&["config"]).out;
    let settings = printed.lines().filter_map(|line| line.trim_start_matches("# ").split_once(" = "));
    let settings: BTreeSet<&str> = settings.map(|(name, _)| name).collect();
    assert!(settings.len() > 50, "{printed}");
    for name in settings.iter().filter(|name| **name != "policy_directory") {
        let decided = template.lines().any(|line| line.starts_with(&format!("{name}: ")));
        assert!(decided != free.contains_key(*name), "{name}: set by the template is {decided}");
    }
    let unknown: Vec<_> = free.keys().filter(|name| !settings.contains(name.as_str())).collect();
    assert_eq!(unknown, [] as [&String; 0], "the schema has settings that the process has not");
}

#[test]
fn a_directory_whose_name_is_not_utf_8_is_told_of() {
    use std::os::unix::ffi::OsStringExt as _;
    let name = std::ffi::OsString::from_vec(b"policies\xff".to_vec());
    let mut command = program();
    command.arg("serve").arg(name);
    let run = finish(command, "");
    assert_eq!(run.code, 64, "{}", run.err);
    assert!(run.err.contains("has a name that is not UTF-8") && run.err.contains("flag DIR"), "{}", run.err);
}
