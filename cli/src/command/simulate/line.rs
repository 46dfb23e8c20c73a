//! One line of `simulate`: its policies, its request, its reply.

use portcullis_engine::{Diagnostic, LoadMode, Loaded, OwnedKeys, PolicySet, PolicySetBuilder};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::render::decision::Answer;
use crate::render::diagnostic::{DiagnosticObject, Tally};
use crate::request::{Line, Refusal, request_of_json, sentence};

/// Answers lines one after the other.
pub(super) struct Lines {
    /// The policy set of `--at`.
    given: Option<PolicySet>,
    /// What the input is called in places.
    name: String,
    mode: LoadMode,
    /// The policies of the line before, so that a run of lines with the same ones compiles them once.
    latest: Option<(String, Loaded)>,
}

/// What a line yields.
pub(super) enum Reply {
    Answer(Answer),
    Error(LineError),
}

/// Why a line has no answer.
pub(super) struct LineError {
    code: &'static str,
    message: String,
    diagnostics: Vec<DiagnosticObject>,
    /// Whether the policies are to blame.
    pub(super) policies: bool,
}

impl Reply {
    /// The answer object, or `{"Error": ..}`.
    pub(super) fn object(&self) -> Value {
        match self {
            Self::Answer(answer) => json!(answer),
            Self::Error(LineError { code, message, diagnostics, .. }) => {
                json!({ "Error": { "Code": code, "Message": message, "Diagnostics": diagnostics } })
            }
        }
    }
}

impl LineError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), diagnostics: Vec::new(), policies: false }
    }
}

impl Lines {
    pub(super) fn new(given: Option<PolicySet>, name: String, mode: LoadMode) -> Self {
        Self { given, name, mode, latest: None }
    }

    /// Answers one line.
    pub(super) fn reply(&mut self, number: u32, line: &[u8]) -> Reply {
        self.answer(number, line).map_or_else(Reply::Error, Reply::Answer)
    }

    fn answer(&mut self, number: u32, line: &[u8]) -> Result<Answer, LineError> {
        let text =
            std::str::from_utf8(line).map_err(|_| LineError::new("InvalidLine", "the line is not UTF-8"))?;
        let parts = parts(text)?;
        let place = Place { file: self.name.clone(), line: number, column: 0 };
        let (policy_set, place) = match (parts.policies, &self.given) {
            (None, Some(given)) => (given, None),
            (None, None) => return Err(LineError::new("InvalidLine", "the line has no `Policies`")),
            (Some(_), Some(_)) => {
                return Err(LineError::new(
                    "InvalidLine",
                    "`Policies` cannot stand beside the directory of --at",
                ));
            }
            (Some(policies), None) => {
                let place = Place { column: characters_before(text, policies.get()), ..place };
                (compile(&mut self.latest, policies.get(), self.mode, &place)?, Some(place))
            }
        };
        let request = parts.request.map_or(text, RawValue::get);
        let request =
            request_of_json(request).map_err(|message| LineError::new("InvalidRequest", message))?;
        let asked = request.put(OwnedKeys::Override, self.mode, |request| {
            Answer::of(&policy_set.authorize(request), request)
        });
        let mut answer = asked.map_err(refused)?;
        if let Some(place) = place {
            for statement in &mut answer.determining_statements {
                place.put(&mut statement.file, &mut statement.line, &mut statement.column);
            }
        }
        Ok(answer)
    }
}

/// Where in the input the policies of a line begin.
struct Place {
    file: String,
    line: u32,
    /// Characters before them on the line.
    column: u32,
}

/// The name that the engine knows a line's policies by.
const POLICIES: &str = "Policies";

impl Place {
    /// Turns a place within the policies into one of the input.
    fn put(&self, file: &mut String, line: &mut u32, column: &mut u32) {
        if file != POLICIES || *line == 0 {
            return;
        }
        file.clone_from(&self.file);
        if *line == 1 {
            *column = column.saturating_add(self.column);
        }
        *line = self.line.saturating_add(*line - 1);
    }

    fn object(&self, diagnostic: &Diagnostic) -> DiagnosticObject {
        let mut object = DiagnosticObject::of(diagnostic);
        self.put(&mut object.file, &mut object.line, &mut object.column);
        for related in &mut object.related {
            self.put(&mut related.file, &mut related.line, &mut related.column);
        }
        object
    }
}

fn parts(text: &str) -> Result<Line<'_>, LineError> {
    if !text.trim_start().starts_with('{') {
        return Err(LineError::new("InvalidLine", "a line is a JSON object"));
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| {
        LineError::new("InvalidLine", format!("{} at column {}", sentence(&error), error.column()))
    })?;
    if line.request.is_none() && (line.policies.is_some() || line.expect.is_some()) {
        return Err(LineError::new("InvalidLine", "the line has no `Request`"));
    }
    Ok(line)
}

/// Characters of the line before a part of it.
fn characters_before(line: &str, part: &str) -> u32 {
    let offset = (part.as_ptr() as usize).saturating_sub(line.as_ptr() as usize);
    let before = line.get(..offset).unwrap_or_default();
    u32::try_from(before.chars().count()).unwrap_or(u32::MAX)
}

fn compile<'a>(
    latest: &'a mut Option<(String, Loaded)>,
    text: &str,
    mode: LoadMode,
    place: &Place,
) -> Result<&'a PolicySet, LineError> {
    let reusable = latest.take().filter(|(seen, _)| seen == text);
    let (_, loaded) = latest.insert(reusable.unwrap_or_else(|| {
        let mut builder = PolicySetBuilder::new(mode);
        builder.add(POLICIES, text.as_bytes().to_vec());
        (text.to_owned(), builder.finish())
    }));
    loaded.policy_set.as_ref().ok_or_else(|| LineError {
        code: "InvalidPolicies",
        message: format!("the policies do not load: {}", Tally::of(&loaded.diagnostics).phrase()),
        diagnostics: loaded.diagnostics.iter().map(|diagnostic| place.object(diagnostic)).collect(),
        policies: true,
    })
}

fn refused(refusal: Refusal) -> LineError {
    match refusal {
        Refusal::Malformed(violations) => {
            let sentences: Vec<_> = violations.iter().map(ToString::to_string).collect();
            LineError::new("InvalidRequest", sentences.join("; "))
        }
        Refusal::SessionPolicies(diagnostics) => LineError {
            code: "InvalidSessionPolicies",
            message: format!("the session policies do not load: {}", Tally::of(&diagnostics).phrase()),
            diagnostics: diagnostics.iter().map(DiagnosticObject::of).collect(),
            policies: true,
        },
    }
}
