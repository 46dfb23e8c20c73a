//! What one decision costs: alone, and with the request parsed from the caller's texts first.
//!
//! Every answer is compared with the expected one before and while time is taken.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use criterion::{Criterion, Throughput};
use portcullis_benches::{World, stop};
use portcullis_engine::Request;

/// Decisions timed together, so that reading the clock does not count.
const BATCH: usize = 16;
/// Batches timed for the summary.
const BATCHES: usize = 2_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for world in World::all() {
        decide(&mut criterion, &world);
        summarize(&world);
    }
    criterion.final_summary();
}

/// Prints median and 99th percentile of a decision, and how many decisions a walk over all statements costs.
fn summarize(world: &World) {
    let policy_set = world.build().unwrap_or_else(|problem| stop(&problem));
    let contexts: Vec<_> = world.questions.iter().map(|question| question.context()).collect();
    let inputs = world.questions.iter().zip(&contexts).map(|(question, context)| question.input(context));
    let parsed: Result<Vec<_>, _> = inputs.map(Request::parse).collect();
    let requests = parsed.unwrap_or_else(|violations| stop(&format!("{violations:?}")));
    let decide = percentiles(&requests, &mut |request| {
        black_box(policy_set.authorize(request));
    });
    let walk = percentiles(&requests, &mut |request| {
        black_box(policy_set.explain(request));
    });
    let _ = writeln!(
        std::io::stdout(),
        "{}: decide p50 {} ns, p99 {} ns; the whole walk p50 {:.1} x, p99 {:.1} x as much",
        world.name,
        decide.0,
        decide.1,
        walk.0 as f64 / decide.0.max(1) as f64,
        walk.1 as f64 / decide.1.max(1) as f64,
    );
}

/// Nanoseconds of one call: median and 99th percentile over batches.
fn percentiles(requests: &[Request<'_>], call: &mut dyn FnMut(&Request<'_>)) -> (u128, u128) {
    let mut next = requests.iter().cycle();
    let mut times: Vec<u128> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            next.by_ref().take(BATCH).for_each(&mut *call);
            start.elapsed().as_nanos() / BATCH as u128
        })
        .collect();
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default();
    (at(50), at(99))
}

fn decide(criterion: &mut Criterion, world: &World) {
    let policy_set = world.build().unwrap_or_else(|problem| stop(&problem));
    world.check(&policy_set).unwrap_or_else(|problem| stop(&problem));
    let contexts: Vec<_> = world.questions.iter().map(|question| question.context()).collect();
    let inputs: Vec<_> = world
        .questions
        .iter()
        .zip(&contexts)
        .map(|(question, context)| (question.input(context), question.expected))
        .collect();
    let parse = |input| Request::parse(input).unwrap_or_else(|violations| stop(&format!("{violations:?}")));
    let requests: Vec<_> = inputs.iter().map(|(input, expected)| (parse(*input), *expected)).collect();

    let mut group = criterion.benchmark_group(format!("decide/{}", world.name));
    group.throughput(Throughput::Elements(1));
    group.bench_function("decide", |bencher| {
        let mut next = requests.iter().cycle();
        bencher.iter(|| {
            let Some((request, expected)) = next.next() else { stop("a world without questions") };
            let decision = policy_set.authorize(black_box(request));
            if decision.reason != *expected {
                stop(&format!("{:?}: the answer is {}", request.input(), decision.reason.as_str()));
            }
            black_box(decision);
        });
    });
    group.bench_function("parse and decide", |bencher| {
        let mut next = inputs.iter().cycle();
        bencher.iter(|| {
            let Some((input, expected)) = next.next() else { stop("a world without questions") };
            let request = parse(black_box(*input));
            if policy_set.authorize(&request).reason != *expected {
                stop(&format!("{input:?}: the answer differs"));
            }
        });
    });
    group.finish();
}
