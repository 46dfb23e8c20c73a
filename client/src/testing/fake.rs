//! The script, the record, and what a test may state of the record.

use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wildmatch::WildMatch;

use crate::authorizer::Authorizer;
use crate::decision::{Decision, Layer, Message, Reason, Said};
use crate::embedded::{Embedded, LoadError};
use crate::error::Error;
use crate::request::Request;

/// Reads questions as a sidecar does; what it decides is of no interest.
static READER: LazyLock<Result<Embedded, LoadError>> = LazyLock::new(|| Embedded::from_json("{}"));

/// What the fake is to say.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It may be done.
    Allow,
    /// It may not be done.
    Deny,
    /// Nobody decides.
    Fail(Error),
}

/// An authorizer that follows a script, and policies where it has some and the script is silent. Clones share script and
/// record: a test keeps one and gives the other away.
///
/// Of several rules that fit a question the last one stated answers, so that a test may change its mind on the way. In
/// patterns `*` stands for any text and `?` for one character; actions ignore case.
#[derive(Clone, Default)]
pub struct Fake {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    rules: Vec<Arc<Rule>>,
    policies: Option<Embedded>,
    delay: Duration,
    asked: Vec<Request>,
}

type Judge = Box<dyn Fn(&Request) -> Option<Verdict> + Send + Sync>;

enum Rule {
    Pattern { action: WildMatch, resource: WildMatch, verdict: Verdict },
    Judge(Judge),
}

impl Rule {
    fn verdict(&self, request: &Request) -> Option<Verdict> {
        match self {
            Self::Pattern { action, resource, verdict } => {
                let fits = action.matches(&request.action().to_ascii_lowercase())
                    && resource.matches(request.resource());
                fits.then(|| verdict.clone())
            }
            Self::Judge(judge) => judge(request),
        }
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fake").field("asked", &self.lock().asked).finish_non_exhaustive()
    }
}

impl Fake {
    /// Denies everything.
    #[must_use]
    pub fn deny_all() -> Self {
        Self::default()
    }

    /// Allows everything.
    #[must_use]
    pub fn allow_all() -> Self {
        Self::deny_all().allow("*", "*")
    }

    /// Has no decision for anything, as when the sidecar is away.
    #[must_use]
    pub fn fail_all(error: Error) -> Self {
        Self::deny_all().fail("*", "*", error)
    }

    /// Answers as these policies say: the text of one file of a policy directory.
    ///
    /// # Errors
    /// When they do not load, with the place of each mistake.
    pub fn from_json(text: impl Into<Vec<u8>>) -> Result<Self, LoadError> {
        let shared = Shared { policies: Some(Embedded::from_json(text)?), ..Shared::default() };
        Ok(Self { shared: Arc::new(Mutex::new(shared)) })
    }

    /// From now on allows what fits.
    pub fn allow(self, action: &str, resource: &str) -> Self {
        self.state(action, resource, Verdict::Allow)
    }

    /// From now on denies what fits.
    pub fn deny(self, action: &str, resource: &str) -> Self {
        self.state(action, resource, Verdict::Deny)
    }

    /// From now on has no decision for what fits.
    pub fn fail(self, action: &str, resource: &str, error: Error) -> Self {
        self.state(action, resource, Verdict::Fail(error))
    }

    /// From now on says what the closure says; where it says nothing, what was stated before holds.
    pub fn judge(self, judge: impl Fn(&Request) -> Option<Verdict> + Send + Sync + 'static) -> Self {
        self.lock().rules.push(Arc::new(Rule::Judge(Box::new(judge))));
        self
    }

    /// From now on answers after this time only. A question with a shorter timeout ends with [`Error::Timeout`].
    pub fn delay(self, delay: Duration) -> Self {
        self.lock().delay = delay;
        self
    }

    fn state(self, action: &str, resource: &str, verdict: Verdict) -> Self {
        let (action, resource) = (WildMatch::new(&action.to_ascii_lowercase()), WildMatch::new(resource));
        self.lock().rules.push(Arc::new(Rule::Pattern { action, resource, verdict }));
        self
    }

    /// What was asked, in order; a question counts from when it was put.
    #[must_use]
    pub fn asked(&self) -> Vec<Request> {
        self.lock().asked.clone()
    }

    /// Forgets what was asked.
    pub fn forget(&self) {
        self.lock().asked.clear();
    }

