//! Other engines beside this one: the same worlds, the same questions, the same run.
//!
//! `cargo bench -p portcullis-benches --features peers --bench peers`. The engines take turns of a few milliseconds, so
//! that a slow minute of the machine is everybody's and the ratios hold. Answers of the peers that differ are counted;
//! one of this engine ends the run.

use std::hint::black_box;
use std::io::{BufRead as _, BufWriter, Write as _, stdin, stdout};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use portcullis_benches::account::Account;
use portcullis_benches::measure::{Memory, Times, bytes, decide, duration, print, print_table, ratio, touch};
use portcullis_benches::peer::{Cedar, Iam, Line, Peer, prepare};
use portcullis_benches::question::Borrowed;
use portcullis_benches::scan::Scan;
use portcullis_benches::{Question, Shape, World, build, sources, stop, write_sources};
use portcullis_engine::{PolicySet, Reason};

/// One allocator for all: the sidecar's, which is also the fastest for the peers.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// So many questions, so that not every principal of a large world needs to be prepared for the peers.
const QUESTIONS: usize = 2_000;
const ROUNDS: usize = 12;
/// How long an engine's turn lasts at most, and how many decisions it has at most.
const TURN: Duration = Duration::from_millis(40);
const DECISIONS: usize = 2_000;
/// Worlds that are loaded whole into every engine, in a process of their own.
const LOADED: [&str; 3] = ["W3", "W4", "W7"];
const OURS: &str = "ours";
const ENGINES: [&str; 3] = [OURS, "iam-rs", "cedar"];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--load" || argument == "--lines") {
        let argument = |number: usize| arguments.get(at + number).map_or("", String::as_str);
        let (engine, directory) = (argument(1), Path::new(argument(2)));
        let done = if argument(0) == "--load" { load(engine, directory) } else { lines(engine, directory) };
        return done.unwrap_or_else(|problem| stop(&problem));
    }
    let mut times = vec![row(&[
        "world",
        "ours",
        "scan",
        "iam-rs",
        "cedar",
        "cedar decides",
        "scan / ours",
        "iam-rs / ours",
        "cedar / ours",
        "cedar decides / ours",
    ])];
    let mut tails =
        vec![row(&["world", "ours p99", "scan p99", "iam-rs p99", "cedar p99", "decisions of cedar"])];
    let mut differences = vec![row(&["world", "questions", "ours", "scan", "iam-rs", "cedar"])];
    let mut loads = vec![row(&["world", "engine", "load", "resident", "load / ours", "resident / ours"])];
    for world in World::all() {
        let mut lineup =
            Lineup::new(&world).unwrap_or_else(|problem| stop(&format!("{}: {problem}", world.name)));
        differences.push(lineup.differences());
        for _ in 0..ROUNDS {
            lineup.round();
        }
        times.push(lineup.times());
        tails.push(lineup.tails());
        if LOADED.contains(&world.name.as_str()) {
            drop(lineup);
            loads.extend(load_rows(&world));
        }
    }
    print_table(
        "One decision from raw texts, p50; `cedar decides` has its request made before the clock starts",
        &times,
    );
    print_table("The same, p99", &tails);
    print_table("Answers that differ", &differences);
    print_table("One load of the whole world", &loads);
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// A world in every engine.
struct Lineup<'a> {
    name: &'a str,
    questions: &'a [Question],
    ours: PolicySet,
    scan: Scan,
    iam: Iam,
    cedar: Cedar,
    requests: Vec<Option<cedar_policy::Request>>,
    times: [Times; 5],
    next: [usize; 5],
}

