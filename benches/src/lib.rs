//! Worlds to measure in, and the right answers to hold every measurement against.
//!
//! A world is a policy directory and questions with their expected answers. It is drawn from a seed ([`generate`]), read
//! from a directory ([`read`]), or made of real policies
//! ([`managed`]). Nothing here measures: the benches do.
//!
//! Invariant *right first*: [`World::build`] and [`World::check`] refuse a world whose policies do not load or whose
//! answers differ, so no time is ever taken of a wrong decision.

pub mod account;
pub mod generate;
pub mod managed;
pub mod measure;
#[cfg(feature = "peers")]
pub mod peer;
pub mod question;
mod read;
pub mod scan;
pub mod statement;
pub mod wire;

use std::ffi::OsStr;
use std::path::Path;

use portcullis_engine::{LoadMode, PolicySet, PolicySetBuilder, Request, Severity};

pub use generate::Shape;
pub use question::Question;
pub use read::{read, sources, write, write_sources};

/// Names a folder whose subfolders are worlds, beside the generated ones. A world of the same name is read, not drawn.
pub const WORLDS_VARIABLE: &str = "PORTCULLIS_WORLDS";
/// Names a directory with an account export whose managed policies become the world W7.
pub const MANAGED_VARIABLE: &str = "PORTCULLIS_MANAGED";
/// The worlds to measure in, by name and separated by commas; everything that is there when unset.
pub const ONLY_VARIABLE: &str = "PORTCULLIS_ONLY";
/// The seed of generated worlds.
pub const SEED_VARIABLE: &str = "PORTCULLIS_SEED";
/// Worlds that are quickly drawn, and therefore always there.
pub const DRAWN: [&str; 5] = ["W1", "W2", "W5_100", "W5_1k", "W6"];
const SEED: u64 = 42;
/// Questions of each world that a walk over every statement answers as well.
const WALKED: usize = 100;

/// A policy directory and what to ask it.
#[derive(Debug)]
pub struct World {
    /// Shown in the names of the benches.
    pub name: String,
    /// File names and their texts.
    pub sources: Vec<(String, Vec<u8>)>,
    /// Questions with their answers.
    pub questions: Vec<Question>,
}

impl World {
    /// The worlds to measure in, in the order of their names: see [`WORLDS_VARIABLE`], [`ONLY_VARIABLE`].
    #[must_use]
    pub fn all() -> Vec<Self> {
        let only = std::env::var(ONLY_VARIABLE).ok();
        let wanted = |name: &str| only.as_deref().is_none_or(|only| only.split(',').any(|only| only == name));
        let mut worlds = Vec::new();
        if let Some(folder) = std::env::var_os(WORLDS_VARIABLE) {
            worlds = below(Path::new(&folder), &wanted).unwrap_or_else(|problem| stop(&problem));
        }
        // The small ones are drawn always, a large one when it is asked for by its name.
        for shape in generate::SHAPES {
            let asked = only.is_some() || DRAWN.contains(&shape.name);
            if asked && wanted(shape.name) && !worlds.iter().any(|world| world.name == shape.name) {
                worlds.push(shape.world(seed()));
            }
        }
        if let Some(directory) = std::env::var_os(MANAGED_VARIABLE).filter(|_| wanted("W7")) {
            worlds
                .push(managed::world(Path::new(&directory), seed()).unwrap_or_else(|problem| stop(&problem)));
        }
        if worlds.is_empty() {
            stop("none of the worlds asked for is there");
        }
        worlds.sort_by(|one, other| order(&one.name).cmp(&order(&other.name)));
        worlds
    }

    /// Loads the sources as the sidecar does by default.
    ///
    /// # Errors
    /// The first diagnostic that is an error.
    pub fn build(&self) -> Result<PolicySet, String> {
        build(self.sources.clone())
    }

    /// Asks every question once and compares the answers.
    ///
    /// # Errors
    /// The first question whose answer differs from the expected one.
    pub fn check(&self, policy_set: &PolicySet) -> Result<(), String> {
        for question in &self.questions {
            let answer = question.ask(policy_set)?;
            if answer != question.expected {
                return Err(format!("{}: {question:?}: the answer is {}", self.name, answer.as_str()));
            }
        }
        Ok(())
    }

    /// Asks some questions again by a walk over every statement, which shares no index with a decision.
    ///
    /// # Errors
    /// The first question that the walk answers differently.
    pub fn check_walk(&self, policy_set: &PolicySet, questions: usize) -> Result<(), String> {
        for question in self.questions.iter().take(questions) {
            let borrowed = question.borrow();
            let request = Request::parse(borrowed.input()).map_err(|violations| format!("{violations:?}"))?;
            let answer = policy_set.explain(&request).decision.reason;
            if answer != question.expected {
                return Err(format!("{}: {question:?}: the walk says {}", self.name, answer.as_str()));
            }
        }
        Ok(())
    }

    /// A policy set whose answers are right, or the end of the bench.
    #[must_use]
    pub fn checked(&self) -> PolicySet {
        let policy_set = self.build().unwrap_or_else(|problem| stop(&problem));
        self.check(&policy_set).unwrap_or_else(|problem| stop(&problem));
        self.check_walk(&policy_set, WALKED).unwrap_or_else(|problem| stop(&problem));
        policy_set
    }
}

/// Loads texts as the sidecar does by default.
///
/// # Errors
/// The first diagnostic that is an error.
pub fn build(sources: Vec<(String, Vec<u8>)>) -> Result<PolicySet, String> {
    let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
    for (file, text) in sources {
        builder.add(&file, text);
    }
    let loaded = builder.finish();
    loaded.policy_set.ok_or_else(|| {
        let error = loaded.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
        error.map_or_else(|| "no policy set".to_owned(), |error| format!("{}: {}", error.file, error.message))
    })
}

/// The seed of generated worlds.
#[must_use]
pub fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().unwrap_or_else(|_| stop(&format!("{SEED_VARIABLE} must be a number"))),
        Err(_) => SEED,
    }
}

/// The order of the shapes; worlds of other names come last.
fn order(name: &str) -> (usize, &str) {
    let shapes = generate::SHAPES;
    (shapes.iter().position(|shape| shape.name == name).unwrap_or(shapes.len()), name)
}

/// The worlds in the subfolders of a folder.
fn below(folder: &Path, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<World>, String> {
    let place = |error| format!("{}: {error}", folder.display());
    let mut worlds = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(place)? {
        let path = entry.map_err(place)?.path();
        let named = path.file_name().and_then(OsStr::to_str).is_some_and(wanted);
        if named && path.join("requests.jsonl").is_file() {
            worlds.push(read(&path)?);
        }
    }
    Ok(worlds)
}

/// Ends a bench that cannot measure anything meaningful.
#[expect(
    clippy::panic,
    reason = "a bench has no caller to report to, and a wrong answer must not get a time"
)]
pub fn stop(problem: &str) -> ! {
    panic!("{problem}")
}
