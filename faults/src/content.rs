//! F01-F20: what a policy file may hold.
//!
//! Most are rows of one table: bytes, the code of the finding, and the last good policy set stays.

use std::fs;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_client::{Request, Value};

use crate::fault::{Fault, Outcome};
use crate::lab::Lab;
use crate::policies::{ALICE, GOOD, REPORT, SECRET, allow, allow_if, arn, good_folder, put, user};
use crate::sidecar::{Plan, Sidecar, question, until};
use crate::trouble::{Before, told};

/// Files that must not load, each with the code that says why.
type Files = Vec<(&'static str, Vec<u8>, &'static str)>;

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = vec![
        row("F01", "truncated JSON", "half of a good file", || {
            one(GOOD.split_at(GOOD.len() / 2).0, "json-syntax")
        }),
        row("F02", "zero-byte file", "an empty file", || one("", "empty-file")),
        row("F03", "file of NULs", "4,096 NULs, as ext4 leaves them", || one([0_u8; 4096], "json-syntax")),
        row("F04", "not UTF-8", "the byte 0xff in a string", || {
            one([b"{\"UserDetailList\xff\": []}".as_slice()].concat(), "not-utf-8")
        }),
        row("F05", "UTF-8 byte order mark", "the mark before a good file", || {
            one(format!("\u{feff}{}", user("bob", &allow("*"))), "byte-order-mark")
        }),
        row("F06", "UTF-16", "a good file in UTF-16, both byte orders", utf16),
        row("F08", "duplicate member", "a member twice at six levels", duplicates),
        Fault::new(
            "F09",
            "duplicate Sid, user, policy",
            "the same in two files, and twice in one",
            same_names,
        ),
        row("F10", "unknown member", "`NotActoin` in a statement, another at the top", || {
            let misspelt = r#"{"Effect": "Allow", "NotActoin": "s3:*", "Resource": "*"}"#;
            vec![
                ("bad.json", user("bob", misspelt).into(), "unknown-element"),
                ("bad2.json", br#"{"UserDetailLst": []}"#.to_vec(), "unknown-member"),
            ]
        }),
        row("F16", "list in place of an object", "`[]` as the file, the document, a condition", lists),
        row("F17", "a second document follows", "`{} {}`", || one("{} {}", "trailing-bytes")),
        row("F18", "lone surrogate, control character", "`\\ud800` and a raw U+0001 in a resource", || {
            vec![
                ("bad.json", user("bob", &allow("arn:aws:s3:::b/\\ud800")).into(), "json-syntax"),
                ("bad2.json", user("eve", &allow("arn:aws:s3:::b/\u{1}")).into(), "json-syntax"),
            ]
        }),
        row("F19", "comments, YAML", "a file with only a comment, YAML named .json", || {
            vec![
                ("bad.json", b"// nothing yet\n".to_vec(), "json-syntax"),
                ("bad2.json", b"UserDetailList:\n  - UserName: bob\n".to_vec(), "json-syntax"),
            ]
        }),
    ];
    faults.extend([
        Fault::new("F07", "CRLF", "every line end of a good file made CRLF", crlf),
        Fault::new(
            "F11",
            "unknown operator, bad CIDR, bad date",
            "one file each; values in both modes",
            values,
        ),
        Fault::new("F12", "depth 100,000", "100,000 opening brackets", deep),
        Fault::new("F13", "1 GiB file", "a sparse file of 1 GiB", huge),
        Fault::new(
            "F14",
            "1 million statements, 1 million members",
            "48 MB of statements, 12 MB of members",
            many,
        )
        .slow(),
        Fault::new(
            "F15",
            "pattern `*a*a*...` x 1,000",
            "1,000 patterns of 1,000 stars, a text that nearly fits",
            stars,
        )
        .slow(),
        Fault::new("F20", "huge integer", "2^53+1, 30 digits and 1e999 in a condition", integers),
    ]);
    faults
}

fn row(
    id: &'static str,
    name: &'static str,
    injected: &'static str,
    files: impl Fn() -> Files + Copy + Send + Sync + 'static,
) -> Fault {
    Fault::new(id, name, injected, move |lab| refused(lab, id, files()))
}

fn one(bytes: impl AsRef<[u8]>, code: &'static str) -> Files {
    vec![("bad.json", bytes.as_ref().to_vec(), code)]
}

fn utf16() -> Files {
    let units: Vec<u16> = user("bob", &allow("*")).encode_utf16().collect();
    let little = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    let big = [0xfe, 0xff].into_iter().chain(units.iter().flat_map(|unit| unit.to_be_bytes())).collect();
    vec![("bad.json", little, "utf-16"), ("bad2.json", big, "utf-16")]
}

