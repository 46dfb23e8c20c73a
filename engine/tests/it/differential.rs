//! The compiled engine against the reference evaluator, on generated worlds.
//!
//! `PORTCULLIS_DIFFERENTIAL_DECISIONS` and `PORTCULLIS_DIFFERENTIAL_SEED` widen or move the run.

mod coverage;
mod minimise;

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;

use crate::generator::{Dice, requests, worlds};
use crate::reference::{self, Answer};
use crate::simulate::{self, Decoded};
use coverage::Coverage;
use portcullis_engine::{Decision, Effect, Explanation, Instant, PolicySet, Reason, Request, RequestInput};

const DECISIONS: u64 = 1_000_000;
const SEED: u64 = 0x5eed_0001;
const REQUESTS_PER_WORLD: u64 = 400;
const THREADS: u64 = 2;
/// One request in so many is explained too.
const EXPLAIN_EVERY: u64 = 16;

/// The compiled engine's answer in the words of the reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiled {
    decision: &'static str,
    reason: &'static str,
    layer: &'static str,
}

impl Compiled {
    /// Whether the reference may have said this.
    pub(crate) fn agrees(&self, answer: &Answer) -> bool {
        self.decision == answer.decision
            && self.reason == answer.reason
            && answer.layers.contains(&self.layer)
    }
}

impl Compiled {
    /// Whether the decision is Deny.
    pub(crate) fn denies(&self) -> bool {
        self.decision == "Deny"
    }
}

/// Asks the compiled engine; an error is the text of what is wrong with the request.
pub(crate) fn compiled(policy_set: &PolicySet, request: &Value, explain: bool) -> Result<Compiled, String> {
    let decoded = Decoded::of(request).map_err(|diagnostics| format!("{diagnostics:?}"))?;
    decoded.ask(|request| {
        let decision = policy_set.authorize(request);
        if explain {
            let explanation = policy_set.explain(request);
            assert_eq!(explanation.decision, decision, "explain and authorize differ");
            check_walk(&explanation);
            check_time(policy_set, request, &decision);
        }
        Compiled {
            decision: if decision.effect == Effect::Allow { "Allow" } else { "Deny" },
            reason: decision.reason.as_str(),
            layer: decision.layer.as_str(),
        }
    })
}

/// The walk of an explanation looks at every statement; the decision comes through the index. They must agree.
fn check_walk(explanation: &Explanation<'_>) {
    let Explanation { decision, layers, .. } = explanation;
    let statements = || layers.iter().flat_map(|layer| &layer.statements).filter(|it| it.matched);
    let denied = statements().any(|it| it.effect == Effect::Deny);
    match decision.reason {
        // What is always allowed (E-40) is not denied by a statement either.
        Reason::Allowed => assert!(!denied || decision.statements.is_empty(), "{explanation:#?}"),
        Reason::ExplicitDeny => assert!(denied, "{explanation:#?}"),
        Reason::ImplicitDeny => assert!(!denied, "{explanation:#?}"),
        Reason::EvaluationLimit => {}
    }
    for decided in &decision.statements {
        assert!(statements().any(|it| it.statement == *decided), "{explanation:#?}");
    }
}

/// A decision that did not depend on time is the same at any other time.
fn check_time(policy_set: &PolicySet, request: &Request<'_>, decision: &Decision<'_>) {
    if decision.depends_on_time {
        return;
    }
    let expected = format!("{decision:?}");
    for now in [Instant::new(0, 0), Instant::new(1_893_456_000, 1), Instant::new(4_102_444_799, 999)] {
        let input = RequestInput { now, ..*request.input() };
        let later = Request::parse(input).expect("only the time is another");
        assert_eq!(format!("{:?}", policy_set.authorize(&later)), expected, "at another time, {now:?}");
    }
}

/// What one thread saw.
#[derive(Default)]
struct Tally {
    reasons: BTreeMap<&'static str, u64>,
    coverage: Coverage,
    mismatches: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "a test run is widened from outside")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn run(seed: u64, worlds: impl Iterator<Item = u64>) -> Tally {
    let mut tally = Tally::default();
    for number in worlds {
        let mut dice = Dice::new(seed ^ number.wrapping_mul(0x2545_f491_4f6c_dd1d));
        let world = worlds::world(&mut dice);
        let policy_set = simulate::load(&world.directory).unwrap_or_else(|diagnostics| {
            panic!("world {number} does not load: {diagnostics:#?}\n{}", world.directory)
        });
        tally.coverage.world(&world.directory);
        for at in 0..REQUESTS_PER_WORLD {
            let request = requests::request(&mut dice, &world);
            let expected = reference::decide(&world.directory, &request);
            let got = compiled(&policy_set, &request, at % EXPLAIN_EVERY == 0);
            *tally.reasons.entry(expected.reason).or_default() += 1;
            tally.coverage.request(&request);
            if !got.as_ref().is_ok_and(|got| got.agrees(&expected)) {
                tally.mismatches.push(minimise::report(&world.directory, &request));
                if tally.mismatches.len() >= 3 {
                    return tally;
                }
                break; // one of a world is enough
            }
        }
    }
    tally
}

#[test]
fn compiled_engine_agrees_with_reference() {
    let decisions = setting("PORTCULLIS_DIFFERENTIAL_DECISIONS", DECISIONS);
    let seed = setting("PORTCULLIS_DIFFERENTIAL_SEED", SEED);
    let count = decisions.div_ceil(REQUESTS_PER_WORLD);
    let tallies: Vec<Tally> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || run(seed, (0..count).filter(|number| number % THREADS == thread)))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("a finished thread")).collect()
    });
    let mut total = Tally::default();
    for tally in tallies {
        for (reason, count) in tally.reasons {
            *total.reasons.entry(reason).or_default() += count;
        }
        total.coverage.merge(tally.coverage);
        total.mismatches.extend(tally.mismatches);
    }
    assert!(total.mismatches.is_empty(), "seed {seed}:\n{}", total.mismatches.join("\n\n"));
    let answered: u64 = total.reasons.values().sum();
    assert!(answered >= decisions, "{answered} decisions");
    for reason in ["Allowed", "ExplicitDeny", "ImplicitDeny"] {
        let share = total.reasons.get(reason).copied().unwrap_or(0) * 100 / answered;
        assert!((15..=50).contains(&share), "{reason} is {share} % of the answers");
    }
    let missing = total.coverage.missing();
    assert!(missing.is_empty(), "the generator never made: {missing:?}");
}
