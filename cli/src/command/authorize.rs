//! `authorize`: one question, decided here on a directory or by a running sidecar.

use std::io::Write;

use portcullis_engine::{Diagnostic, LoadMode, OwnedKeys};

use super::{directory, remote};
use crate::args::{Authorize, DecisionName, Output};
use crate::exit::{Exit, usage};
use crate::render::decision::{Answer, write_answer};
use crate::render::diagnostic::write_diagnostics;
use crate::render::write_json_pretty;
use crate::request::{Refusal, RequestText};

pub(super) fn run(authorize: &Authorize) -> anyhow::Result<Exit> {
    let request = RequestText::of_question(&authorize.question)?;
    let answer = match &authorize.source.at {
        Some(at) => {
            let Some(policy_set) = directory::load_or_report(at, LoadMode::Lenient)? else {
                return Ok(Exit::PoliciesRejected);
            };
            let asked = request.put(OwnedKeys::Refuse, LoadMode::Lenient, |request| {
                Answer::of(&policy_set.authorize(request), request)
            });
            match asked {
                Ok(answer) => answer,
                Err(refusal) => return refused(refusal),
            }
        }
        None => remote::authorize(&authorize.source, &authorize.transport, &request)?,
    };
    write(&mut anstream::stdout().lock(), &answer, authorize.output)?;
    Ok(exit(answer.denied(), authorize.expect))
}

/// How the answer ends the program: by itself, or by whether it was the expected one.
fn exit(denied: bool, expected: Option<DecisionName>) -> Exit {
    match expected {
        None if denied => Exit::Denied,
        Some(expected) if denied != (expected == DecisionName::Deny) => Exit::ExpectationsFailed,
        _ => Exit::Ok,
    }
}

fn write(out: &mut impl Write, answer: &Answer, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Human => write_answer(out, answer),
        Output::Json => write_json_pretty(out, answer),
    }
}

/// A question that the engine does not take: wrong flags, or session policies that do not load.
pub(super) fn refused(refusal: Refusal) -> anyhow::Result<Exit> {
    match refusal {
        Refusal::Malformed(violations) => {
            let lines: Vec<_> = violations.iter().map(ToString::to_string).collect();
            Err(usage(lines.join("\n       ")))
        }
        Refusal::SessionPolicies(diagnostics) => rejected(&diagnostics),
    }
}

fn rejected(diagnostics: &[Diagnostic]) -> anyhow::Result<Exit> {
    write_diagnostics(&mut anstream::stderr().lock(), diagnostics)?;
    Ok(Exit::PoliciesRejected)
}
