//! Worlds to measure in, and the right answers to hold every measurement against.
//!
//! A world is a policy directory and questions with their expected answers. Two are drawn here from a seed
//! ([`generate`]); any other is read from a directory ([`read`]). Nothing here measures: the benches do.
//!
//! Invariant *right first*: [`World::build`] and [`World::check`] refuse a world whose policies do not load or whose
//! answers differ, so no time is ever taken of a wrong decision.

pub mod generate;
pub mod question;
mod read;
mod reference;

use std::path::Path;

use portcullis_engine::{LoadMode, PolicySet, PolicySetBuilder, Severity};

pub use question::Question;
pub use read::read;

/// Names the directory of a world to measure in, beside the generated ones.
pub const WORLD_VARIABLE: &str = "PORTCULLIS_WORLD";

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
    /// The worlds to measure: the generated ones and the one that [`WORLD_VARIABLE`] names.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut worlds = vec![generate::world(&generate::FLOOR, 42), generate::world(&generate::SERVICE, 42)];
        if let Some(path) = std::env::var_os(WORLD_VARIABLE) {
            worlds.push(read(Path::new(&path)).unwrap_or_else(|problem| stop(&problem)));
        }
        worlds
    }

    /// Loads the sources as the sidecar does by default.
    ///
    /// # Errors
    /// The first diagnostic that is an error.
    pub fn build(&self) -> Result<PolicySet, String> {
        let mut builder = PolicySetBuilder::new(LoadMode::Lenient);
        for (file, text) in &self.sources {
            builder.add(file, text.clone());
        }
        let loaded = builder.finish();
        loaded.policy_set.ok_or_else(|| {
            let error = loaded.diagnostics.iter().find(|diagnostic| diagnostic.severity == Severity::Error);
            error.map_or_else(
                || "no policy set".to_owned(),
                |error| format!("{}: {}", error.file, error.message),
            )
        })
    }

    /// Asks every question once and compares the answers.
    ///
    /// # Errors
    /// The first question whose answer differs from the expected one.
    pub fn check(&self, policy_set: &PolicySet) -> Result<(), String> {
        for question in &self.questions {
            let answer = question.ask(policy_set)?;
            if answer != question.expected {
                return Err(format!("{question:?}: the answer is {}", answer.as_str()));
            }
        }
        Ok(())
    }
}

/// Ends a bench that cannot measure anything meaningful.
#[expect(
    clippy::panic,
    reason = "a bench has no caller to report to, and a wrong answer must not get a time"
)]
pub fn stop(problem: &str) -> ! {
    panic!("{problem}")
}