    /// States that such a question was asked; the three texts are patterns.
    ///
    /// # Panics
    /// When none was, with all that were.
    #[track_caller]
    pub fn assert_asked(&self, principal: &str, action: &str, resource: &str) {
        let asked = self.asked();
        let wanted = Wanted::new(principal, action, resource);
        assert!(
            asked.iter().any(|request| wanted.fits(request)),
            "nobody asked whether {principal} may {action} on {resource}; asked were: {}",
            listed(&asked)
        );
    }

    /// States that no such question was asked; the three texts are patterns.
    ///
    /// # Panics
    /// When one was, with all that were.
    #[track_caller]
    pub fn assert_not_asked(&self, principal: &str, action: &str, resource: &str) {
        let asked = self.asked();
        let wanted = Wanted::new(principal, action, resource);
        assert!(
            !asked.iter().any(|request| wanted.fits(request)),
            "somebody asked whether {principal} may {action} on {resource}; asked were: {}",
            listed(&asked)
        );
    }

    /// States that nothing was asked.
    ///
    /// # Panics
    /// When something was, with all that was.
    #[track_caller]
    pub fn assert_asked_nothing(&self) {
        let asked = self.asked();
        assert!(asked.is_empty(), "nothing was to be asked, but asked were: {}", listed(&asked));
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A test that panicked in a closure has failed already.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Authorizer for Fake {
    async fn decide(&self, request: Request) -> Result<Decision, Error> {
        let (number, delay) = {
            let mut shared = self.lock();
            shared.asked.push(request.clone());
            (shared.asked.len(), shared.delay)
        };
        if let Some(timeout) = request.timeout.filter(|timeout| *timeout < delay) {
            tokio::time::sleep(timeout).await;
            return Err(Error::Timeout(timeout));
        }
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        check(&request)?;
        let (rules, policies) = {
            let shared = self.lock();
            (shared.rules.clone(), shared.policies.clone())
        };
        // Without the lock: a closure may look at the fake.
        let verdict = rules.iter().rev().find_map(|rule| rule.verdict(&request));
        match (verdict, policies) {
            (Some(Verdict::Allow), _) => Ok(said(Reason::Allowed, number, request)),
            (Some(Verdict::Deny), _) => Ok(said(Reason::ExplicitDeny, number, request)),
            (Some(Verdict::Fail(error)), _) => Err(error),
            (None, Some(policies)) => policies.decide_now(request),
            (None, None) => Ok(said(Reason::ImplicitDeny, number, request)),
        }
    }
}

/// Whether a sidecar would read the question at all.
fn check(request: &Request) -> Result<(), Error> {
    let Ok(reader) = &*READER else { return Err(Error::Answer("the fake cannot read questions")) };
    reader.decide_now(request.clone().min_generation(0)).map(drop)
}

fn said(reason: Reason, number: usize, request: Request) -> Decision {
    let (is, because) = match reason {
        Reason::Allowed => ("is", "the script of the fake allows it"),
        Reason::ExplicitDeny => ("is not", "the script of the fake denies it"),
        _ => ("is not", "the script of the fake has no rule for it"),
    };
    let (principal, action, resource) = (request.principal(), request.action(), request.resource());
    let message =
        format!("{principal} {is} authorized to perform: {action} on resource: {resource} because {because}");
    let said = Said {
        allowed: reason == Reason::Allowed,
        reason,
        layer: Layer::Identity,
        message: Message::Worded(message),
        statements: Vec::new(),
        missing_context_keys: Vec::new(),
        depends_on_time: false,
        revision: Arc::from("fake"),
        generation: request.as_wire().min_generation.max(1),
        request_id: format!("fake-{number}"),
    };
    Arc::new(said).to(request)
}

struct Wanted {
    principal: WildMatch,
    action: WildMatch,
    resource: WildMatch,
}

impl Wanted {
    fn new(principal: &str, action: &str, resource: &str) -> Self {
        let action = WildMatch::new(&action.to_ascii_lowercase());
        Self { principal: WildMatch::new(principal), action, resource: WildMatch::new(resource) }
    }

    fn fits(&self, request: &Request) -> bool {
        self.principal.matches(request.principal())
            && self.action.matches(&request.action().to_ascii_lowercase())
            && self.resource.matches(request.resource())
    }
}

fn listed(asked: &[Request]) -> String {
    if asked.is_empty() {
        return "none".to_owned();
    }
    let mut list = String::new();
    for request in asked {
        let (principal, action, resource) = (request.principal(), request.action(), request.resource());
        let _ = write!(list, "\n  {principal} may {action} on {resource}");
    }
    list
}
