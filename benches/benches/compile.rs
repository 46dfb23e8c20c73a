//! What a load costs: time from JSON to a policy set that decides, and memory, also while a second set is built.
//!
//! Memory is the resident set of a child process that does nothing else, so that no number holds another's leftovers. It
//! runs the store as the sidecar does, with the texts that the store keeps for simulations.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput};
use mimalloc::MiMalloc;
use portcullis_benches::measure::{Memory, Times, bytes, duration, print, print_table, ratio};
use portcullis_benches::{World, build, stop, write_sources};
use portcullis_store::{Store, StoreOptions, load_directory};

/// The sidecar's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Worlds above are loaded a few times for the table, and not by criterion.
const CRITERION_BYTES: usize = 4_000_000;
const LOADS: usize = 5;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--memory") {
        let directory = arguments.get(at + 1).map_or("", String::as_str);
        return print(&remember(Path::new(directory)).unwrap_or_else(|problem| stop(&problem)));
    }
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let worlds = World::all();
    let mut rows = vec![Vec::from(HEAD.map(str::to_owned))];
    let mut costs: Vec<(String, f64)> = Vec::new();
    for world in &worlds {
        let size: usize = world.sources.iter().map(|(_, text)| text.len()).sum();
        if size < CRITERION_BYTES {
            bench(&mut criterion, world, size);
        }
        rows.push(load(world, size, &mut costs));
    }
    print_table("One load, from files", &rows);
    linear(&costs);
    criterion.final_summary();
}

const HEAD: [&str; 9] = [
    "world",
    "statements",
    "JSON",
    "load",
    "per statement",
    "resident",
    "both sets",
    "peak of a reload",
    "peak / resident",
];

fn bench(criterion: &mut Criterion, world: &World, size: usize) {
    let mut group = criterion.benchmark_group(format!("compile/{}", world.name));
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("from texts", |bencher| {
        bencher.iter_batched(|| world.sources.clone(), build, BatchSize::LargeInput);
    });
    group.finish();
}

/// The row of a world: the median of a few loads here, memory from a child.
fn load(world: &World, size: usize, costs: &mut Vec<(String, f64)>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap_or_else(|error| stop(&error.to_string()));
    write_sources(&world.sources, folder.path()).unwrap_or_else(|error| stop(&error.to_string()));
    let options = StoreOptions::new(folder.path());
    let mut times = Times::new();
    let mut statements = 0;
    for number in 0..LOADS {
        let loaded = times.time(|| load_directory(&options));
        let Some(policy_set) = loaded.policy_set else { stop(&format!("{}: does not load", world.name)) };
        if number == 0 {
            world.check(&policy_set).unwrap_or_else(|problem| stop(&problem));
        }
        statements = policy_set.counts().statements;
    }
    let per_statement = times.median() / f64::from(statements.max(1));
    costs.push((world.name.clone(), per_statement));
    let mut row = vec![
        world.name.clone(),
        statements.to_string(),
        bytes(size as u64),
        duration(times.median()),
        duration(per_statement),
    ];
    row.extend(child(folder.path()).split('\t').map(|cell| cell.trim().to_owned()));
    row
}

/// Runs this program again to look at memory only.
fn child(directory: &Path) -> String {
    let this = std::env::current_exe().unwrap_or_else(|error| stop(&error.to_string()));
    let output = Command::new(this).arg("--memory").arg(directory).stderr(Stdio::inherit()).output();
    match output {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
        _ => stop("the child that looks at memory failed"),
    }
}

/// Opens the directory as the sidecar does, has it loaded twice, and reads what is resident.
fn remember(directory: &Path) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let store = Store::open(StoreOptions::new(directory));
        let mut generation = store.subscribe();
        let next = generation.wait_for(|generation| *generation == 1);
        tokio::time::timeout(Duration::from_secs(120), next).await.map_err(|_| "no first load")?.map_err(|error| error.to_string())?;
        let steady = settled();
        let held = store.current();
        let added = br#"{"GroupDetailList": [{"GroupName": "of-the-bench", "Path": "/", "Arn": "arn:aws:iam::123456789012:group/of-the-bench"}]}"#;
        Memory::forget_peak();
        std::fs::write(directory.join("zz-of-the-bench.json"), added).map_err(|error| error.to_string())?;
        let next = generation.wait_for(|generation| *generation == 2);
        tokio::time::timeout(Duration::from_secs(120), next).await.map_err(|_| "no second load")?.map_err(|error| error.to_string())?;
        let peak = Memory::now().peak;
        let both = settled();
        drop(held);
        Ok(format!("{}\t{}\t{}\t{}", bytes(steady), bytes(both), bytes(peak), ratio(peak as f64, steady as f64)))
    })
}

/// What is resident once the allocator has given back what it gives back.
fn settled() -> u64 {
    let deadline = Instant::now() + Duration::from_millis(1_500);
    while Instant::now() < deadline {
        drop(std::hint::black_box(vec![0_u8; 1 << 16]));
        thread::sleep(Duration::from_millis(50));
    }
    Memory::now().resident
}

/// Whether a statement costs the same in a large world as in a small one.
fn linear(costs: &[(String, f64)]) {
    let cost = |name: &str| costs.iter().find(|(world, _)| world == name).map(|(_, cost)| *cost);
    for (large, small) in [("W3", "W2"), ("W4", "W3"), ("W5_10k", "W5_1k")] {
        if let (Some(above), Some(below)) = (cost(large), cost(small)) {
            print(&format!("a statement of {large} / of {small}: {}", ratio(above, below)));
        }
    }
}
