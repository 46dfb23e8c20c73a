//! The sidecar over the wire against the floor: a service of the same messages on stock tonic that decides nothing; and,
//! with the peers, against one that decides with cedar-policy.
//!
//! Server and askers have a processor each. Every round asks both servers in turn, so that both see the same minutes of
//! the machine; the table has the medians of the rounds. Every answer is checked, and a wrong one ends the bench.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_benches::measure::{print, print_table};
use portcullis_benches::wire::load::{Shape as Load, Target, generation, run};
use portcullis_benches::wire::server::Server;
use portcullis_benches::{Question, Shape, seed, sources, stop};
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of each shape; an odd number has a median.
const ROUNDS_VARIABLE: &str = "PORTCULLIS_ROUNDS";
/// Milliseconds of one run.
const RUN_VARIABLE: &str = "PORTCULLIS_RUN_MS";

/// Between two changes of the policies.
const REWRITE_EVERY: Duration = Duration::from_millis(100);

const SHAPES: [Load; 7] = [
    Load::Unary { in_flight: 1, connections: 1 },
    Load::Unary { in_flight: 8, connections: 1 },
    Load::Unary { in_flight: 64, connections: 8 },
    Load::Unary { in_flight: 256, connections: 8 },
    Load::Batch { items: 10 },
    Load::Batch { items: 100 },
    Load::Stream { in_flight: 256 },
];

/// What every candidate is asked.
const COMPARED: [Load; 2] = [Load::Unary { in_flight: 64, connections: 8 }, Load::Stream { in_flight: 256 }];

/// One run of one server.
struct Run {
    rate: f64,
    p50: f64,
    p99: f64,
    /// Microseconds of the server's processor for each answer.
    cost: f64,
}

fn main() {
    // `cargo test --benches` runs this without a wish to measure.
    if std::env::args().all(|argument| argument != "--bench") {
        return;
    }
    if let Err(problem) = measure() {
        stop(&problem);
    }
}

fn measure() -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    // The parts to run by name, all of them without any.
    let parts: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    if wanted("floor") {
        side_by_side(&runtime)?;
    }
    if wanted("candidates") {
        candidates(&runtime)?;
    }
    if wanted("reload") {
        while_reloading(&runtime)?;
    }
    Ok(())
}

/// The same calls on every server there is: with an audit file, without one, the floor, and cedar-policy.
fn candidates(runtime: &Runtime) -> Result<(), String> {
    let world = Shape::named("W2").ok_or("there is no world W2")?.world(seed());
    let mut servers = vec![
        ("sidecar", Server::sidecar(&world)?),
        ("sidecar, audit file", Server::audited(&world)?),
        ("floor", Server::floor()?),
    ];
    if cfg!(feature = "peers") {
        servers.push(("tonic + cedar", Server::cedar(&world)?));
    }
    let questions = Arc::new(world.questions);
    for (_, server) in &servers {
        runtime.block_on(loaded(server, &questions))?;
    }
    for shape in COMPARED {
        let mut runs: Vec<Vec<Run>> = servers.iter().map(|_| Vec::new()).collect();
        for _ in 0..number(ROUNDS_VARIABLE, 5) {
            for ((_, server), runs) in servers.iter().zip(&mut runs) {
                runs.push(runtime.block_on(once(
                    server,
                    &Target::Unix(server.socket()?),
                    shape,
                    &questions,
                ))?);
            }
        }
        let base = runs.get(2).map(|runs| (median(runs, |run| run.rate), median(runs, |run| run.cost)));
        let (rate, cost) = base.ok_or("there is no floor")?;
        let mut rows =
            vec![["", "answers /s", "/ floor", "p50", "p99", "cost", "/ floor"].map(str::to_owned).to_vec()];
        rows.extend(servers.iter().zip(&runs).map(|((name, _), runs)| {
            vec![
                (*name).to_owned(),
                format!("{:.1} k", median(runs, |run| run.rate) / 1e3),
                format!("{:.2} x", median(runs, |run| run.rate) / rate),
                format!("{:.1} us", median(runs, |run| run.p50)),
                format!("{:.1} us", median(runs, |run| run.p99)),
                format!("{:.2}", median(runs, |run| run.cost)),
                format!("{:.2} x", median(runs, |run| run.cost) / cost),
            ]
        }));
        print_table(&format!("Unix socket, world W2, seed {}, {}", seed(), shape.name()), &rows);
    }
    let written = servers.get(1).map(|(_, server)| server.audit_bytes()).transpose()?.unwrap_or_default();
    if written == 0 {
        return Err("nothing was written to the audit file".to_owned());
    }
    for (name, server) in &servers {
        print(&format!("resident after that: {name} {:.1} MB", server.resident_bytes()? as f64 / 1e6));
    }
    print(&format!("audit files: {:.1} MB", written as f64 / 1e6));
    Ok(())
}

