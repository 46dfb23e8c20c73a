//! One container: a read-only root of its own with the program, the mounts of the pod, and the user that the description
//! names, in the network of its pod.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::Pod;
use crate::guard::{Guarded, child_of, until};
use crate::manifest::Look as _;
use crate::rig::on_path;

/// A container that was started.
#[derive(Debug)]
pub(crate) struct Container {
    description: Value,
    environment: Vec<(String, String)>,
    user: String,
    process: Guarded,
}

impl Container {
    pub(super) fn start(pod: &Pod<'_>, description: Value) -> anyhow::Result<Self> {
        let name = description.text("/name");
        // A name may be started again, and what it said before is worth keeping.
        let count = fs::read_dir(&pod.folder)?.count();
        let root = pod.folder.join(format!("{name}-{count}"));
        fs::create_dir(&root)?;
        let environment = environment(pod, &description)?;
        let (user, groups) = user(pod, &description)?;
        let script = script(pod, &description, &root)?;
        let mut words = vec!["nsenter".to_owned(), format!("--net={}", pod.network.path()?)];
        words.extend(
            ["unshare", "--mount", "--propagation=private", "--pid", "--ipc", "--uts"].map(str::to_owned),
        );
        words.extend(["--fork", "--kill-child=KILL", "sh", "-euc"].map(str::to_owned));
        words.extend([script, name.to_owned(), path_of("env")?, "-i".to_owned()]);
        words.extend(environment.iter().map(|(key, value)| format!("{key}={value}")));
        words.extend([path_of("setpriv")?, "--no-new-privs".to_owned(), path_of("chroot")?]);
        words.extend([
            format!("--userspec={user}"),
            format!("--groups={groups}"),
            root.display().to_string(),
        ]);
        words.extend(command_line(&description, &environment));
        let process = Guarded::start(&words, pod.folder.join(format!("{name}-{count}.log")))?;
        Ok(Self { description, environment, user, process })
    }

    pub(crate) fn name(&self) -> &str {
        self.description.text("/name")
    }

    /// What it wrote to its output and its log.
    pub(crate) fn said(&self) -> String {
        self.process.said()
    }

    /// The process in it, as this machine numbers it.
    pub(crate) fn pid(&self) -> anyhow::Result<u32> {
        // The guard's child became `unshare`, whose child is the first process inside.
        child_of(self.process.pid()?)
    }

    /// Its end: the code and what it said.
    pub(crate) fn ended(self) -> anyhow::Result<(i32, String)> {
        let code = self.process.code()?;
        Ok((code, self.process.said()))
    }

    /// Asks a probe of the description once. No probe succeeds.
    pub(crate) fn probe(&self, which: &str) -> anyhow::Result<bool> {
        let probe = self.description.at(which);
        if probe.at("/httpGet").is_object() {
            let wanted = probe.at("/httpGet/port");
            let port = self.description.list("/ports").iter().find(|port| port.at("/name") == wanted);
            let port = port.map_or(wanted, |port| port.at("/containerPort"));
            return Ok(self
                .page(port.as_u64().context("no port")?, probe.text("/httpGet/path"))?
                .starts_with("HTTP/1.1 200"));
        }
        let command: Vec<&str> = probe.list("/exec/command").iter().filter_map(Value::as_str).collect();
        if command.is_empty() {
            ensure!(probe.is_null(), "no kubelet here knows the probe {probe}");
            return Ok(true);
        }
        Ok(self.exec(&command)?.0 == 0)
    }

    /// Waits until its process is the program, and no longer what prepares its place.
    pub(super) fn until_started(&self) -> anyhow::Result<()> {
        let started = until(&format!("{} is started", self.name()), || {
            if let Some(code) = self.process.try_code()? {
                bail!("{} ended with {code}", self.name());
            }
            Ok((self.kernel_says("Name")? == "portcullis").then_some(()))
        });
        started.with_context(|| self.process.last_words())
    }

    pub(crate) fn until_probed(&self, which: &str) -> anyhow::Result<()> {
        let looked = until(&format!("{which} of {} succeeds", self.name()), || {
            if let Some(code) = self.process.try_code()? {
                bail!("{} ended with {code}", self.name());
            }
            Ok(self.probe(which)?.then_some(()))
        });
        looked.with_context(|| self.process.last_words())
    }