fn duplicates() -> Files {
    let statement = |text: &str| user("bob", text).into_bytes();
    let twice = "duplicate-member";
    vec![
        ("top.json", br#"{"UserDetailList": [], "UserDetailList": []}"#.to_vec(), twice),
        ("entry.json", br#"{"UserDetailList": [{"UserName": "a", "UserName": "b"}]}"#.to_vec(), twice),
        (
            "document.json",
            user("bob", &allow("*"))
                .replace("\"Version\"", "\"Version\": \"2012-10-17\", \"Version\"")
                .into(),
            twice,
        ),
        (
            "statement.json",
            statement(r#"{"Effect": "Allow", "Effect": "Deny", "Action": "*", "Resource": "*"}"#),
            twice,
        ),
        (
            "operator.json",
            statement(&allow_if(r#"{"Bool": {"a:b": "true"}, "Bool": {"a:c": "true"}}"#)),
            twice,
        ),
        ("key.json", statement(&allow_if(r#"{"Bool": {"a:b": "true", "a:b": "false"}}"#)), twice),
    ]
}

async fn same_names(lab: Lab) -> Outcome {
    let sids = r#"{"Sid": "A", "Effect": "Allow", "Action": "*", "Resource": "*"}, {"Sid": "A", "Effect": "Deny", "Action": "*", "Resource": "*"}"#;
    let policy = r#"{"Policies": [{"PolicyName": "p", "Arn": "arn:aws:iam::111122223333:policy/p", "PolicyVersionList": [{"VersionId": "v1", "IsDefaultVersion": true, "Document": {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}}]}]}"#;
    let files = vec![
        ("sid.json", user("bob", sids).into(), "duplicate-sid"),
        ("u1.json", user("carl", &allow("*")).into(), ""),
        ("u2.json", user("carl", &allow("*")).into(), "duplicate-entity"),
        ("z1.json", policy.into(), ""),
        ("z2.json", policy.into(), "duplicate-entity"),
    ];
    // `check` tells of the other place as well, which the status leaves out.
    let folder = lab.folder("F09-check")?;
    for (name, bytes, _) in &files {
        put(&folder, name, bytes)?;
    }
    let checked = std::process::Command::new(lab.program())
        .args(["check", "--output", "json"])
        .arg(&folder)
        .output()?;
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout)?;
    let found = report.get("Diagnostics").and_then(|found| found.as_array()).context("no diagnostics")?;
    for [one, other] in [["u1.json", "u2.json"], ["z1.json", "z2.json"]] {
        let both = |text: &str| text.contains(one) && text.contains(other);
        ensure!(found.iter().any(|finding| both(&finding.to_string())), "no finding names {one} and {other}");
    }
    Ok(format!("{}; `check` names both places", refused(lab, "F09", files).await?))
}

fn lists() -> Files {
    let list_for_object = user("bob", &allow_if("[]"));
    let document = user("eve", &allow("*"))
        .replace("\"PolicyDocument\": {", "\"PolicyDocument\": [{")
        .replace("]}}]}]}", "]}]}]}]}");
    vec![
        ("bad.json", b"[]".to_vec(), "wrong-type"),
        ("bad2.json", document.into(), "document-not-object"),
        ("bad3.json", list_for_object.into(), "wrong-type"),
    ]
}

async fn refused(lab: Lab, id: &str, files: Files) -> Outcome {
    let folder = good_folder(&lab, id)?;
    let sidecar = Plan::new(&lab, &folder).set("poll_interval_ms", 60_000).serving().await?;
    let before = Before::of(&sidecar).await?;
    // All at once, by the rename of a folder: one scan sees all of them.
    let (next, inner) = (folder.join(".next"), folder.join("bad"));
    fs::create_dir(&next)?;
    for (name, bytes, _) in &files {
        put(&next, name, bytes)?;
    }
    fs::rename(&next, &inner)?;
    let found = before.stays(&sidecar).await?;
    for (name, _, code) in files.iter().filter(|(.., code)| !code.is_empty()) {
        let of_file = |file: &str| file == format!("bad/{name}");
        let told: Vec<_> = found.iter().map(told).collect();
        let known = found.iter().any(|one| one.code == *code && of_file(&one.file));
        ensure!(known, "no `{code}` of {name} in {told:?}");
    }
    fs::remove_dir_all(&inner)?;
    before.returns(&sidecar).await?;
    let first = found.iter().map(told).next().unwrap_or_default();
    Ok(format!("last good stays, then back without a new generation; {} findings: {first}", found.len()))
}

async fn crlf(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F07")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    put(&folder, "good.json", GOOD.replace('\n', "\r\n"))?;
    sidecar.until_generation(2).await?;
    sidecar.serves_alice().await?;
    Ok("accepted, same decisions".to_owned())
}

async fn values(lab: Lab) -> Outcome {
    let bad = [
        (
            "cidr.json",
            user("u1", &allow_if(r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/99"}}"#)),
            "typed-value",
        ),
        (
            "date.json",
            user("u2", &allow_if(r#"{"DateLessThan": {"aws:CurrentTime": "2026-13-45"}}"#)),
            "invalid-date",
        ),
        ("number.json", user("u3", &allow_if(r#"{"NumericLessThan": {"a:n": "abc"}}"#)), "typed-value"),
    ];
    let folder = good_folder(&lab, "F11")?;
    let strict = Plan::new(&lab, &folder).set("load_mode", "strict").serving().await?;
    let lenient = Plan::new(&lab, &folder).serving().await?;
    let (of_strict, of_lenient) = (Before::of(&strict).await?, Before::of(&lenient).await?);
    put(&folder, "operator.json", user("u0", &allow_if(r#"{"StringEqualz": {"aws:username": "x"}}"#)))?;
    for (before, sidecar) in [(&of_strict, &strict), (&of_lenient, &lenient)] {
        let found = before.stays(sidecar).await?;
        ensure!(found.iter().any(|one| one.code == "unknown-operator"), "no `unknown-operator`");
    }
    fs::remove_file(folder.join("operator.json"))?;
    of_strict.returns(&strict).await?;
    of_lenient.returns(&lenient).await?;
    let next = folder.join(".next");
    fs::create_dir(&next)?;
    for (name, text, _) in &bad {
        put(&next, name, text)?;
    }
    fs::rename(&next, folder.join("more"))?;
    let status = strict.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
    strict.serves_alice().await?;
    let found = status.last_rejection.unwrap_or_default().diagnostics;
    for (name, _, code) in &bad {
        ensure!(
            found.iter().any(|one| one.code == *code && one.file.ends_with(name)),
            "no `{code}` of {name}"
        );
    }
    // What AWS may already hold loads, and never matches.
    lenient.until_generation(2).await?;
    until("a warning for each", async || Ok(lenient.events("WARN").len() >= bad.len())).await?;
    for (name, resource) in
        [("u1", "arn:aws:s3:::b/1"), ("u2", "arn:aws:s3:::b/1"), ("u3", "arn:aws:s3:::b/1")]
    {
        let asked = Request::new(arn(name), "s3:GetObject", resource);
        let asked = asked.context("a:n", Value::number("1"));
        ensure!(!lenient.ask(asked).await?.is_allowed(), "{name} is allowed by a value that cannot be read");
    }
    Ok("operator refused in both modes; values refused in strict, in lenient warned of and never matching"
        .to_owned())
}

async fn deep(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F12")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    let spent = sidecar.processor_seconds()?;
    put(&folder, "bad.json", "[".repeat(100_000))?;
    put(&folder, "bad2.json", format!("{{\"Policies\": {}", "{\"a\":".repeat(100_000)))?;
    let found = before.stays(&sidecar).await?;
    let spent = sidecar.processor_seconds()? - spent;
    ensure!(found.iter().all(|one| one.code == "json-depth"), "another code");
    ensure!(spent < 1.0, "{spent:.2} s of processor time");
    Ok(format!("json-depth; last good stays; {:.0} ms of processor time for all of it", spent * 1000.0))
}

async fn huge(lab: Lab) -> Outcome {
    const ALLOWED: u64 = 2 << 20;
    let folder = good_folder(&lab, "F13")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let before = Before::of(&sidecar).await?;
    for _ in 0..20 {
        sidecar.serves_alice().await?;
        sidecar.page("/metrics").await?;
    }
    let resident = sidecar.resident()?;
    let next = folder.join(".next");
    fs::File::create(&next)?.set_len(1 << 30)?;
    fs::rename(&next, folder.join("bad.json"))?;
    let found = before.stays(&sidecar).await?;
    ensure!(found.iter().all(|one| one.code == "file-too-large"), "another code");
    let grown = sidecar.resident()?.saturating_sub(resident);
    ensure!(grown < ALLOWED, "resident memory grew by {grown} bytes");
    fs::remove_file(folder.join("bad.json"))?;
    before.returns(&sidecar).await?;
    Ok(format!("file-too-large before a byte is read; resident +{} KiB", grown >> 10))
}

/// There is a cap on bytes and none on statements: what fits must load or be refused in bounded time, and the requests
/// of the time must be answered.
async fn many(lab: Lab) -> Outcome {
    const MILLION: usize = 1_000_000;
    const LIMIT: Duration = Duration::from_secs(60);
    let folder = good_folder(&lab, "F14")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let mut statements = r#"{"Effect":"Allow","Action":"a:b","Resource":"*"},"#.repeat(MILLION);
    statements.pop();
    let begun = Instant::now();
    put(&folder, "many.json", user("bob", &statements))?;
    let slowest = answering_until(&sidecar, LIMIT, |status| status.generation == 2).await?;
    let first = begun.elapsed();
    put(&folder, "many.json", user("bob", &allow("*")))?;
    sidecar.until_generation(3).await?;
    let members: Vec<_> = (0..MILLION).map(|number| format!("\"k{number}\":1")).collect();
    let begun = Instant::now();
    put(&folder, "bad.json", format!("{{{}}}", members.join(",")))?;
    let other = answering_until(&sidecar, LIMIT, |status| status.last_rejection.is_some()).await?;
    put(&folder, "bad.json", vec![b' '; (64 << 20) + 1])?;
    sidecar
        .until_status("a rejection for its size", |status| {
            let found = status.last_rejection.iter().flat_map(|rejection| &rejection.diagnostics);
            found.into_iter().any(|one| one.code == "file-too-large")
        })
        .await?;
    Ok(format!(
        "statements under the byte cap load in {:.1} s, members are refused in {:.1} s, 64 MiB + 1 by its size; slowest answer meanwhile {} ms",
        first.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        slowest.max(other).as_millis()
    ))
}

/// Asks until the status is as wanted; the slowest answer of the time.
async fn answering_until(
    sidecar: &Sidecar,
    limit: Duration,
    wanted: impl Fn(&portcullis_proto::v1::GetStatusResponse) -> bool,
) -> anyhow::Result<Duration> {
    let client = sidecar.client().await?;
    let (begun, mut slowest) = (Instant::now(), Duration::ZERO);
    while !wanted(&client.status().await?) {
        ensure!(begun.elapsed() < limit, "not done after {} s", limit.as_secs());
        let asked = Instant::now();
        ensure!(client.decide(question()).await?.is_allowed(), "alice may no longer read");
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(slowest)
}

async fn stars(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F15")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let patterns: Vec<_> =
        (0..1_000).map(|number| format!("\"arn:aws:s3:::{}{number}b\"", "*a".repeat(700))).collect();
    let list = patterns.join(",");
    let statement = format!(r#"{{"Effect": "Deny", "Action": "*", "Resource": [{list}]}}, {}"#, allow("*"));
    put(&folder, "stars.json", user("bob", &statement))?;
    sidecar.until_generation(2).await?;
    let client = sidecar.client().await?;
    let text = format!("arn:aws:s3:::{}", "a".repeat(2_000));
    let spent = sidecar.processor_seconds()?;
    let mut reasons = std::collections::BTreeMap::<_, u32>::new();
    const ASKED: u32 = 20;
    for _ in 0..ASKED {
        let decision = client.decide(Request::new(arn("bob"), "s3:GetObject", text.clone())).await?;
        *reasons.entry(decision.reason().as_str()).or_default() += 1;
    }
    let each = (sidecar.processor_seconds()? - spent) / f64::from(ASKED);
    ensure!(each < 0.5, "{each:.3} s of processor time for one answer");
    sidecar.serves_alice().await?;
    Ok(format!("loads; {:.1} ms of processor time an answer; reasons {reasons:?}", each * 1000.0))
}

async fn integers(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F20")?;
    let sidecar = Plan::new(&lab, &folder).serving().await?;
    let equals = |number: &str| allow_if(&format!(r#"{{"NumericEquals": {{"a:n": {number}}}}}"#));
    put(&folder, "n1.json", user("u1", &equals("9007199254740993")))?;
    sidecar.until_generation(2).await?;
    put(&folder, "n2.json", user("u2", &equals("123456789012345678901234567890")))?;
    sidecar.until_generation(3).await?;
    let ask = async |name: &str, number: &str| -> anyhow::Result<bool> {
        let asked = Request::new(arn(name), "s3:GetObject", "arn:aws:s3:::b/1");
        Ok(sidecar.ask(asked.context("a:n", Value::number(number))).await?.is_allowed())
    };
    for (name, number, equal) in [
        ("u1", "9007199254740993", true),
        ("u1", "9007199254740992", false),
        ("u1", "9007199254740994", false),
        ("u2", "123456789012345678901234567890", true),
        ("u2", "123456789012345678901234567891", false),
    ] {
        ensure!(ask(name, number).await? == equal, "{number} is rounded");
    }
    put(&folder, "n3.json", user("u3", &equals("1e999")))?;
    sidecar.until_status("a rejection", |status| status.last_rejection.is_some()).await?;
    ensure!(sidecar.allows(ALICE, REPORT).await? && !sidecar.allows(ALICE, SECRET).await?, "alice");
    Ok("2^53+1 and 30 digits are exact, 1e999 is refused".to_owned())
}
