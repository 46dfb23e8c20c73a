//! What a reload writes to the log: one error line for each finding of a refused directory, once; and what a new policy
//! set changed.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fixture::{Place, generation, policy, rejected_files, scanned};

/// Keeps the lines of one level.
#[derive(Clone)]
struct Lines {
    level: Level,
    told: Arc<Mutex<Vec<String>>>,
}

impl Lines {
    fn of(level: Level) -> Self {
        Self { level, told: Arc::default() }
    }

    fn so_far(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == self.level
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.told.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A file whose only statement has a `Sid` that is worth a warning.
fn remarked(name: &str) -> String {
    policy(name).replace(r#"{"Effect""#, r#"{"Sid": "a b", "Effect""#)
}

#[tokio::test(flavor = "current_thread")]
async fn of_very_many_findings_the_first_are_told_and_none_hides_an_error() {
    let errors = Lines::of(Level::ERROR);
    let _guard = tracing::subscriber::set_default(errors.clone());
    let place = Place::with_directory();
    for number in 0..150 {
        place.write(&format!("a{number}.json"), remarked(&format!("a{number}")));
    }
    place.write("z.json", "");
    let store = place.open();
    scanned(&store).await;
    let rejection = store.status().rejection.unwrap();
    assert_eq!(rejection.diagnostics.len(), 151);
    assert_eq!(rejection.diagnostics.first().unwrap().file, "z.json");
    let lines = errors.so_far();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("z.json") && lines[1].contains("more=51"), "{lines:?}");
}

// The reload task runs on the thread of the test, and so its lines come to the subscriber of that thread.
#[tokio::test(flavor = "current_thread")]
async fn each_finding_is_one_error_line_once() {
    let errors = Lines::of(Level::ERROR);
    let _guard = tracing::subscriber::set_default(errors.clone());
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    place.write("bad.json", "");
    place.write("worse.json", "[");
    let store = place.open();
    assert_eq!(rejected_files(&store).await, ["bad.json", "worse.json"]);
    scanned(&store).await;
    let lines = errors.so_far();
    assert_eq!(lines.len(), store.status().rejection.unwrap().diagnostics.len(), "{lines:?}");
    assert!(lines[0].contains("file=bad.json") && lines[0].contains("code=\"empty-file\""), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("file=worse.json")), "{lines:?}");

    place.write("bad.json", "{}");
    place.write("worse.json", "{}");
    generation(&store, 1).await;
}

#[tokio::test(flavor = "current_thread")]
async fn fewer_denials_than_before_are_a_warning_with_what_changed() {
    let warnings = Lines::of(Level::WARN);
    let _guard = tracing::subscriber::set_default(warnings.clone());
    let place = Place::with_directory();
    place.write("deny.json", policy("deny").replace("Allow", "Deny"));
    place.write("allow.json", policy("allow"));
    let store = place.open();
    generation(&store, 1).await;
    assert_eq!(warnings.so_far(), [""; 0], "the first has nothing before it");
    place.write("allow.json", policy("other"));
    generation(&store, 2).await;
    assert_eq!(warnings.so_far(), [""; 0], "as many as before");
    place.write("deny.json", policy("deny"));
    generation(&store, 3).await;
    let told = warnings.so_far();
    assert_eq!(told.len(), 1, "{told:?}");
    let sentence = "1 file changed (deny.json); statements 2 -> 2, of them Deny 1 -> 0";
    assert!(told[0].contains(sentence) && told[0].contains("generation=3"), "{told:?}");
}
