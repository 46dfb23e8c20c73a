//! What a fault is, and what may come of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::lab::Lab;

/// What was observed; an error is another outcome than the required one.
pub(crate) type Outcome = anyhow::Result<String>;
type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// What an injection needs of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// The superuser's rights.
    Root,
    /// To mount file systems: root, in a mount namespace of its own.
    Mounts,
    /// This program on the path, and the package that has it.
    Program(&'static str, &'static str),
    /// A user namespace of one's own.
    UserNamespace,
    /// Faked time.
    FakeTime,
    /// Control groups with this controller that may be written.
    Cgroup(&'static str),
}

/// One named fault.
pub(crate) struct Fault {
    /// `F01` to `F90`.
    pub(crate) id: &'static str,
    /// What goes wrong.
    pub(crate) name: &'static str,
    /// How it is made to go wrong.
    pub(crate) injected: &'static str,
    pub(crate) needs: Vec<Need>,
    /// In the quick selection.
    pub(crate) quick: bool,
    /// Not while others run.
    pub(crate) alone: bool,
    pub(crate) limit: Duration,
    /// Injects it and looks at what comes of it.
    pub(crate) run: Box<dyn Fn(Lab) -> Running + Send + Sync>,
}

/// What came of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The required outcome, and what was seen of it.
    Pass(String),
    /// Another one.
    Fail(String),
    /// It could not be injected on this machine.
    Skip(String),
}

/// A fault with its verdict.
pub(crate) struct Finding<'a> {
    pub(crate) fault: &'a Fault,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

impl Fault {
    /// Needs nothing, and belongs to the quick selection.
    pub(crate) fn new<F>(
        id: &'static str,
        name: &'static str,
        injected: &'static str,
        run: impl Fn(Lab) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Outcome> + 'static,
    {
        Self {
            id,
            name,
            injected,
            needs: Vec::new(),
            quick: true,
            alone: false,
            limit: Duration::from_secs(60),
            run: Box::new(move |lab| Box::pin(run(lab))),
        }
    }

    /// Needs something of the machine, and so is not in the quick selection.
    pub(crate) fn needs(mut self, need: Need) -> Self {
        self.needs.push(need);
        self.quick = false;
        self
    }

    /// Takes its time, and so is not in the quick selection.
    pub(crate) fn slow(mut self) -> Self {
        self.quick = false;
        self.limit = Duration::from_secs(120);
        self
    }

    /// Not while others run: it measures, or takes much of the machine.
    pub(crate) fn alone(mut self) -> Self {
        self.alone = true;
        self.quick = false;
        self
    }
}
