//! Settings: defaults < file < environment < flags, each value with where it came from.
//!
//! Their names, defaults and meaning are the server's; this file only merges. The environment and the file are read here
//! and nowhere else. Invariant (ALL-AT-ONCE): whatever is wrong, in whichever source, is told in one go and with its place:
//! no TOML, a name nobody knows, a value of the wrong type, one that cannot be, values that cannot be together, files that
//! cannot be used. A value that another source overrides is looked at too.

mod file;
mod finding;
mod merge;
mod origin;
mod value;

use std::path::{Path, PathBuf};

use portcullis_server::Config;
use serde_json::{Map, Value};

use crate::args::Settings;
use crate::log::Format;
use file::ConfigFile;
pub(crate) use finding::{Finding, Rejected};
pub(crate) use origin::{Origin, Place};

const VARIABLE_PREFIX: &str = "PORTCULLIS_";
/// The variable that names the configuration file.
const CONFIG_VARIABLE: &str = "PORTCULLIS_CONFIG";
/// Where `serve` tells the command beside it that it listens; the commands that ask a sidecar look there as well.
pub(crate) const ADDRESS_VARIABLE: &str = "PORTCULLIS_ADDRESS";
/// The same for the Unix socket.
pub(crate) const SOCKET_VARIABLE: &str = "PORTCULLIS_SOCKET";
/// The same for the pages.
pub(crate) const HTTP_ADDRESS_VARIABLE: &str = "PORTCULLIS_HTTP_ADDRESS";
/// The settings that are the program's and not the server's.
const LOG: &str = "log";
const LOG_FORMAT: &str = "log_format";

/// One setting as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// `null` when unset.
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// All settings, read and typed.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// What the server is run with.
    pub(crate) server: Config,
    /// What is logged.
    pub(crate) log: String,
    /// How.
    pub(crate) log_format: Format,
    /// The same by name, for `config --effective`.
    pub(crate) entries: Vec<Entry>,
}

/// What a configuration is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose<'d> {
    /// To serve, on this directory when it is given on the command line.
    Serve(Option<&'d Path>),
    /// To be shown.
    Show,
    /// For another machine, whose files are not here.
    Elsewhere,
}

impl Configuration {
    /// Reads the file, this process's environment and the flags.
    pub(crate) fn read(settings: &Settings, purpose: Purpose<'_>) -> Result<Self, Rejected> {
        let variables = variables();
        let of_variable = variables.iter().find(|(name, _)| name == CONFIG_VARIABLE);
        let of_variable =
            of_variable.map(|(name, path)| (PathBuf::from(path), Origin::Environment(name.clone())));
        let of_flag = settings.config.clone().map(|path| (path, Origin::Flag("--config".to_owned())));
        let file = match of_flag.or(of_variable) {
            Some((path, named_by)) => ConfigFile::read(&path, named_by),
            None => ConfigFile::default(),
        };
        let directory = match purpose {
            Purpose::Serve(directory) => directory,
            Purpose::Show | Purpose::Elsewhere => None,
        };
        resolve(file, &variables, flags(settings, directory), purpose)
    }
}

/// Puts the sources together.
fn resolve(
    file: ConfigFile,
    variables: &[(String, String)],
    flags: Vec<Flag>,
    purpose: Purpose<'_>,
) -> Result<Configuration, Rejected> {
    let mut rejected = Rejected::default();
    if let Purpose::Serve(Some(directory)) = purpose
        && directory.to_str().is_none()
    {
        let message = format!("the policy directory `{}` has a name that is not UTF-8", directory.display());
        rejected.findings.push(Finding::new(message, Some(Origin::Flag(flag_of("policy_directory")))));
    }
    let configuration = merge::merge(file, variables, flags, &mut rejected).finish(purpose, &mut rejected);
    match configuration.filter(|_| rejected.findings.is_empty()) {
        Some(configuration) => Ok(configuration),
        None => Err(rejected.in_order()),
    }
}

/// Where this process's environment says that a sidecar listens: the socket, or the address.
pub(crate) fn sidecar_of_environment() -> Option<String> {
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    read(SOCKET_VARIABLE).map(|path| format!("unix:{path}")).or_else(|| read(ADDRESS_VARIABLE))
}

/// The variables of this process that are ours to judge, in the order of their names. A value that is no UTF-8 comes with
/// marks in the place of what is not.
fn variables() -> Vec<(String, String)> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with(VARIABLE_PREFIX))?;
        Some((name, value.to_string_lossy().into_owned()))
    });
    let mut ours: Vec<_> = ours.collect();
    ours.sort_by(|(left, _), (right, _)| left.cmp(right));
    ours
}

/// A setting's name and the text given for it.
type Flag = (&'static str, String);

fn flags(settings: &Settings, directory: Option<&Path>) -> Vec<Flag> {
    let Settings {
        config: _,
        listen,
        http_listen,
        uds,
        tls_certificate,
        tls_key,
        tls_client_ca,
        token_file,
        load_mode,
        startup,
        poll_interval_ms,
        audit_file,
        audit_mode,
        log,
        log_format,
    } = settings;
    let directory = directory.map(|directory| directory.to_string_lossy().into_owned());
    let given = [
        ("policy_directory", directory.as_ref()),
        ("listen", listen.as_ref()),
        ("http_listen", http_listen.as_ref()),
        ("uds", uds.as_ref()),
        ("tls_certificate", tls_certificate.as_ref()),
        ("tls_key", tls_key.as_ref()),
        ("tls_client_ca", tls_client_ca.as_ref()),
        ("token_file", token_file.as_ref()),
        ("load_mode", load_mode.as_ref()),
        ("startup", startup.as_ref()),
        ("poll_interval_ms", poll_interval_ms.as_ref()),
        ("audit_file", audit_file.as_ref()),
        ("audit_mode", audit_mode.as_ref()),
        (LOG, log.as_ref()),
        (LOG_FORMAT, log_format.as_ref()),
    ];
    given.into_iter().filter_map(|(name, text)| Some((name, text?.clone()))).collect()
}

/// Every setting with its default, in the order of the server's documentation.
fn defaults() -> Map<String, Value> {
    let mut defaults = match serde_json::to_value(Config::default()) {
        Ok(Value::Object(defaults)) => defaults,
        _ => Map::new(),
    };
    defaults.insert(LOG.to_owned(), Value::from("info"));
    defaults.insert(LOG_FORMAT.to_owned(), Value::from("auto"));
    defaults
}

/// A configuration file that says what holds anyway, to start from.
pub(crate) fn defaults_file() -> String {
    let mut text = String::from("# Every setting of portcullis with its default.\n");
    for (name, value) in defaults() {
        match value {
            Value::Null => text.push_str(&format!("# {name} = \"\"\n")),
            value => text.push_str(&format!("{name} = {value}\n")),
        }
    }
    text
}

/// Whether a sidecar that finds just these variables would start, as far as values go; files are another machine's.
pub(crate) fn check_variables(variables: &[(String, String)]) -> Result<(), Rejected> {
    resolve(ConfigFile::default(), variables, Vec::new(), Purpose::Elsewhere).map(drop)
}

/// The variable of a setting.
pub(crate) fn variable_of(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase())
}

fn flag_of(name: &str) -> String {
    if name == "policy_directory" { "DIR".to_owned() } else { format!("--{}", name.replace('_', "-")) }
}

#[cfg(test)]
mod tests;
