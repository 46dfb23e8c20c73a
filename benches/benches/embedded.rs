//! What a decision in a service's own process costs over the engine alone.
//!
//! The engine's decision is raw texts in and a reason out, as in `decide`. The other begins with a request of the client
//! library and ends with its decision; *let go* adds what it costs to drop both. They take turns on the same questions, and
//! each answer is compared with the right one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mimalloc::MiMalloc;
use portcullis_benches::measure::{self, Times, decide, duration, print_table, ratio, touch};
use portcullis_benches::question::{Borrowed, Question, Value};
use portcullis_benches::{World, stop};
use portcullis_client::embedded::LoadMode;
use portcullis_client::{Embedded, Request, Session};
use portcullis_engine::{PolicySet, Reason};

/// The sidecar's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The worlds take turns, so that a slow minute of the machine is everybody's.
const ROUNDS: usize = 20;
/// Decisions of one turn that are not timed, and that are.
const WARM: usize = 1_000;
const TIMED: usize = 3_000;

fn main() {
    let worlds = World::all();
    let mut cases: Vec<Case<'_>> = worlds.iter().map(Case::new).collect();
    for _ in 0..ROUNDS {
        cases.iter_mut().for_each(Case::turn);
    }
    let head = ["world", "questions", "engine p50", "embedded p50", "ratio", "let go p50", "ratio"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for case in &mut cases {
        let (engine, embedded, let_go) = (case.raw.median(), case.embedded.median(), case.let_go.median());
        rows.push(vec![
            case.world.name.clone(),
            case.questions.len().to_string(),
            duration(engine),
            duration(embedded),
            ratio(embedded, engine),
            duration(let_go),
            ratio(let_go, engine),
        ]);
    }
    print_table("One decision, by the engine alone and embedded in a service", &rows);
    let left_out: usize = cases.iter().map(|case| case.world.questions.len() - case.questions.len()).sum();
    measure::print(&format!("{left_out} questions that bring a time of their own are left out"));
}

/// A world being measured.
struct Case<'a> {
    world: &'a World,
    policy_set: PolicySet,
    pdp: Embedded,
    questions: Vec<(Borrowed<'a>, Request, Reason)>,
    raw: Times,
    embedded: Times,
    let_go: Times,
    next: usize,
}

impl<'a> Case<'a> {
    fn new(world: &'a World) -> Self {
        let pdp = Embedded::from_files(world.sources.clone(), LoadMode::Lenient)
            .unwrap_or_else(|error| stop(&error.to_string()));
        let asked = |question: &'a Question| {
            let request = request(question);
            let decision = pdp.decide_now(request.clone()).ok()?;
            let right = decision.reason().as_str() == question.expected.as_str();
            right.then(|| (question.borrow(), request, question.expected))
        };
        let questions: Vec<_> = world.questions.iter().filter_map(asked).collect();
        // A clock of its own is the one thing that a live decision does not take.
        if questions.is_empty() || (questions.len() < world.questions.len() && world.name != "W6") {
            stop(&format!("{}: embedded answers differ", world.name));
        }
        let (raw, embedded, let_go) = (Times::new(), Times::new(), Times::new());
        Self { world, policy_set: world.checked(), pdp, questions, raw, embedded, let_go, next: 0 }
    }

    fn turn(&mut self) {
        for number in 0..WARM + TIMED {
            let at = self.next % self.questions.len();
            self.next += 1;
            let Some((borrowed, request, expected)) = self.questions.get(at) else { return };
            let input = borrowed.input();
            touch(&input);
            let request = request.clone();
            let right = match (number < WARM, number % 3) {
                (true, _) => decide(&self.policy_set, input) == Some(*expected),
                (_, 0) => self.raw.time(|| decide(&self.policy_set, input)) == Some(*expected),
                (_, 1) => {
                    let decision = self.embedded.time(|| self.pdp.decide_now(request));
                    decision.is_ok_and(|decision| decision.reason().as_str() == expected.as_str())
                }
                _ => {
                    let decide = || self.pdp.decide_now(request).map(|decision| decision.reason());
                    self.let_go.time(decide).is_ok_and(|reason| reason.as_str() == expected.as_str())
                }
            };
            if !right {
                stop(&format!("{}: {input:?}: the answer differs", self.world.name));
            }
        }
    }
}

/// A question as a service asks it.
fn request(question: &Question) -> Request {
    let mut request = Request::new(&question.principal, &question.action, &question.resource);
    for (key, value) in &question.context {
        request = match value {
            Value::Text(text) => request.context(key, text.as_str()),
            Value::List(list) => request.context(key, list.clone()),
            Value::Bool(flag) => request.context(key, *flag),
        };
    }
    if question.mfa {
        let recently = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = UNIX_EPOCH + recently.saturating_sub(Duration::from_secs(60));
        request = request.session(Session::new().mfa_authenticated_at(at));
    }
    request
}
