//! The checks of the Helm chart, as one list of trials. A check that lacks a program or a right ends as ignored with the
//! reason; where everything has to be there (`PORTCULLIS_CHECKS=all`, as the full verification sets it) as failed. Only what
//! nobody is asked to have (`Spared`) is ignored there too.

mod alerts;
mod authority;
mod case;
mod cluster;
mod guard;
mod inject;
mod judge;
mod kubelet;
mod life;
mod manifest;
mod pods;
mod render;
mod rig;
mod rules;
mod schema;
mod settings;
mod values;

use std::process::ExitCode;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::case::Case;
use crate::cluster::Cluster;
use crate::life::Place;
use crate::rig::{Lacking, Rig, Spared};
use crate::schema::{Schemas, VERSIONS};

/// What every trial may use.
struct Stage {
    // Ends before its folder goes.
    cluster: OnceLock<Result<Cluster, String>>,
    rig: Rig,
    cases: Vec<Case>,
    schemas: Vec<Schemas>,
}

impl Stage {
    /// The API server, started by the first check that needs it.
    fn cluster(&self) -> anyhow::Result<&Cluster> {
        // Without the programs it is not that it fails.
        self.rig.tool("etcd")?;
        self.rig.tool("kube-apiserver")?;
        let started =
            self.cluster.get_or_init(|| Cluster::start(&self.rig).map_err(|error| format!("{error:#}")));
        started.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
    }

    /// An empty namespace of it.
    fn place<'a>(&'a self, namespace: &'a str) -> anyhow::Result<Place<'a>> {
        Place::new(&self.rig, self.cluster()?, namespace)
    }

    /// An empty namespace for pods that may do everything.
    fn open_place<'a>(&'a self, namespace: &'a str) -> anyhow::Result<Place<'a>> {
        Place::open(&self.rig, self.cluster()?, namespace)
    }