    /// The answer of its HTTP server, head and body; empty when nobody listens.
    pub(crate) fn page(&self, port: u64, path: &str) -> anyhow::Result<String> {
        let ask = format!(
            "exec 3<>/dev/tcp/127.0.0.1/{port} && printf 'GET {path} HTTP/1.1\\r\\nhost: pod\\r\\nconnection: close\\r\\n\\r\\n' >&3 && cat <&3"
        );
        let mut command = Command::new("nsenter");
        command.args([
            format!("--net=/proc/{}/ns/net", self.process.pid()?),
            "bash".to_owned(),
            "-c".to_owned(),
            ask,
        ]);
        Ok(String::from_utf8_lossy(&command.output()?.stdout).into_owned())
    }

    /// Runs a command in it, as a probe or a person would: the code and what it said.
    pub(crate) fn exec(&self, command: &[&str]) -> anyhow::Result<(i32, String)> {
        let pid = self.pid()?;
        let (user, group) = self.user.split_once(':').context("no group")?;
        let mut inside = Command::new(path_of("nsenter")?);
        inside.env_clear().envs(self.environment.iter().cloned());
        inside.args([
            format!("--target={pid}"),
            "--mount".to_owned(),
            "--pid".to_owned(),
            "--net".to_owned(),
        ]);
        inside.args(["--ipc", "--root", "--wd"]);
        inside.args([format!("--setgid={group}"), format!("--setuid={user}"), "--".to_owned()]).args(command);
        let output = inside.output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
    }

    /// Tells it to end and waits until it has: the code.
    pub(crate) fn terminate(&self) -> anyhow::Result<i32> {
        let killed = Command::new("kill").arg("-TERM").arg(self.pid()?.to_string()).status()?;
        ensure!(killed.success(), "it cannot be told to end");
        self.process.code()
    }

