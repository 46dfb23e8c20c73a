//! `explain`: the whole walk of one question.

use portcullis_engine::{LoadMode, OwnedKeys};

use super::authorize::refused;
use super::{directory, remote};
use crate::args::{Explain, Output};
use crate::exit::Exit;
use crate::render::decision::Answer;
use crate::render::explain::{ExplanationObject, write_explanation};
use crate::render::write_json_pretty;
use crate::request::RequestText;

pub(super) fn run(explain: &Explain) -> anyhow::Result<Exit> {
    let request = RequestText::of_question(&explain.question)?;
    let explanation = match &explain.source.at {
        Some(at) => {
            let Some(policy_set) = directory::load_or_report(at, LoadMode::Lenient)? else {
                return Ok(Exit::PoliciesRejected);
            };
            let asked = request.put(OwnedKeys::Override, LoadMode::Lenient, |request| {
                let explanation = policy_set.explain(request);
                let answer = Answer::of(&explanation.decision, request);
                ExplanationObject::of(explanation, answer)
            });
            match asked {
                Ok(explanation) => explanation,
                Err(refusal) => return refused(refusal),
            }
        }
        None => remote::explain(&explain.source, &explain.transport, &request)?,
    };
    let mut out = anstream::stdout().lock();
    match explain.output {
        Output::Human => write_explanation(&mut out, &explanation)?,
        Output::Json => write_json_pretty(&mut out, &explanation)?,
    }
    Ok(if explanation.answer.denied() { Exit::Denied } else { Exit::Ok })
}
