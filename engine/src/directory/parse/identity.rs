//! Who an IAM entry is: ARN, account, path and name, each derived from the others where it is left out.

use super::fields::{Fields, Text};
use crate::diagnostic::{Code, Span};
use crate::json::report::{Report, quoted};
use crate::policy::Spanned;
use crate::policy::parse::{is_account, split_arn};

/// What a kind of entry is called in its members and ARN.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// The member with the name.
    pub(super) name_member: &'static str,
    /// The first word of the ARN's resource part.
    pub(super) word: &'static str,
}

/// Who an entry is.
#[derive(Debug)]
pub(super) struct Identity {
    /// Its span is the entry's.
    pub(super) arn: Spanned<String>,
    pub(super) account: String,
    pub(super) name: String,
}

/// Reads and checks `Arn`, `AccountId`, `Path` and the name.
pub(super) fn identity(fields: &Fields<'_, '_>, kind: Kind, report: &mut Report<'_>) -> Option<Identity> {
    let errors = report.errors();
    let name = fields.text(kind.name_member, report);
    let account = fields.text("AccountId", report);
    let path = fields.text("Path", report);
    if let Some(account) = account {
        self::account(account.value, kind, account.span, report);
    }
    if let Some(name) = name {
        self::name(name.value, name.span, report);
    }
    if let Some(path) = path {
        self::path(path.value, path.span, report);
    }
    let Some(arn) = fields.text("Arn", report) else {
        return derived(fields, kind, name, account, path, report).filter(|_| report.errors() == errors);
    };
    let (found_account, found_path, found_name) = parts(arn.value, kind, arn.span, report)?;
    let checks = [
        (kind.name_member, name, found_name),
        ("AccountId", account, found_account),
        ("Path", path, found_path),
    ];
    for (member, given, found) in checks {
        if let Some(given) = given.filter(|given| given.value != found) {
            let message = format!("`{member}` is {} but the ARN says {}", quoted(given.value), quoted(found));
            report.error(Code::ArnMismatch, given.span, message);
            report.relate(arn.span, "the ARN");
        }
    }
    Some(Identity {
        arn: Spanned { value: arn.value.to_owned(), span: fields.span },
        account: found_account.to_owned(),
        name: found_name.to_owned(),
    })
}

fn derived(
    fields: &Fields<'_, '_>,
    kind: Kind,
    name: Option<Text<'_>>,
    account: Option<Text<'_>>,
    path: Option<Text<'_>>,
    report: &mut Report<'_>,
) -> Option<Identity> {
    if fields.get("Arn").is_some() {
        return None;
    }
    let (Some(name), Some(account)) = (name, account) else {
        let complete = format!("{} needs `Arn`, or `{}` and `AccountId`", fields.what, kind.name_member);
        report.error(Code::MissingMember, fields.span, complete);
        return None;
    };
    let path = path.map_or("/", |path| path.value);
    let arn = format!("arn:aws:iam::{}:{}{path}{}", account.value, kind.word, name.value);
    Some(Identity {
        arn: Spanned { value: arn, span: fields.span },
        account: account.value.to_owned(),
        name: name.value.to_owned(),
    })
}

/// Account, path and name of an ARN.
fn parts<'s>(
    arn: &'s str,
    kind: Kind,
    span: Span,
    report: &mut Report<'_>,
) -> Option<(&'s str, &'s str, &'s str)> {
    let word = kind.word;
    let ([scheme, partition, service, region, account, tail], count) = split_arn(arn);
    let form =
        count == 6 && scheme == "arn" && !partition.is_empty() && service == "iam" && region.is_empty();
    let rest = tail.strip_prefix(word).filter(|rest| rest.starts_with('/') && form);
    let split = rest.and_then(|rest| rest.split_at_checked(rest.rfind('/')? + 1));
    let Some((path, name)) = split.filter(|(_, name)| !name.is_empty()) else {
        let message = format!("{} is not the ARN of a {word}", quoted(arn));
        let help = format!("it has the form `arn:aws:iam::123456789012:{word}/NAME`");
        report.error_with(Code::InvalidArn, span, message, help);
        return None;
    };
    self::account(account, kind, span, report);
    self::name(name, span, report);
    if path != "/" {
        self::path(path, span, report);
    }
    Some((account, path, name))
}

fn account(text: &str, kind: Kind, span: Span, report: &mut Report<'_>) {
    let of_aws = kind.word == "policy" && text == "aws";
    if !is_account(text) && !of_aws {
        report.error(Code::InvalidAccount, span, format!("{} is not a 12-digit account id", quoted(text)));
    }
}

fn name(text: &str, span: Span, report: &mut Report<'_>) {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if text.is_empty() || text.contains(['/', ':', '*', '?']) {
        report.error(Code::InvalidName, span, format!("{} is not a name", quoted(text)));
    } else if !text.bytes().all(legal) {
        report.strict(Code::InvalidName, span, format!("the name {} has an illegal character", quoted(text)));
    }
}

fn path(text: &str, span: Span, report: &mut Report<'_>) {
    if !text.starts_with('/') || !text.ends_with('/') || text.contains(['*', '?']) {
        let message = format!("the path {} must begin and end with `/`", quoted(text));
        report.error(Code::InvalidName, span, message);
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        report.strict(Code::InvalidName, span, format!("the path {} has an illegal character", quoted(text)));
    }
}
