//! The guard against slow changes that no clock is needed for: how many instructions and how many allocations a fixed set
//! of decisions and of loads costs, against `guard.json`.
//!
//! `cargo bench -p portcullis-benches --bench guard` checks, and ends with 1 when something grew;
//! `... --bench guard -- --bless` writes what it found to `guard.json`. Instructions are counted by valgrind in a child
//! process for each case; without valgrind they are skipped, and said to be.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use portcullis_benches::measure::{decide, print, print_table};
use portcullis_benches::{Shape, World, build, stop};
use serde_json::{Value as Json, json};

/// Every machine draws the same worlds.
const SEED: u64 = 42;
/// A case, its world, and how many questions it takes; none is a load.
const CASES: [(&str, &str, usize); 8] = [
    ("decide W1", "W1", 500),
    ("decide W2", "W2", 1_000),
    ("decide W5_100", "W5_100", 500),
    ("decide W5_1k", "W5_1k", 500),
    ("decide W6", "W6", 500),
    ("load W2", "W2", 0),
    ("load W5_1k", "W5_1k", 0),
    ("load W6", "W6", 0),
];
/// By how many hundredths a number may grow. Allocations of decisions may not grow at all.
const TOLERANCE: f64 = 5.0;
/// The function whose instructions count; its name is what valgrind looks for.
const PROBE: &str = "*guard_probe*";

/// What a case costs, for one decision or for one load.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Cost {
    allocations: f64,
    /// Absent without valgrind.
    instructions: Option<f64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(case) = arguments.iter().position(|argument| argument == "--run") {
        run(arguments.get(case + 1).map_or("", String::as_str));
        return ExitCode::SUCCESS;
    }
    let valgrind =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let valgrind = valgrind.is_ok_and(|status| status.success());
    let found: BTreeMap<&str, Cost> = CASES
        .iter()
        .map(|case| {
            (
                case.0,
                Cost { allocations: allocations(case), instructions: valgrind.then(|| instructions(case)) },
            )
        })
        .collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.json");
    let grown = compare(&found, &read(&path));
    if !valgrind {
        print("INSTRUCTIONS WERE NOT COUNTED: valgrind is not installed. Only allocations were checked.");
    }
    if arguments.iter().any(|argument| argument == "--bless") {
        if !valgrind {
            stop("a baseline without instructions is none");
        }
        write(&path, &found);
        print(&format!("wrote {}", path.display()));
        return ExitCode::SUCCESS;
    }
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    print(&format!("grew by more than {TOLERANCE} %: {}", grown.join(", ")));
    print("if that is wanted, run again with `-- --bless` and commit guard.json");
    ExitCode::FAILURE
}

/// The child that valgrind watches: only the probe counts, the second time, when everything lazy is made.
fn run(name: &str) {
    let Some((_, world, questions)) = CASES.iter().find(|(case, ..)| *case == name) else {
        stop(&format!("no case {name}"))
    };
    let world = world_of(world, *questions);
    guard_warm_up(&world, *questions);
}

fn world_of(name: &str, questions: usize) -> World {
    let Some(shape) = Shape::named(name) else { stop(&format!("no world {name}")) };
    shape.asked(questions).world(SEED)
}

/// Checks every answer, so that lazy things are made, and calls the probe.
fn guard_warm_up(world: &World, questions: usize) {
    let policy_set = world.checked();
    if questions == 0 {
        let mut sources = world.sources.clone();
        guard_probe(&mut || drop(black_box(build(std::mem::take(&mut sources)))));
        return;
    }
    let borrowed: Vec<_> = world.questions.iter().map(|question| question.borrow()).collect();
    guard_probe(&mut || {
        for question in &borrowed {
            black_box(decide(&policy_set, question.input()));
        }
    });
}

#[inline(never)]
fn guard_probe(call: &mut dyn FnMut()) {
    call();
}

