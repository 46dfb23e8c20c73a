//! What a load costs: texts to a policy set in memory, and a directory on disk to a policy set.

use std::fs;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use portcullis_benches::{World, stop};
use portcullis_store::{StoreOptions, load_directory};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for world in World::all() {
        compile(&mut criterion, &world);
    }
    criterion.final_summary();
}

fn compile(criterion: &mut Criterion, world: &World) {
    let policy_set = world.build().unwrap_or_else(|problem| stop(&problem));
    world.check(&policy_set).unwrap_or_else(|problem| stop(&problem));
    let bytes: usize = world.sources.iter().map(|(_, text)| text.len()).sum();

    let mut group = criterion.benchmark_group(format!("compile/{}", world.name));
    group.throughput(Throughput::Bytes(bytes as u64));
    group.sample_size(10);
    group.bench_function("from texts", |bencher| bencher.iter(|| black_box(world.build())));
    let directory = tempfile::tempdir().unwrap_or_else(|error| stop(&error.to_string()));
    for (index, (_, text)) in world.sources.iter().enumerate() {
        let written = fs::write(directory.path().join(format!("{index}.json")), text);
        written.unwrap_or_else(|error| stop(&error.to_string()));
    }
    let options = StoreOptions::new(directory.path().to_path_buf());
    group.bench_function("from a directory", |bencher| {
        bencher.iter(|| black_box(load_directory(&options)));
    });
    group.finish();
}