/// Calls of every shape, on the sidecar and on the floor.
fn side_by_side(runtime: &Runtime) -> Result<(), String> {
    let world = Shape::named("W2").ok_or("there is no world W2")?.world(seed());
    let (sidecar, floor) = (Server::sidecar(&world)?, Server::floor()?);
    let questions = Arc::new(world.questions);
    sidecar.socket()?;
    floor.socket()?;
    runtime.block_on(loaded(&sidecar, &questions))?;
    print(&format!(
        "resident: sidecar with W2 {} KiB, floor {} KiB",
        sidecar.resident_bytes()? / 1024,
        floor.resident_bytes()? / 1024
    ));

    for over in ["Unix socket", "TCP"] {
        let target = |server: &Server| match over {
            "TCP" => Ok(Target::Tcp(server.address)),
            _ => server.socket().map(Target::Unix),
        };
        let targets = (target(&sidecar)?, target(&floor)?);
        let mut rows = vec![
            [
                "",
                "sidecar /s",
                "floor /s",
                "ratio",
                "p50",
                "floor p50",
                "p99",
                "floor p99",
                "cost",
                "floor cost",
            ]
            .map(str::to_owned)
            .to_vec(),
        ];
        for shape in SHAPES {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for _ in 0..number(ROUNDS_VARIABLE, 5) {
                ours.push(runtime.block_on(once(&sidecar, &targets.0, shape, &questions))?);
                theirs.push(runtime.block_on(once(&floor, &targets.1, shape, &questions))?);
            }
            rows.push(row(shape, &ours, &theirs));
        }
        print_table(
            &format!(
                "{over}, world W2, seed {}; cost in us of the server's processor for each answer",
                seed()
            ),
            &rows,
        );
    }
    Ok(())
}

/// Calls at 70 % of what the sidecar can answer, while its policies stay as they are and while they are rewritten.
fn while_reloading(runtime: &Runtime) -> Result<(), String> {
    let world = Shape::named("W3").ok_or("there is no world W3")?.world(seed());
    let sidecar = Server::sidecar(&world)?;
    let questions = Arc::new(world.questions);
    let target = Target::Unix(sidecar.socket()?);
    runtime.block_on(loaded(&sidecar, &questions))?;
    let full = Load::Unary { in_flight: 64, connections: 8 };
    let full = runtime.block_on(once(&sidecar, &target, full, &questions))?;
    let shape = Load::Paced { rate: full.rate * 0.7 };
    let first = questions.first().ok_or("the world has no questions")?;
    let (mut quiet, mut busy, mut reloads) = (Vec::new(), Vec::new(), 0);
    for _ in 0..number(ROUNDS_VARIABLE, 5) {
        quiet.push(runtime.block_on(once(&sidecar, &target, shape, &questions))?);
        let before = runtime.block_on(generation(&target, first))?;
        let rewriting = Rewriting::start(sidecar.policies())?;
        busy.push(runtime.block_on(once(&sidecar, &target, shape, &questions))?);
        rewriting.stop()?;
        reloads += runtime.block_on(generation(&target, first))? - before;
    }
    let row = |name: &str, runs: &[Run]| {
        let micros = |number: f64| format!("{number:.0} us");
        vec![
            name.to_owned(),
            format!("{:.1} k", median(runs, |run| run.rate) / 1e3),
            micros(median(runs, |run| run.p50)),
            micros(median(runs, |run| run.p99)),
        ]
    };
    let rows = [
        ["", "answers /s", "p50", "p99"].map(str::to_owned).to_vec(),
        row("quiet", &quiet),
        row("reloading", &busy),
    ];
    let title = format!(
        "Unix socket, world W3, seed {}, {}; {reloads} reloads; the p99 is {:.2} x the quiet one",
        seed(),
        shape.name(),
        median(&busy, |run| run.p99) / median(&quiet, |run| run.p99)
    );
    print_table(&title, &rows);
    Ok(())
}