/// Allocations of one decision, or of one load.
fn allocations(case: &(&str, &str, usize)) -> f64 {
    let (_, world, questions) = *case;
    let world = world_of(world, questions);
    let policy_set = world.checked();
    if questions == 0 {
        let sources = world.sources.clone();
        return allocation_counter::measure(|| drop(black_box(build(sources)))).count_total as f64;
    }
    let borrowed: Vec<_> = world.questions.iter().map(|question| question.borrow()).collect();
    let counted = allocation_counter::measure(|| {
        for question in &borrowed {
            black_box(decide(&policy_set, question.input()));
        }
    });
    counted.count_total as f64 / questions as f64
}

/// Instructions of one decision, or of one load, counted by callgrind.
fn instructions(case: &(&str, &str, usize)) -> f64 {
    let (name, _, questions) = *case;
    let folder = tempfile::tempdir().unwrap_or_else(|error| stop(&error.to_string()));
    let out: PathBuf = folder.path().join("callgrind.out");
    let this = std::env::current_exe().unwrap_or_else(|error| stop(&error.to_string()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect={PROBE}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(this)
        .args(["--run", name])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !status.is_ok_and(|status| status.success()) {
        stop(&format!("{name}: valgrind failed"));
    }
    let text = fs::read_to_string(&out).unwrap_or_else(|error| stop(&error.to_string()));
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse::<f64>().ok());
    match total {
        Some(total) if total > 0.0 => total / questions.max(1) as f64,
        _ => stop(&format!("{name}: valgrind counted nothing")),
    }
}

/// Prints the table and returns what grew.
fn compare(found: &BTreeMap<&str, Cost>, baseline: &BTreeMap<String, Cost>) -> Vec<String> {
    let head = ["case", "allocations", "baseline", "instructions", "baseline", "change"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut grown = Vec::new();
    for (name, cost) in found {
        let before = baseline.get(*name);
        let mut check = |what: &str, now: f64, before: f64, tolerance: f64| {
            if now > before * (1.0 + tolerance / 100.0) {
                grown.push(format!("{what} of {name}"));
            }
        };
        let mut change = String::new();
        match before {
            Some(before) => {
                let tolerance = if name.starts_with("decide") { 0.0 } else { TOLERANCE };
                check("allocations", cost.allocations, before.allocations, tolerance);
                if let (Some(now), Some(before)) = (cost.instructions, before.instructions) {
                    check("instructions", now, before, TOLERANCE);
                    change = format!("{:+.1} %", (now / before - 1.0) * 100.0);
                }
            }
            None => grown.push(format!("{name}, which is not in the baseline")),
        }
        let count = |count: Option<f64>| count.map_or("-".to_owned(), |count| format!("{count:.0}"));
        let allocations = |cost: Cost| format!("{:.2}", cost.allocations);
        rows.push(vec![
            (*name).to_owned(),
            allocations(*cost),
            before.copied().map_or("-".to_owned(), allocations),
            count(cost.instructions),
            count(before.and_then(|before| before.instructions)),
            change,
        ]);
    }
    print_table("What one decision and one load cost", &rows);
    grown
}

/// The baseline; empty when there is none.
fn read(path: &Path) -> BTreeMap<String, Cost> {
    let text = fs::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
    let json: Json = serde_json::from_str(&text).unwrap_or_else(|error| stop(&error.to_string()));
    let cost = |cost: &Json| Cost {
        allocations: cost.get("allocations").and_then(Json::as_f64).unwrap_or_default(),
        instructions: cost.get("instructions").and_then(Json::as_f64),
    };
    json.as_object().into_iter().flatten().map(|(name, json)| (name.clone(), cost(json))).collect()
}

fn write(path: &Path, found: &BTreeMap<&str, Cost>) {
    let rounded = |number: f64| (number * 100.0).round() / 100.0;
    let cost = |cost: &Cost| json!({"allocations": rounded(cost.allocations), "instructions": cost.instructions.map(f64::round)});
    let json: BTreeMap<&str, Json> = found.iter().map(|(name, found)| (*name, cost(found))).collect();
    let text = serde_json::to_string_pretty(&json).unwrap_or_else(|error| stop(&error.to_string()));
    fs::write(path, text + "\n").unwrap_or_else(|error| stop(&error.to_string()));
}
