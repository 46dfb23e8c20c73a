//! Four sources -> one value for each setting, and everything that is wrong with any of them.
//!
//! Reads nothing by itself, except the files that the merged configuration names. A setting whose value cannot be stands
//! at its default in what follows, and nothing more is said of it: one mistake is told once.

use std::collections::BTreeSet;

use portcullis_server::{Config, ConfigError, Telemetry};
use serde_json::{Map, Value};

use super::file::{ConfigFile, Member};
use super::{
    ADDRESS_VARIABLE, CONFIG_VARIABLE, Configuration, Entry, Finding, Flag, HTTP_ADDRESS_VARIABLE, LOG,
    LOG_FORMAT, Origin, Purpose, Rejected, SOCKET_VARIABLE, VARIABLE_PREFIX, defaults, flag_of, value,
    variable_of,
};
use crate::log::Format;

/// What one source gives for one setting.
#[derive(Debug)]
struct Given {
    /// None when it is of a kind that no setting has.
    value: Option<Value>,
    shown: String,
    origin: Origin,
    /// Something is wrong with it, and said.
    wrong: bool,
}

/// The sources merged.
#[derive(Debug)]
pub(super) struct Merged {
    entries: Vec<Entry>,
    /// Settings whose value cannot be.
    unsound: BTreeSet<String>,
}

/// Everything that the sources give, by name; those that count more come later.
struct Sources {
    defaults: Map<String, Value>,
    given: Vec<(String, Given)>,
    findings: Vec<Finding>,
}

/// Puts the sources together. What is wrong with a name or with a value alone goes to `rejected`.
pub(super) fn merge(
    file: ConfigFile,
    variables: &[(String, String)],
    flags: Vec<Flag>,
    rejected: &mut Rejected,
) -> Merged {
    let mut sources = Sources { defaults: defaults(), given: Vec::new(), findings: file.findings };
    sources.take_file(file.members);
    sources.take_environment(variables);
    for (name, text) in flags {
        sources.take_text(name, &text, Origin::Flag(flag_of(name)));
    }
    sources.judge();
    rejected.text = file.text;
    rejected.findings.append(&mut sources.findings);
    sources.merged()
}

impl Sources {
    fn take_file(&mut self, members: Vec<Member>) {
        for Member { name, value, shown, name_at, value_at, doubtful } in members {
            match self.defaults.get(&name) {
                Some(default) => {
                    // As with a variable, an empty text says that there is none.
                    let unset = default.is_null() && value.as_ref().and_then(Value::as_str) == Some("");
                    let value = if unset { Some(Value::Null) } else { value };
                    self.given.push((name, Given { value, shown, origin: value_at, wrong: doubtful }));
                }
                None if doubtful => {}
                None => {
                    // A section is not a setting that was misspelled.
                    let names = self.defaults.keys().map(String::as_str).filter(|_| value.is_some());
                    let similar = value::similar(&name, names).map(str::to_owned);
                    self.unknown(&name, similar, name_at);
                }
            }
        }
    }

    /// Variables that no setting reads are mistakes, except those that Kubernetes sets for a Service whose name begins
    /// with `portcullis`.
    fn take_environment(&mut self, variables: &[(String, String)]) {
        const OTHERS: [&str; 4] = [CONFIG_VARIABLE, ADDRESS_VARIABLE, SOCKET_VARIABLE, HTTP_ADDRESS_VARIABLE];
        let mut last = "";
        for (variable, text) in variables {
            let origin = Origin::Environment(variable.clone());
            if variable == last {
                let message = format!("`{variable}` stands twice in the environment");
                self.findings.push(Finding::new(message, Some(origin.clone())));
            }
            last = variable;
            let name = self.defaults.keys().find(|name| variable_of(name) == *variable).cloned();
            match name {
                Some(name) => self.take_text(&name, text, origin),
                None if OTHERS.contains(&variable.as_str()) || of_kubernetes(variable, text) => {}
                None => {
                    let bare = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or(variable);
                    let similar =
                        value::similar(bare, self.defaults.keys().map(String::as_str)).map(variable_of);
                    self.unknown(variable, similar, origin);
                }
            }
        }
    }

    fn take_text(&mut self, name: &str, text: &str, origin: Origin) {
        let Some(default) = self.defaults.get(name) else { return };
        let shown = Value::from(text).to_string();
        let value = Some(value::of_text(text, default));
        self.given.push((name.to_owned(), Given { value, shown, origin, wrong: false }));
    }

    fn unknown(&mut self, name: &str, similar: Option<String>, origin: Origin) {
        let help = match similar {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => "`portcullis config` prints every setting; there are no sections".to_owned(),
        };
        let finding = Finding::new(format!("`{name}` is not a setting"), Some(origin));
        self.findings.push(finding.with_help(help));
    }