    fn case(&self, name: &str) -> anyhow::Result<&Case> {
        self.cases.iter().find(|case| case.name == name).with_context(|| format!("there is no case {name}"))
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::from_args();
    let stage = Arc::new(Stage {
        cluster: OnceLock::new(),
        rig: Rig::open()?,
        cases: Case::all()?,
        schemas: schemas()?,
    });
    let trials = trials(&stage);
    Ok(libtest_mimic::run(&arguments, trials).exit_code())
}

fn schemas() -> anyhow::Result<Vec<Schemas>> {
    VERSIONS.into_iter().map(Schemas::read).collect()
}

fn trials(stage: &Arc<Stage>) -> Vec<Trial> {
    let mut trials = vec![
        trial(stage, "rules: every rule fires", |_| rules::bad::every_rule_fires()),
        trial(stage, "schemas: they refuse", |_| schema::refuses()),
        trial(stage, "alerts: each is tried", |_| alerts::tried()),
        trial(stage, "alerts: they fire", |stage| alerts::fire(&stage.rig)),
        trial(stage, "alerts: the dashboard asks", |stage| alerts::drawn(&stage.rig)),
        trial(stage, "values: every setting can be set", |stage| settings::known(&stage.rig, &stage.cases)),
        trial(stage, "values: every value has a comment", |_| values::commented()),
        trial(stage, "values: the schema is strict", |_| values::strict()),
        trial(stage, "values: the readme lists them", |_| values::in_readme()),
        trial(stage, "values: the readme is made", |stage| values::readme_made(&stage.rig)),
        trial(stage, "values: the schema refuses", |stage| values::refused(&stage.rig, &stage.cases)),
        trial(stage, "values: refusals help", |stage| values::helpful(&stage.rig)),
        trial(stage, "values: every value does something", |stage| {
            values::effective(&stage.rig, &stage.cases)
        }),
        trial(stage, "install: what is not hardened", |stage| life::unhardened(stage.place("unhardened")?)),
        trial(stage, "upgrade: from the chart before", |stage| life::upgraded(stage.place("before")?)),
        trial(stage, "upgrade: what replaces pods", |stage| {
            life::replaced(stage.place("replaced")?, stage.case("deployment")?)
        }),
        trial(stage, "pods: a deployment", |stage| {
            pods::deployment(stage.place("pods-deployment")?, stage.case("deployment")?)
        }),
        trial(stage, "pods: a sidecar", |stage| {
            pods::sidecar(stage.place("pods-sidecar")?, stage.case("example-orders")?)
        }),
        trial(stage, "pods: a sidecar without helm", |stage| {
            pods::plain_sidecar(stage.place("pods-plain")?, stage.case("example-orders-plain")?)
        }),
        trial(stage, "pods: mutual TLS", |stage| {
            pods::mutual_tls(stage.place("pods-tls")?, stage.case("example-mtls-secret")?)
        }),
        trial(stage, "pods: a socket of the node", |stage| {
            let (case, caller) = (stage.case("example-node")?, stage.case("example-node-caller")?);
            pods::node_socket(stage.open_place("pods-node")?, case, caller)
        }),
        trial(stage, "pods: an audit file", |stage| {
            pods::audited(stage.place("pods-audit")?, stage.case("deployment-claim")?)
        }),
        trial(stage, "pods: a sidecar in an older cluster", |stage| {
            pods::sidecar(stage.place("pods-older")?, stage.case("older-cluster")?)
        }),
        trial(stage, "pods: what sidecars share", |stage| {
            pods::shared(stage.place("pods-shared")?, stage.case("sidecar")?)
        }),
        trial(stage, "pods: a service of usual size", |stage| {
            pods::sizes::of(stage.place("pods-usual")?, stage.case("deployment")?, 1, 100)
        }),
        trial(stage, "pods: more than one ConfigMap holds", |stage| {
            pods::sizes::of(stage.place("pods-large")?, stage.case("deployment")?, 3, 900)
        }),
        trial(stage, "pods: several sources", |stage| {
            pods::sources(stage.place("pods-sources")?, stage.case("deployment-sources")?)
        }),
        trial(stage, "pods: a git repository", |stage| {
            pods::repository(stage.place("pods-git")?, stage.case("deployment-git")?)
        }),
        trial(stage, "pods: a job that ends", |stage| pods::job(stage.open_place("pods-job")?)),
        trial(stage, "pods: an injected sidecar", |stage| {
            pods::injected(stage.place("pods-injected")?, &stage.schemas)
        }),
        trial(stage, "inject: like the chart", |stage| inject::like_the_chart(&stage.rig)),
        trial(stage, "inject: metrics are scraped", |stage| inject::scraped(&stage.rig)),
        trial(stage, "inject: the example is the same", |stage| {
            let (chart, plain) = (stage.case("example-orders")?, stage.case("example-orders-plain")?);
            inject::like_the_example(&stage.rig, chart, plain)
        }),
        trial(stage, "inject: every workload", |stage| inject::taken(stage.open_place("injected")?)),
        trial(stage, "render: every named template", |_| render::every_named_template()),
        trial(stage, "render: every template", |stage| render::every_template(&stage.rig, &stage.cases)),
    ];
    type Check = fn(&Stage, &Case) -> anyhow::Result<()>;
    let checks: [(&str, Check); 8] = [
        ("lint", |stage, case| render::lint(&stage.rig, case)),
        ("snapshot", |stage, case| render::snapshot(&stage.rig, case)),
        ("notes", |stage, case| render::notes(&stage.rig, case)),
        ("helm 3", |stage, case| render::old_helm(&stage.rig, case)),
        ("rules", |stage, case| judge::no_findings(&stage.rig, case)),
        ("settings", |stage, case| settings::taken(&stage.rig, case)),
        ("schemas", |stage, case| {
            let objects = case.render(&stage.rig)?;
            stage.schemas.iter().try_for_each(|schemas| schemas.valid(objects))
        }),
        ("install", |stage, case| {
            let on_the_node = case.said("without").any(|rule| rule.starts_with("host-path, "));
            let place = if on_the_node { stage.open_place(&case.name)? } else { stage.place(&case.name)? };
            if case.is_plain() { life::applied(place, case) } else { life::installed(place, case) }
        }),
    ];
    for (what, check) in checks {
        for (index, case) in stage.cases.iter().enumerate() {
            // A plain manifest is no chart to lint, and notes are the chart's own.
            if case.is_plain() && matches!(what, "lint" | "helm 3") || !case.is_own() && what == "notes" {
                continue;
            }
            trials.push(trial(stage, &format!("{what}: {}", case.name), move |stage| {
                stage.cases.get(index).map_or(Ok(()), |case| check(stage, case))
            }));
        }
    }
    trials
}

fn trial(
    stage: &Arc<Stage>,
    name: &str,
    check: impl FnOnce(&Stage) -> anyhow::Result<()> + Send + 'static,
) -> Trial {
    let stage = Arc::clone(stage);
    Trial::ignorable_test(name, move || match check(&stage) {
        Ok(()) => Ok(Completion::Completed),
        Err(error) => match (error.downcast_ref::<Lacking>(), error.downcast_ref::<Spared>()) {
            (Some(lacking), _) if !all_required() => Ok(Completion::ignored_with(lacking)),
            (_, Some(spared)) => Ok(Completion::ignored_with(spared)),
            _ => Err(Failed::from(format!("{error:#}"))),
        },
    })
}

fn all_required() -> bool {
    std::env::var("PORTCULLIS_CHECKS").is_ok_and(|value| value == "all")
}
