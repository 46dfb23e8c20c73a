//! What is asked, and what is right.
//!
//! The policy set with the tag `t` allows every user of a file exactly the resource `t`; alice may do at all times what
//! she may. So one answer says which tag its policy set has, and answers of one policy set must agree on it.

use portcullis_proto::v1::{AuthorizeRequest, BatchAuthorizeItem, BatchAuthorizeRequest};

use crate::policies::{ALICE, GOOD, REPORT, SECRET, allow, arn, user};

/// Files beside alice's, each with one user.
const FILES: u64 = 4;

/// A question with what is known about its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// Alice's: always the same answer.
    Steady { allowed: bool },
    /// Of the user of a file: allowed by the policy set with this tag alone.
    Tagged { file: u64, tag: u64 },
}

fn place(tag: u64) -> String {
    format!("arn:aws:s3:::gen/{tag}")
}

/// The files of one policy set.
pub(super) fn policies(tag: u64) -> Vec<(String, String)> {
    let users =
        (0..FILES).map(|file| (format!("f{file}.json"), user(&format!("f{file}"), &allow(&place(tag)))));
    users.chain([("alice.json".to_owned(), GOOD.to_owned())]).collect()
}

/// The same with one file that is cut off.
pub(super) fn broken_policies(tag: u64) -> Vec<(String, String)> {
    let mut files = policies(tag);
    if let Some((_, text)) = files.get_mut((tag % FILES) as usize) {
        text.truncate(text.len() / 2);
    }
    files
}

impl Question {
    /// One of many, by its number. `tags` are the newest that was seen and the newest that was written.
    pub(super) fn single(number: u64, tags: (u64, u64)) -> Self {
        match number % 4 {
            0 => Self::Steady { allowed: true },
            1 => Self::Steady { allowed: false },
            2 => Self::Tagged { file: number / 4 % FILES, tag: tags.0 },
            _ => Self::Tagged { file: number / 4 % FILES, tag: tags.1 },
        }
    }

    /// Every file by the tags around the newest that was seen, and alice's.
    pub(super) fn batch(tags: (u64, u64)) -> Vec<Self> {
        let around = tags.0.saturating_sub(1)..tags.0 + 3;
        let tagged = around.flat_map(|tag| (0..FILES).map(move |file| Self::Tagged { file, tag }));
        tagged.chain([Self::Steady { allowed: true }, Self::Steady { allowed: false }]).collect()
    }

    fn parts(self) -> (String, String) {
        match self {
            Self::Steady { allowed } => (ALICE.to_owned(), if allowed { REPORT } else { SECRET }.to_owned()),
            Self::Tagged { file, tag } => (arn(&format!("f{file}")), place(tag)),
        }
    }

    pub(super) fn message(self) -> AuthorizeRequest {
        let (principal, resource) = self.parts();
        AuthorizeRequest {
            principal,
            action: "s3:GetObject".to_owned(),
            resource,
            ..AuthorizeRequest::default()
        }
    }

    fn item(self) -> BatchAuthorizeItem {
        let (principal, resource) = self.parts();
        let action = "s3:GetObject".to_owned();
        BatchAuthorizeItem { principal, action, resource, ..BatchAuthorizeItem::default() }
    }
}

pub(super) fn batch_message(questions: &[Question]) -> BatchAuthorizeRequest {
    let items = questions.iter().map(|question| question.item()).collect();
    BatchAuthorizeRequest { items, ..BatchAuthorizeRequest::default() }
}