impl<'a> Lineup<'a> {
    fn new(world: &'a World) -> Result<Self, String> {
        let account = Account::read(&world.sources)?;
        let questions = world.questions.get(..QUESTIONS).unwrap_or(&world.questions);
        let principals = || questions.iter().map(|question| question.principal.as_str());
        let cedar = prepare(Cedar::new(&account)?, &account, &mut principals())?;
        Ok(Self {
            name: &world.name,
            questions,
            ours: world.checked(),
            scan: Scan::new(&account),
            iam: prepare(Iam::default(), &account, &mut principals())?,
            requests: questions.iter().map(|question| cedar.request(question).ok()).collect(),
            cedar,
            times: std::array::from_fn(|_| Times::new()),
            next: [0; 5],
        })
    }

    fn answer(&self, engine: usize, at: usize, borrowed: &Borrowed<'_>) -> Option<Reason> {
        let question = self.questions.get(at)?;
        match engine {
            0 => decide(&self.ours, borrowed.input()),
            1 => Some(self.scan.answer(question)),
            2 => self.iam.answer(question),
            3 => self.cedar.answer(question),
            _ => self.cedar.decide(&question.principal, self.requests.get(at)?.as_ref()?),
        }
    }

    /// Every engine's turn: a few decisions to warm up, then timed ones.
    fn round(&mut self) {
        for engine in 0..5 {
            let mut times =
                std::mem::take(self.times.get_mut(engine).unwrap_or_else(|| stop("no such engine")));
            let mut at = self.next.get(engine).copied().unwrap_or_default();
            let start = Instant::now();
            for number in 0..DECISIONS {
                let Some(question) = self.questions.get(at % self.questions.len().max(1)) else { break };
                let borrowed = question.borrow();
                touch(&borrowed.input());
                let ask = || self.answer(engine, at % self.questions.len(), &borrowed);
                let warm = if engine < 2 { DECISIONS / 4 } else { 2 };
                let answer = if number < warm { black_box(ask()) } else { times.time(ask) };
                if engine == 0 && answer != Some(question.expected) {
                    stop(&format!("{}: {question:?}: the answer is {answer:?}", self.name));
                }
                at += 1;
                if number > warm + 1 && start.elapsed() > TURN {
                    break;
                }
            }
            if let (Some(slot), Some(next)) = (self.times.get_mut(engine), self.next.get_mut(engine)) {
                (*slot, *next) = (times, at);
            }
        }
    }

    fn times(&mut self) -> Vec<String> {
        let medians = self.times.each_mut().map(Times::median);
        let ours = medians.first().copied().unwrap_or_default();
        let mut row = vec![self.name.to_owned()];
        row.extend(medians.iter().map(|median| duration(*median)));
        row.extend(medians.iter().skip(1).map(|median| ratio(*median, ours)));
        row
    }

    fn tails(&mut self) -> Vec<String> {
        let mut row = vec![self.name.to_owned()];
        row.extend(self.times.iter_mut().take(4).map(|times| duration(times.at(99.0) as f64)));
        row.push(self.times.get(3).map_or(0, Times::count).to_string());
        row
    }

    /// How many answers of each engine differ from the expected ones.
    fn differences(&self) -> Vec<String> {
        let wrong = |engine: usize| {
            let differs = |(at, question): &(usize, &Question)| {
                self.answer(engine, *at, &question.borrow()) != Some(question.expected)
            };
            // A slow engine is asked a part of them.
            let some = if self.name == "W5_10k" && engine > 1 { 100 } else { QUESTIONS };
            let asked = self.questions.len().min(some);
            let count = self.questions.iter().take(some).enumerate().filter(differs).count();
            format!("{count} of {asked}")
        };
        let mut row = vec![self.name.to_owned(), self.questions.len().to_string()];
        row.extend((0..4).map(wrong));
        row
    }
}

