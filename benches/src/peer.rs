//! Other engines, asked the same: the statements of an account translated once, a question turned into their request.
//!
//! Each is given its best case: every principal has its own prepared set of the statements that apply to it, so that
//! nothing is looked for among the statements of others.

mod cedar;
mod iam;

use crate::account::Account;

pub use cedar::Cedar;
pub use iam::Iam;

/// One thing that a peer is prepared with. Texts come before the principals that hold them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// The id and the text of a policy.
    Text(String, String),
    /// A principal, without the name of its session, and the ids of its policies.
    Principal(String, Vec<String>),
}

/// An engine that is prepared line by line.
pub trait Peer {
    /// What it is prepared with for some principals, in order.
    fn lines(account: &Account, principals: &mut dyn Iterator<Item = &str>, line: &mut dyn FnMut(Line));

    /// Takes a line.
    ///
    /// # Errors
    /// A text that the engine does not take.
    fn add(&mut self, line: Line) -> Result<(), String>;
}

impl Line {
    /// The line as one line of text; no text of a world has tabs or line breaks.
    #[must_use]
    pub fn write(&self) -> String {
        match self {
            Self::Text(id, text) => format!("T\t{id}\t{text}"),
            Self::Principal(principal, ids) => format!("P\t{principal}\t{}", ids.join(" ")),
        }
    }

    /// Reads a line that [`Line::write`] wrote.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '\t');
        match (parts.next()?, parts.next()?, parts.next()?) {
            ("T", id, text) => Some(Self::Text(id.to_owned(), text.to_owned())),
            ("P", principal, ids) => Some(Self::Principal(
                principal.to_owned(),
                ids.split_whitespace().map(str::to_owned).collect(),
            )),
            _ => None,
        }
    }
}

/// Prepares a peer for some principals.
///
/// # Errors
/// A text that the engine does not take.
pub fn prepare<P: Peer>(
    mut peer: P,
    account: &Account,
    principals: &mut dyn Iterator<Item = &str>,
) -> Result<P, String> {
    let mut outcome = Ok(());
    P::lines(account, principals, &mut |line| {
        if outcome.is_ok() {
            outcome = peer.add(line);
        }
    });
    outcome.map(|()| peer)
}