    /// A line of what the kernel says of its process.
    pub(crate) fn kernel_says(&self, name: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        Ok(line.with_context(|| format!("no {name}"))?.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The options of a mount of its own, as the kernel has them.
    pub(crate) fn mount_options(&self, place: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/mountinfo", self.pid()?))?;
        let mounts = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut options =
            mounts.filter(|words| words.get(4) == Some(&place)).filter_map(|words| words.get(5).copied());
        Ok(options.next_back().with_context(|| format!("nothing is mounted at {place}"))?.to_owned())
    }

    /// Resident bytes of its process.
    pub(crate) fn resident(&self) -> anyhow::Result<u64> {
        let kibibytes = self.kernel_says("VmRSS")?;
        Ok(kibibytes.trim_end_matches(" kB").parse::<u64>()? << 10)
    }
}

fn path_of(program: &str) -> anyhow::Result<String> {
    Ok(on_path(program).with_context(|| format!("there is no {program}"))?.display().to_string())
}

/// Variables as the description has them, and those that a runtime sets.
fn environment(pod: &Pod<'_>, description: &Value) -> anyhow::Result<Vec<(String, String)>> {
    let mut all = vec![
        ("PATH".to_owned(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("HOSTNAME".to_owned(), pod.stored.name().to_owned()),
    ];
    for entry in description.list("/env") {
        let value = match entry.text("/valueFrom/fieldRef/fieldPath") {
            "" if entry.at("/valueFrom").is_null() => expanded(entry.text("/value"), &all),
            "metadata.name" => pod.stored.name().to_owned(),
            "metadata.namespace" => pod.stored.text("/metadata/namespace").to_owned(),
            _ => bail!("no kubelet here knows {entry}"),
        };
        all.push((entry.text("/name").to_owned(), value));
    }
    Ok(all)
}

/// Puts variables into a text where it says `$(NAME)`.
fn expanded(text: &str, environment: &[(String, String)]) -> String {
    let known: BTreeMap<&str, &str> =
        environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    known.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("$({key})"), value))
}

/// The command, or else the entry point of the image, with its arguments.
fn command_line(description: &Value, environment: &[(String, String)]) -> Vec<String> {
    let of = |pointer: &str| -> Vec<String> {
        let words = description.list(pointer).iter().filter_map(Value::as_str);
        words.map(|word| expanded(word, environment)).collect()
    };
    let command = of("/command");
    let command = if command.is_empty() { vec!["/portcullis".to_owned()] } else { command };
    [command, of("/args")].concat()
}

/// `UID:GID` and the further groups; a container's own word counts before its pod's.
fn user(pod: &Pod<'_>, description: &Value) -> anyhow::Result<(String, String)> {
    let pointer = "/spec/securityContext";
    let of = |field: &str| {
        let own = description.at("/securityContext").at(field).as_u64();
        own.or_else(|| pod.stored.at(pointer).at(field).as_u64())
    };
    let (user, group) = (of("/runAsUser"), of("/runAsGroup"));
    let user = format!("{}:{}", user.context("no user")?, group.context("no group")?);
    let mut groups: Vec<u64> = pod.stored.at(pointer).at("/fsGroup").as_u64().into_iter().collect();
    groups.extend(pod.stored.at(pointer).list("/supplementalGroups").iter().filter_map(Value::as_u64));
    let groups: Vec<String> = groups.iter().map(u64::to_string).collect();
    Ok((user, groups.join(",")))
}

/// Quotes a word for a shell.
fn quoted(word: impl std::fmt::Display) -> String {
    format!("'{}'", word.to_string().replace('\'', r"'\''"))
}

/// The shell that builds the root in namespaces of its own and then becomes its arguments.
fn script(pod: &Pod<'_>, description: &Value, root: &std::path::Path) -> anyhow::Result<String> {
    let at = |path: &str| quoted(root.join(path.trim_start_matches('/')).display());
    let mut lines = vec![format!("mount -t tmpfs -o mode=755 tmpfs {}", at(""))];
    lines.push(format!("mkdir -p {} {} {}", at("proc"), at("dev"), at("etc")));
    lines.push(format!("mount -t proc -o nosuid,nodev,noexec proc {}", at("proc")));
    for device in ["null", "zero", "random", "urandom"] {
        lines.push(format!("touch {0}; mount --bind /dev/{device} {0}", at(&format!("dev/{device}"))));
    }
    // The program of this build is no static one: it needs the libraries of this machine.
    for folder in ["lib", "lib64", "usr/lib", "usr/lib64"] {
        let own = at(folder);
        lines.push(format!(
            "if [ -L /{folder} ]; then cp -P /{folder} {own}; elif [ -d /{folder} ]; then mkdir -p {own}; mount --bind -o ro /{folder} {own}; fi"
        ));
    }
    let program = quoted(pod.node.program.display());
    lines.push(format!("touch {0}; mount --bind -o ro {program} {0}", at("portcullis")));
    let hosts = hosts(pod)?;
    lines.push(format!("printf %s {} > {}", quoted(hosts), at("etc/hosts")));
    let mut mounts: Vec<&Value> = description.list("/volumeMounts").iter().collect();
    mounts.sort_by_key(|mount| mount.text("/mountPath").len());
    for mount in mounts {
        let place = at(mount.text("/mountPath"));
        let volume = quoted(pod.volume(mount.text("/name"))?.display());
        lines.push(format!("mkdir -p {place}; mount --bind {volume} {place}"));
        if mount.is("/readOnly", true) {
            lines.push(format!("mount -o remount,bind,ro {place}"));
        }
    }
    if description.is("/securityContext/readOnlyRootFilesystem", true) {
        lines.push(format!("mount -o remount,ro {}", at("")));
    }
    lines.push(r#"exec "$@""#.to_owned());
    Ok(lines.join("\n"))
}

/// Every Service of the namespace, in the place of the cluster's DNS.
fn hosts(pod: &Pod<'_>) -> anyhow::Result<String> {
    let namespace = &pod.node.namespace;
    let services = pod.node.cluster.get(&format!("/api/v1/namespaces/{namespace}/services"))?;
    let mut lines = vec!["127.0.0.1 localhost".to_owned()];
    for service in services.list("/items") {
        let name = service.text("/metadata/name");
        lines.push(format!(
            "127.0.0.1 {name} {name}.{namespace} {name}.{namespace}.svc {name}.{namespace}.svc.cluster.local"
        ));
    }
    Ok(lines.join("\n") + "\n")
}