/// Loads a whole world into each engine, each in a process of its own.
fn load_rows(world: &World) -> Vec<Vec<String>> {
    let folder = tempfile::tempdir().unwrap_or_else(|error| stop(&error.to_string()));
    write_sources(&world.sources, folder.path()).unwrap_or_else(|error| stop(&error.to_string()));
    let mut rows = Vec::new();
    let mut ours: Option<(f64, f64)> = None;
    for engine in ENGINES {
        let output = child(engine, folder.path()).unwrap_or_else(|error| stop(&error.to_string()));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut numbers = text.split_whitespace().filter_map(|number| number.parse::<f64>().ok());
        let (Some(nanoseconds), Some(resident)) = (numbers.next(), numbers.next()) else {
            stop(&format!("{}: {engine} does not load", world.name))
        };
        let (time, memory) = *ours.get_or_insert((nanoseconds, resident));
        rows.push(vec![
            world.name.clone(),
            engine.to_owned(),
            duration(nanoseconds),
            bytes(resident as u64),
            ratio(nanoseconds, time),
            ratio(resident, memory),
        ]);
    }
    rows
}

/// Runs this program again to load one engine. A peer's texts come from one more child, so that nothing of reading and
/// translating is in the process that is looked at.
fn child(engine: &str, directory: &Path) -> std::io::Result<Output> {
    let this = std::env::current_exe()?;
    let mut loader = Command::new(&this);
    loader.args(["--load", engine]).arg(directory).stderr(Stdio::inherit());
    if engine == OURS {
        return loader.output();
    }
    let mut writer =
        Command::new(&this).args(["--lines", engine]).arg(directory).stdout(Stdio::piped()).spawn()?;
    if let Some(lines) = writer.stdout.take() {
        loader.stdin(Stdio::from(lines));
    }
    let output = loader.output()?;
    writer.wait()?;
    Ok(output)
}

/// In a child: what a peer is prepared with, on the standard output.
fn lines(engine: &str, directory: &Path) -> Result<(), String> {
    let account = Account::read(&sources(directory)?)?;
    let mut out = BufWriter::new(stdout().lock());
    let mut outcome = Ok(());
    let mut line = |line: Line| {
        if outcome.is_ok() {
            outcome = writeln!(out, "{}", line.write());
        }
    };
    match engine {
        "cedar" => Cedar::lines(&account, &mut account.principals(), &mut line),
        _ => Iam::lines(&account, &mut account.principals(), &mut line),
    }
    outcome.and_then(|()| out.flush()).map_err(|error| error.to_string())
}

/// In a child: prints the nanoseconds of a load and the bytes it keeps. What an engine makes once, whatever it loads, is
/// made before.
fn load(engine: &str, directory: &Path) -> Result<(), String> {
    let (empty, small) = (Account::default(), Shape::named("W1").map(|shape| shape.asked(1).world(1)));
    let (elapsed, kept) = match engine {
        OURS => {
            drop(build(small.map(|world| world.sources).unwrap_or_default())?);
            let before = settled();
            let texts = sources(directory)?;
            let start = Instant::now();
            let policy_set = build(texts)?;
            let elapsed = start.elapsed();
            let kept = settled().saturating_sub(before);
            drop(black_box(policy_set));
            (elapsed, kept)
        }
        "cedar" => take(Cedar::new(&empty)?)?,
        _ => take(Iam::default())?,
    };
    print(&format!("{} {kept}", elapsed.as_nanos()));
    Ok(())
}

/// Prepares a peer from the standard input; only the peer's own work is timed.
fn take<P: Peer>(mut peer: P) -> Result<(Duration, u64), String> {
    let before = settled();
    let mut elapsed = Duration::ZERO;
    for line in stdin().lock().lines() {
        let text = line.map_err(|error| error.to_string())?;
        let line = Line::read(&text).ok_or_else(|| format!("{text}: not a line"))?;
        let start = Instant::now();
        peer.add(line)?;
        elapsed += start.elapsed();
    }
    let kept = settled().saturating_sub(before);
    drop(black_box(peer));
    Ok((elapsed, kept))
}

/// What is resident once the allocator has given back what it gives back.
fn settled() -> u64 {
    for _ in 0..30 {
        drop(black_box(vec![0_u8; 1 << 16]));
        thread::sleep(Duration::from_millis(50));
    }
    Memory::now().resident
}
