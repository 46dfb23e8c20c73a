//! What a reload writes to the log: one error line for each finding of a refused directory, once.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::fixture::{Place, generation, policy, rejected_files, scanned};

/// Keeps the error lines.
#[derive(Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
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
    let errors = Errors::default();
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
    let lines = errors.0.lock().unwrap().clone();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("z.json") && lines[1].contains("more=51"), "{lines:?}");
}

// The reload task runs on the thread of the test, and so its lines come to the subscriber of that thread.
#[tokio::test(flavor = "current_thread")]
async fn each_finding_is_one_error_line_once() {
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let place = Place::with_directory();
    place.write("good.json", policy("good"));
    place.write("bad.json", "");
    place.write("worse.json", "[");
    let store = place.open();
    assert_eq!(rejected_files(&store).await, ["bad.json", "worse.json"]);
    scanned(&store).await;
    let lines = errors.0.lock().unwrap().clone();
    assert_eq!(lines.len(), store.status().rejection.unwrap().diagnostics.len(), "{lines:?}");
    assert!(lines[0].contains("file=bad.json") && lines[0].contains("code=\"empty-file\""), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("file=worse.json")), "{lines:?}");

    place.write("bad.json", "{}");
    place.write("worse.json", "{}");
    generation(&store, 1).await;
}
