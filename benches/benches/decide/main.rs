//! What one decision costs, in every world and for every condition operator.
//!
//! One decision is raw texts in and a reason out: the request is parsed, then decided. Its texts are in the cache when the
//! clock starts, as they are when they come off a wire; the policies are wherever the caches left them. Every answer is
//! compared with the expected one, before and while time is taken.

mod operators;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput};
use mimalloc::MiMalloc;
use portcullis_benches::measure::{self, Times, decide, duration, print_table, ratio, touch};
use portcullis_benches::question::Borrowed;
use portcullis_benches::{World, account::Account, stop};
use portcullis_engine::{PolicySet, Reason, Request, RequestInput};

/// The sidecar's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Decisions timed together by criterion, so that reading the clock does not count.
const BATCH: usize = 16;
/// The table takes the worlds in turns, so that a slow minute of the machine is everybody's.
const ROUNDS: usize = 20;
/// Decisions of one turn that are not timed, and that are.
const WARM: usize = 1_000;
const TIMED: usize = 1_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(50)
        .configure_from_args();
    let worlds = World::all();
    let policy_sets: Vec<PolicySet> = worlds.iter().map(World::checked).collect();
    let borrowed: Vec<Vec<Borrowed<'_>>> = worlds
        .iter()
        .map(|world| world.questions.iter().map(|question| question.borrow()).collect())
        .collect();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for ((world, policy_set), borrowed) in worlds.iter().zip(&policy_sets).zip(&borrowed) {
        let expected = world.questions.iter().map(|question| question.expected);
        let questions = borrowed.iter().map(Borrowed::input).zip(expected).collect();
        cases.push(Case { world, policy_set, questions, raw: Times::new(), parsed: Times::new(), next: 0 });
    }
    for case in &cases {
        case.bench(&mut criterion);
    }
    operators::bench(&mut criterion);
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::turn);
    }
    summarize(&mut cases);
    criterion.final_summary();
}

/// A world being measured.
struct Case<'a> {
    world: &'a World,
    policy_set: &'a PolicySet,
    questions: Vec<(RequestInput<'a>, Reason)>,
    raw: Times,
    parsed: Times,
    next: usize,
}

impl<'a> Case<'a> {
    fn bench(&self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(format!("decide/{}", self.world.name));
        group.throughput(Throughput::Elements(1));
        let mut next = self.questions.iter().cycle();
        group.bench_function("raw texts in", |bencher| {
            bencher.iter_custom(|iterations| {
                batches(iterations, &mut next, &mut |(input, expected)| {
                    if decide(self.policy_set, black_box(*input)) != Some(*expected) {
                        stop(&format!("{}: {input:?}: the answer differs", self.world.name));
                    }
                })
            });
        });
        group.finish();
    }

    /// Some decisions, first to warm up, then timed one by one.
    fn turn(&mut self) {
        for number in 0..WARM + TIMED {
            let at = self.next % self.questions.len().max(1);
            self.next += 1;
            let Some((input, expected)) = self.questions.get(at).copied() else {
                stop("a world without questions")
            };
            touch(&input);
            let answer = if number < WARM {
                decide(self.policy_set, input)
            } else if number % 2 == 0 {
                self.raw.time(|| decide(self.policy_set, input))
            } else {
                let request = Request::parse(input).ok();
                self.parsed.time(|| request.as_ref().map(|request| self.policy_set.authorize(request).reason))
            };
            if answer != Some(expected) {
                stop(&format!("{}: {input:?}: the answer is {answer:?}", self.world.name));
            }
        }
    }
}

/// The time of so many decisions.
fn batches<'a, T: 'a>(
    iterations: u64,
    questions: &mut impl Iterator<Item = &'a (RequestInput<'a>, T)>,
    call: &mut dyn FnMut(&(RequestInput<'a>, T)),
) -> Duration {
    let (mut total, mut left) = (Duration::ZERO, iterations);
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(BATCH).min(BATCH);
        let batch: Vec<_> = questions.take(count).collect();
        batch.iter().for_each(|(input, _)| touch(input));
        let start = Instant::now();
        batch.iter().for_each(|question| call(question));
        total += start.elapsed();
        left -= count as u64;
    }
    total
}

/// The table, and how the worlds stand to each other.
fn summarize(cases: &mut [Case<'_>]) {
    let head = ["world", "apply", "p50", "p99", "p99.9", "mean", "authorize alone p50", "p99"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    let mut medians = Vec::new();
    for case in cases.iter_mut() {
        medians.push((case.world.name.clone(), case.raw.median()));
        rows.push(vec![
            case.world.name.clone(),
            format!("{:.0}", applying(case.world)),
            duration(case.raw.median()),
            duration(case.raw.at(99.0) as f64),
            duration(case.raw.at(99.9) as f64),
            duration(case.raw.mean()),
            duration(case.parsed.median()),
            duration(case.parsed.at(99.0) as f64),
        ]);
    }
    print_table("One decision", &rows);
    let median = |name: &str| medians.iter().find(|(world, _)| world == name).map(|(_, median)| *median);
    for (one, other) in
        [("W3h", "W2"), ("W4h", "W2"), ("W3", "W2"), ("W4", "W2"), ("W5_1k", "W5_100"), ("W5_10k", "W5_100")]
    {
        if let (Some(above), Some(below)) = (median(one), median(other)) {
            measure::print(&format!("{one} / {other}: {}", ratio(above, below)));
        }
    }
}

/// How many statements apply to a question, on average.
fn applying(world: &World) -> f64 {
    let account = Account::read(&world.sources).unwrap_or_else(|problem| stop(&problem));
    let total: usize =
        world.questions.iter().map(|question| account.applying(&question.principal).count()).sum();
    total as f64 / world.questions.len().max(1) as f64
}
