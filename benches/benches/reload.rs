//! What a reload costs those who ask meanwhile, and how soon a change is seen.
//!
//! One thread asks without a pause, through the store's current snapshot. First nothing changes; then the directory is
//! written to again as soon as the last change is seen. Every answer is compared in both phases: the changes touch no
//! question, so one wrong answer is a reader that saw something in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mimalloc::MiMalloc;
use portcullis_benches::measure::{Times, decide, duration, print_table, ratio, touch};
use portcullis_benches::question::Borrowed;
use portcullis_benches::{World, stop, write_sources};
use portcullis_store::{Store, StoreOptions};

/// The sidecar's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const QUIET: Duration = Duration::from_secs(3);
const RELOADS: usize = 20;
/// However slow a load is, the phase ends.
const LONGEST: Duration = Duration::from_secs(60);
const HEAD: [&str; 11] = [
    "world",
    "reloads",
    "event to visible p50",
    "max",
    "quiet p50",
    "p99",
    "p99.9",
    "reloading p50",
    "p99",
    "p99.9",
    "p99 / p99",
];

fn main() {
    let mut rows = vec![Vec::from(HEAD.map(str::to_owned))];
    for world in World::all() {
        rows.push(measure(&world).unwrap_or_else(|problem| stop(&format!("{}: {problem}", world.name))));
    }
    print_table("Decisions while the directory changes, every answer right", &rows);
}

fn measure(world: &World) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    write_sources(&world.sources, folder.path()).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let store = runtime.block_on(async { Store::open(StoreOptions::new(folder.path())) });
    runtime.block_on(visible(&store, 1))?;

    let (mut quiet, ()) = during(world, &store, || thread::sleep(QUIET))?;
    let (mut reloading, seen) = during(world, &store, || runtime.block_on(reload(&store, folder.path())))?;
    let mut seen = seen?;
    let at = |times: &mut Times, percent| duration(times.at(percent) as f64);
    let moved = ratio(reloading.at(99.0) as f64, quiet.at(99.0) as f64);
    Ok(vec![
        world.name.clone(),
        seen.count().to_string(),
        at(&mut seen, 50.0),
        at(&mut seen, 100.0),
        at(&mut quiet, 50.0),
        at(&mut quiet, 99.0),
        at(&mut quiet, 99.9),
        at(&mut reloading, 50.0),
        at(&mut reloading, 99.0),
        at(&mut reloading, 99.9),
        moved,
    ])
}

/// Asks on a thread of its own for as long as something else takes.
fn during<T>(world: &World, store: &Store, something: impl FnOnce() -> T) -> Result<(Times, T), String> {
    let ended = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        let reader = scope.spawn(|| ask(world, store, &ended));
        let result = something();
        ended.store(true, Ordering::Relaxed);
        let times = reader.join().map_err(|_| "the reader died".to_owned())??;
        Ok((times, result))
    })
}

fn ask(world: &World, store: &Store, ended: &AtomicBool) -> Result<Times, String> {
    let borrowed: Vec<(Borrowed<'_>, _)> =
        world.questions.iter().map(|question| (question.borrow(), question.expected)).collect();
    let mut times = Times::new();
    for (question, expected) in borrowed.iter().cycle() {
        if ended.load(Ordering::Relaxed) {
            break;
        }
        let input = question.input();
        touch(&input);
        let answer = times.time(|| decide(&store.current()?.policy_set, input));
        if answer != Some(*expected) {
            return Err(format!("{input:?}: the answer is {answer:?}"));
        }
    }
    Ok(times)
}

/// Changes the directory over and over; the times from a change to its being served.
async fn reload(store: &Store, directory: &Path) -> Result<Times, String> {
    let (mut seen, start) = (Times::new(), Instant::now());
    for number in 0..RELOADS {
        if start.elapsed() > LONGEST {
            break;
        }
        let next = *store.subscribe().borrow() + 1;
        let name = format!("of-the-bench-{number}");
        let arn = format!("arn:aws:iam::123456789012:group/{name}");
        let text =
            format!(r#"{{"GroupDetailList": [{{"GroupName": "{name}", "Path": "/", "Arn": "{arn}"}}]}}"#);
        // Written beside and renamed, as a careful deployment does.
        let beside = directory.join(".of-the-bench.tmp");
        std::fs::write(&beside, text).map_err(|error| error.to_string())?;
        std::fs::rename(&beside, directory.join("zz-of-the-bench.json"))
            .map_err(|error| error.to_string())?;
        let event = Instant::now();
        visible(store, next).await?;
        seen.add(event.elapsed());
    }
    Ok(seen)
}

async fn visible(store: &Store, wanted: u64) -> Result<(), String> {
    let mut generation = store.subscribe();
    let seen = tokio::time::timeout(LONGEST, generation.wait_for(|generation| *generation >= wanted)).await;
    match seen {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err("the store ended".to_owned()),
        Err(_) => Err(format!("generation {wanted} was not published: {:?}", store.status().rejection)),
    }
}
