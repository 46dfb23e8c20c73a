//! The flags of `inject`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

/// `inject`.
#[derive(Debug, Args)]
#[command(
    after_help = "Puts the sidecar into the pods of Deployments, StatefulSets, DaemonSets, ReplicaSets, \
ReplicationControllers, Jobs,
CronJobs and Pods, also those in a List, in YAML or JSON. Everything else in the manifests stays byte for byte,
comments included. A manifest that has the sidecar gets it anew, so that twice is once. The report goes to
standard error; at a mistake nothing is written and the exit code is 1.

Each container of a pod, init containers too, gets the socket's volume and PORTCULLIS_SOCKET, the path of the socket.
The annotation portcullis.dev/inject: disabled, on the workload or its pod template, leaves a workload alone.

--uninject takes out what inject put in. A list or mapping without an entry, where one was there before, is left
out where it was written as null, or in JSON; to Kubernetes that is the same.

Examples:
  portcullis inject --policies orders-policies --image registry.example/portcullis:0.1.0 orders.yaml | kubectl apply -f -
  helm template orders ./orders | portcullis inject --policies orders-policies --policies secret/partners > all.yaml
  kubectl get deployment orders -o yaml | portcullis inject --uninject | kubectl apply -f -
  portcullis inject --policies orders-policies --audit stdout --set load_mode=strict --limits memory=64Mi orders.yaml"
)]
pub(crate) struct Inject {
    /// The manifests; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Take the sidecar out.
    #[arg(long, conflicts_with_all = ["policies", "image", "no_native", "http_port", "audit", "set", "requests", "limits"])]
    pub(crate) uninject: bool,
    /// A ConfigMap with policy files, or `secret/NAME`; several are folders of one policy directory.
    #[arg(long, value_name = "NAME", required_unless_present = "uninject")]
    pub(crate) policies: Vec<String>,
    /// The sidecar's image [default: portcullis with the tag of this version]
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// An ordinary container, for clusters before 1.29: nothing waits for it, and a Job would not end.
    #[arg(long)]
    pub(crate) no_native: bool,
    /// Serve health and metrics over HTTP on this port of the pod, which gets the label portcullis.dev/sidecar for the
    /// chart's PodMonitor; 0 is no, and the probes ask over the socket.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) http_port: u16,
    /// Where the sidecar records every decision.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) audit: InjectAudit,
    /// A setting of `serve`, by its name in the configuration file.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// What the sidecar's container requests, besides or instead of cpu=10m,memory=32Mi; `cpu=` is none.
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub(crate) requests: Vec<String>,
    /// What it is limited to, besides or instead of cpu=1,memory=128Mi; `cpu=` is none.
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',')]
    pub(crate) limits: Vec<String>,
}

/// Where an injected sidecar records decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum InjectAudit {
    /// Nowhere.
    #[default]
    None,
    /// On its standard output.
    Stdout,
    /// In a file on a volume that goes with the pod.
    File,
}
