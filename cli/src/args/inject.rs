//! The flags of `inject`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

/// `inject`.
#[derive(Debug, Args)]
#[command(
    after_help = "Puts the sidecar into the pods of Deployments, StatefulSets, DaemonSets, ReplicaSets, \
ReplicationControllers, Jobs,
CronJobs and Pods, also those in a List, in YAML or JSON. Everything else in the manifests stays byte for byte,
comments included. A manifest that has the sidecar gets it anew, so that twice is once. The report goes to
standard error; at a mistake nothing is written and the exit code is 1.

Each container of a pod gets the socket's volume and PORTCULLIS_SOCKET, the path of the socket.
The annotation portcullis.dev/inject: disabled, on the workload or its pod template, leaves a workload alone.

--uninject takes out what inject put in. A list or mapping without an entry, where one was there before, is left
out where it was written as null, or in JSON; to Kubernetes that is the same.

Examples:
  portcullis inject --policies orders-policies --image registry.example/portcullis:0.1.0 orders.yaml | kubectl apply -f -
  helm template orders ./orders | portcullis inject --policies orders-policies --policies secret/partners > all.yaml
  kubectl get deployment orders -o yaml | portcullis inject --uninject | kubectl apply -f -
  portcullis inject --policies orders-policies --audit-file - --set load_mode=strict --limits memory=64Mi orders.yaml"
)]
pub(crate) struct Inject {
    /// The manifests; `-` is standard input.
    #[arg(value_name = "FILE", default_value = "-", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// Take the sidecar out.
    #[arg(long, conflicts_with_all = ["policies", "image", "no_native", "http_port", "audit_file", "set", "requests", "limits"])]
    pub(crate) uninject: bool,
    /// A ConfigMap with policy files, or `secret/NAME`; together they are one policy directory.
    #[arg(long, value_name = "NAME", required_unless_present = "uninject")]
    pub(crate) policies: Vec<String>,
    /// The sidecar's image [default: portcullis of this version]
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// An ordinary container, for clusters before 1.29: nothing waits for it, and pods of Jobs do not end.
    #[arg(long)]
    pub(crate) no_native: bool,
    /// Port of health and metrics over HTTP; 0 is none, and the probes run `healthcheck`.
    #[arg(long, value_name = "PORT", default_value_t = 8181)]
    pub(crate) http_port: u16,
    /// The sidecar's audit file; `-` is its standard output, and a path is in a volume of its own that goes with the pod.
    #[arg(long, value_name = "FILE")]
    pub(crate) audit_file: Option<String>,
    /// A setting of `serve`, by its name in the configuration file.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// What the sidecar's container requests.
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',', default_values_t = ["cpu=10m".to_owned(), "memory=32Mi".to_owned()])]
    pub(crate) requests: Vec<String>,
    /// What it is limited to.
    #[arg(long, value_name = "NAME=QUANTITY", value_delimiter = ',', default_values_t = ["memory=128Mi".to_owned()])]
    pub(crate) limits: Vec<String>,
}