/// A thread that changes the text of a policy file, and none of its meaning, again and again.
struct Rewriting {
    over: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Rewriting {
    fn start(policies: PathBuf) -> Result<Self, String> {
        let (name, text) = sources(&policies)?.pop().ok_or("there are no policies")?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut blanks = 0;
            while !stop.load(Ordering::Relaxed) {
                blanks = (blanks + 1) % 8;
                // Under a name that is no source, and then in one step.
                let new = policies.join("new");
                std::fs::write(&new, [&text[..], &vec![b' '; blanks]].concat())?;
                std::fs::rename(new, policies.join(&name))?;
                std::thread::sleep(REWRITE_EVERY);
            }
            Ok(())
        });
        Ok(Self { over, thread })
    }

    fn stop(self) -> Result<(), String> {
        self.over.store(true, Ordering::Relaxed);
        match self.thread.join() {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the policies cannot be rewritten".to_owned()),
        }
    }
}

/// Waits until the sidecar answers: it listens before its policies are loaded.
async fn loaded(server: &Server, questions: &Arc<Vec<Question>>) -> Result<(), String> {
    let target = Target::Unix(server.socket()?);
    let shape = Load::Unary { in_flight: 1, connections: 1 };
    let mut last = String::new();
    for _ in 0..200 {
        match run(&target, shape, questions, Duration::from_millis(10)).await {
            Ok(_) => return Ok(()),
            Err(problem) => last = problem,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(last)
}

async fn once(
    server: &Server,
    target: &Target,
    shape: Load,
    questions: &Arc<Vec<Question>>,
) -> Result<Run, String> {
    let time = Duration::from_millis(number(RUN_VARIABLE, 1_000));
    let before = server.processor_time()?;
    let outcome = run(target, shape, questions, time).await?;
    // The warm-up is a quarter of the run on top of it, and costs as much for each answer.
    let used = (server.processor_time()? - before).as_secs_f64() * 0.8;
    let micros = |quantile| outcome.latency.value_at_quantile(quantile) as f64 / 1e3;
    Ok(Run {
        rate: outcome.rate(),
        p50: micros(0.5),
        p99: micros(0.99),
        cost: used * 1e6 / outcome.answered.max(1) as f64,
    })
}

fn row(shape: Load, ours: &[Run], theirs: &[Run]) -> Vec<String> {
    let rate = (median(ours, |run| run.rate), median(theirs, |run| run.rate));
    let thousands = |rate: f64| format!("{:.1} k", rate / 1e3);
    let micros = |number: f64| format!("{number:.1} us");
    vec![
        shape.name(),
        thousands(rate.0),
        thousands(rate.1),
        format!("{:.2} x", rate.0 / rate.1),
        micros(median(ours, |run| run.p50)),
        micros(median(theirs, |run| run.p50)),
        micros(median(ours, |run| run.p99)),
        micros(median(theirs, |run| run.p99)),
        format!("{:.2}", median(ours, |run| run.cost)),
        format!("{:.2}", median(theirs, |run| run.cost)),
    ]
}

fn median(runs: &[Run], number: impl Fn(&Run) -> f64) -> f64 {
    let mut numbers: Vec<f64> = runs.iter().map(number).collect();
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied().unwrap_or_default()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
