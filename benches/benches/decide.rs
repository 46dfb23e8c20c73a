//! What one decision costs: alone, and with the request parsed from the caller's texts first.
//!
//! Every answer is compared with the expected one before and while time is taken.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::{World, stop};
use portcullis_engine::Request;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for world in World::all() {
        decide(&mut criterion, &world);
    }
    criterion.final_summary();
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
