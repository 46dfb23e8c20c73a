//! Settings: defaults < file < environment < flags, each value with where it came from.
//!
//! Their names, defaults and meaning are the server's; this file only merges. Every mistake is reported at once, and
//! a name nobody knows is a mistake. The environment and the file are read here and nowhere else.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use portcullis_server::{Config, ConfigError};
use serde_json::{Map, Value};

use crate::args::Settings;
use crate::exit::usage;
use crate::log::Format;

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

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File(PathBuf),
    Environment(String),
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

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

impl Configuration {
    /// Reads the file, this process's environment and the flags.
    pub(crate) fn read(settings: &Settings, directory: Option<&Path>) -> anyhow::Result<Self> {
        let mut variables = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Some(name) = name.to_str().filter(|name| name.starts_with("PORTCULLIS_")) else { continue };
            let value = value.into_string().map_err(|_| usage(format!("{name} is not UTF-8")))?;
            variables.push((name.to_owned(), value));
        }
        let of_variable = variables.iter().find(|(name, _)| name == CONFIG_VARIABLE).map(|(_, value)| value);
        let path = settings.config.clone().or_else(|| of_variable.map(PathBuf::from));
        let file = match &path {
            Some(path) => read_file(path)?,
            None => toml::Table::new(),
        };
        let file = File { path: path.unwrap_or_default(), values: file };
        resolve(flags(settings, directory), &variables, file)
    }
}

/// Where this process's environment says that a sidecar listens: the socket, or the address.
pub(crate) fn sidecar_of_environment() -> Option<String> {
    let read = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    read(SOCKET_VARIABLE).map(|path| format!("unix:{path}")).or_else(|| read(ADDRESS_VARIABLE))
}

struct File {
    path: PathBuf,
    values: toml::Table,
}

/// A setting's name and the text given for it.
type Given = (&'static str, String);

fn read_file(path: &Path) -> anyhow::Result<toml::Table> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().map_err(|error: toml::de::Error| usage(format!("{}: {error}", path.display())))
}

fn flags(settings: &Settings, directory: Option<&Path>) -> Vec<Given> {
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

/// Puts the four sources together; pure.
fn resolve(flags: Vec<Given>, variables: &[(String, String)], file: File) -> anyhow::Result<Configuration> {
    let File { path, mut values } = file;
    let defaults = defaults();
    let mut mistakes = unknown_variables(variables, &defaults);
    let mut entries = Vec::with_capacity(defaults.len());
    for (name, default) in &defaults {
        let of_file = values.remove(name);
        let variable = variable_of(name);
        let of_variable = variables.iter().find(|(given, _)| *given == variable);
        let (value, origin) = if let Some((_, text)) = flags.iter().find(|(given, _)| given == name) {
            (of_text(text, default), Origin::Flag(flag_of(name)))
        } else if let Some((_, text)) = of_variable {
            (of_text(text, default), Origin::Environment(variable))
        } else if let Some(value) = of_file {
            (of_toml(value), Origin::File(path.clone()))
        } else {
            (default.clone(), Origin::Default)
        };
        let entry = Entry { name: name.clone(), value, origin };
        mistakes.extend(mistake(&entry));
        entries.push(entry);
    }
    mistakes.extend(values.keys().map(|name| {
        let names: Vec<_> = defaults.keys().map(String::as_str).collect();
        format!("{}: `{name}` is not a setting; the settings are {}", path.display(), names.join(", "))
    }));
    checked(entries, mistakes)
}

/// Whether a sidecar that finds just these variables would start, as far as settings go.
pub(crate) fn check_variables(variables: &[(String, String)]) -> anyhow::Result<()> {
    let file = File { path: PathBuf::new(), values: toml::Table::new() };
    resolve(Vec::new(), variables, file).map(drop)
}

/// The variable of a setting.
pub(crate) fn variable_of(name: &str) -> String {
    format!("PORTCULLIS_{}", name.to_ascii_uppercase())
}

fn flag_of(name: &str) -> String {
    if name == "policy_directory" { "DIR".to_owned() } else { format!("--{}", name.replace('_', "-")) }
}

/// Text as the type that the default has; text that is not of it stays text and is found to be wrong later.
fn of_text(text: &str, default: &Value) -> Value {
    let read = match default {
        Value::Number(_) => text.parse::<u64>().ok().map(Value::from),
        Value::Bool(_) => text.parse::<bool>().ok().map(Value::from),
        Value::Null if text.is_empty() => Some(Value::Null),
        _ => None,
    };
    read.unwrap_or_else(|| Value::from(text))
}

fn of_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text),
        toml::Value::Integer(number) => Value::from(number),
        toml::Value::Boolean(value) => Value::from(value),
        other => Value::from(other.to_string()),
    }
}

/// Whether the server takes this value for this setting.
fn mistake(entry: &Entry) -> Option<String> {
    let Entry { name, value, origin } = entry;
    let error = if name == LOG {
        let filter = value.as_str().map(tracing_subscriber::EnvFilter::try_new)?;
        filter.err().map(|error| error.to_string())?
    } else if name == LOG_FORMAT {
        Format::read(value.as_str()?).err()?
    } else {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<Config>(Value::Object(alone)).err()?.to_string()
    };
    Some(format!("`{name}` is {value} ({origin}): {error}"))
}

/// Variables that no setting reads. Those that Kubernetes sets for a Service whose name begins with `portcullis`
/// are not ours to judge.
fn unknown_variables(variables: &[(String, String)], defaults: &Map<String, Value>) -> Vec<String> {
    let ours = [CONFIG_VARIABLE, ADDRESS_VARIABLE, SOCKET_VARIABLE, HTTP_ADDRESS_VARIABLE];
    let known = |name: &str| ours.contains(&name) || defaults.keys().any(|key| variable_of(key) == name);
    let unknown = variables.iter().filter(|(name, value)| !known(name) && !of_kubernetes(name, value));
    unknown.map(|(name, _)| format!("environment: `{name}` is not a setting")).collect()
}

fn of_kubernetes(name: &str, value: &str) -> bool {
    let port_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.split_once("_PORT_").is_some_and(|(_, part)| port_number(part))
}

/// The whole configuration, or all mistakes.
fn checked(entries: Vec<Entry>, mut mistakes: Vec<String>) -> anyhow::Result<Configuration> {
    let mut members: Map<_, _> =
        entries.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect();
    let log = members.remove(LOG).as_ref().and_then(Value::as_str).unwrap_or_default().to_owned();
    let log_format = members.remove(LOG_FORMAT);
    let log_format = log_format.as_ref().and_then(Value::as_str).unwrap_or("auto");
    if mistakes.is_empty() {
        let server: Config = serde_json::from_value(Value::Object(members))?;
        match server.check() {
            Ok(()) => {
                let log_format = Format::read(log_format).map_err(usage)?;
                return Ok(Configuration { server, log, log_format, entries });
            }
            Err(ConfigError::Values(sentences)) => mistakes = sentences,
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    Err(usage(mistakes.join("\n       ")))
}

#[cfg(test)]
mod tests;
