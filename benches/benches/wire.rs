//! The sidecar over the wire against the floor: a service of the same messages on stock tonic that decides nothing.
//!
//! Server and askers have a processor each. Every round asks both servers in turn, so that both see the same minutes of
//! the machine; the table has the medians of the rounds. Every answer is checked, and a wrong one ends the bench.

use std::sync::Arc;
use std::time::Duration;

use portcullis_benches::measure::{print, print_table};
use portcullis_benches::wire::load::{Shape as Load, Target, run};
use portcullis_benches::wire::server::Server;
use portcullis_benches::{Question, Shape, seed, stop};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rounds of each shape; an odd number has a median.
const ROUNDS_VARIABLE: &str = "PORTCULLIS_ROUNDS";
/// Milliseconds of one run.
const RUN_VARIABLE: &str = "PORTCULLIS_RUN_MS";

const SHAPES: [Load; 7] = [
    Load::Unary { in_flight: 1, connections: 1 },
    Load::Unary { in_flight: 8, connections: 1 },
    Load::Unary { in_flight: 64, connections: 8 },
    Load::Unary { in_flight: 256, connections: 8 },
    Load::Batch { items: 10 },
    Load::Batch { items: 100 },
    Load::Stream { in_flight: 256 },
];

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
    let world = Shape::named("W2").ok_or("there is no world W2")?.world(seed());
    let (sidecar, floor) = (Server::sidecar(&world)?, Server::floor()?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
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