    /// Every value alone: those of the wrong type, and those that cannot be whatever the others are.
    fn judge(&mut self) {
        let Self { defaults, given, findings } = self;
        for (name, given) in given.iter_mut().filter(|(_, given)| !given.wrong) {
            let Some(default) = defaults.get(name) else { continue };
            let messages = match value::mistake(name, given.value.as_ref(), default) {
                Some(wanted) => vec![format!("`{name}` is {}, and {wanted}", given.shown)],
                None => alone(name, given.value.as_ref()),
            };
            given.wrong = !messages.is_empty();
            findings.extend(
                messages.into_iter().map(|message| Finding::new(message, Some(given.origin.clone()))),
            );
        }
    }

    fn merged(self) -> Merged {
        let Self { defaults, mut given, .. } = self;
        let (mut entries, mut unsound) = (Vec::with_capacity(defaults.len()), BTreeSet::new());
        for (name, default) in defaults {
            let last = given.iter().rposition(|(of, _)| *of == name).map(|at| given.remove(at).1);
            let (value, origin) = match last {
                Some(Given { value: Some(value), origin, wrong: false, .. }) => (value, origin),
                Some(Given { origin, .. }) => {
                    unsound.insert(name.clone());
                    (default, origin)
                }
                None => (default, Origin::Default),
            };
            entries.push(Entry { name, value, origin });
        }
        Merged { entries, unsound }
    }
}

/// What the server has against one value, whatever the others are.
fn alone(name: &str, value: Option<&Value>) -> Vec<String> {
    if [LOG, LOG_FORMAT].contains(&name) {
        return Vec::new();
    }
    let config = Map::from_iter([(name.to_owned(), value.cloned().unwrap_or_default())]);
    let Ok(config) = serde_json::from_value::<Config>(Value::Object(config)) else { return Vec::new() };
    let findings = of_server(&config).into_iter().filter(|finding| finding.settings == [name]);
    findings.map(|finding| finding.message).collect()
}

fn of_server(config: &Config) -> Vec<portcullis_server::Finding> {
    match config.check() {
        Err(ConfigError::Values(findings)) => findings,
        Ok(()) | Err(ConfigError::Text(_)) => Vec::new(),
    }
}

fn of_kubernetes(name: &str, value: &str) -> bool {
    let port_number = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && value.contains("://"))
        || name.split_once("_PORT_").is_some_and(|(_, part)| port_number(part))
}

impl Merged {
    /// The configuration, and what is wrong with it as a whole: values that cannot be together, files that cannot be used,
    /// and what else a start needs.
    pub(super) fn finish(self, purpose: Purpose<'_>, rejected: &mut Rejected) -> Option<Configuration> {
        let text_of =
            |name: &str| self.entry(name).and_then(|entry| entry.value.as_str()).unwrap_or_default();
        let (log, log_format) = (text_of(LOG).to_owned(), Format::read(text_of(LOG_FORMAT)).ok()?);
        let ours = |name: &str| [LOG, LOG_FORMAT].contains(&name);
        let members = self.entries.iter().filter(|entry| !ours(&entry.name));
        let members = members.map(|entry| (entry.name.clone(), entry.value.clone())).collect();
        let server: Config = serde_json::from_value(Value::Object(members)).ok()?;
        let together = of_server(&server).into_iter().filter(|finding| finding.settings.len() > 1);
        let of_files = if purpose == Purpose::Elsewhere { Vec::new() } else { server.check_files() };
        let whole = together.chain(of_files).filter(|finding| self.is_new(finding));
        rejected.findings.extend(whole.map(|finding| self.with_places(finding)));
        if matches!(purpose, Purpose::Serve(_)) {
            if server.policy_directory.is_none() && !self.unsound.contains("policy_directory") {
                let message = "no policy directory: give DIR or set `policy_directory`";
                rejected.findings.push(Finding::new(message, None));
            }
            let of_telemetry = Telemetry::check_environment().into_iter();
            rejected.findings.extend(of_telemetry.map(|(variable, message)| {
                Finding::new(message, Some(Origin::Environment(variable.to_owned())))
            }));
        }
        Some(Configuration { server, log, log_format, entries: self.entries })
    }

    fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Not a consequence of what is said already.
    fn is_new(&self, finding: &portcullis_server::Finding) -> bool {
        !finding.settings.iter().any(|name| self.unsound.contains(*name))
    }

    /// The first setting that somebody gave is the one to mend.
    fn with_places(&self, finding: portcullis_server::Finding) -> Finding {
        let given = finding.settings.iter().filter_map(|name| {
            let origin = &self.entry(name)?.origin;
            (*origin != Origin::Default).then(|| (*name, origin.clone()))
        });
        let mut given = given.collect::<Vec<_>>().into_iter();
        let first = given.next().map(|(_, origin)| origin);
        let related = given.map(|(name, origin)| (format!("`{name}` is set here"), origin)).collect();
        Finding { related, ..Finding::new(finding.message, first) }
    }
}
