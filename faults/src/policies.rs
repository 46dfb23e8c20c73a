//! The policies that the faults play with.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::lab::Lab;

/// May read the reports, except what is secret.
pub(crate) const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
/// Hers.
pub(crate) const REPORT: &str = "arn:aws:s3:::reports/2026.csv";
/// Denied to her.
pub(crate) const SECRET: &str = "arn:aws:s3:::reports/secret/1";

/// A file that loads, in the manner of account authorization details.
pub(crate) const GOOD: &str = r#"{
  "UserDetailList": [
    {
      "UserName": "alice",
      "Arn": "arn:aws:iam::111122223333:user/alice",
      "UserPolicyList": [
        {
          "PolicyName": "reading",
          "PolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
              {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::reports/*"},
              {"Sid": "Secret", "Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::reports/secret/*"}
            ]
          }
        }
      ]
    }
  ]
}
"#;

/// A file with another user.
pub(crate) fn user(name: &str, statements: &str) -> String {
    format!(
        r#"{{"UserDetailList": [{{"UserName": "{name}", "Arn": "arn:aws:iam::111122223333:user/{name}",
  "UserPolicyList": [{{"PolicyName": "p", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [{statements}]}}}}]}}]}}
"#
    )
}

/// The ARN of such a user.
pub(crate) fn arn(name: &str) -> String {
    format!("arn:aws:iam::111122223333:user/{name}")
}

/// A statement that allows reading one pattern.
pub(crate) fn allow(resource: &str) -> String {
    format!(r#"{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "{resource}"}}"#)
}

/// The same under a condition.
pub(crate) fn allow_if(condition: &str) -> String {
    format!(
        r#"{{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*", "Condition": {condition}}}"#
    )
}

/// Puts a whole file in place at once.
pub(crate) fn put(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) -> anyhow::Result<PathBuf> {
    let (next, path) = (folder.join(format!(".{name}.next")), folder.join(name));
    fs::write(&next, bytes)?;
    fs::rename(&next, &path).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// A folder with the good policies.
pub(crate) fn good_folder(lab: &Lab, id: &str) -> anyhow::Result<PathBuf> {
    let folder = lab.folder(id)?;
    put(&folder, "good.json", GOOD)?;
    Ok(folder)
}
