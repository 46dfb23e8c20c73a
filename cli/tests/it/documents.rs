//! What the pages in `docs/operations` have typed is typed here: the simple commands of the program run, and show what the page
//! shows of them. Those with other programs are not among them.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::run;

/// A command of a page, and the lines that are shown below it.
#[derive(Debug)]
struct Typed {
    page: String,
    command: String,
    shown: Vec<String>,
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The commands of a page, from its `console` blocks.
fn typed(page: &Path) -> Vec<Typed> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut found: Vec<Typed> = Vec::new();
    // How far the block is indented that a line is in.
    let (mut block, mut goes_on) = (None, false);
    for line in text.lines() {
        let bare = line.trim_start();
        if bare.starts_with("```") {
            block = (bare == "```console").then(|| line.len() - bare.len());
            continue;
        }
        let Some(indent) = block else { continue };
        let line = line.get(indent..).unwrap_or(bare);
        if let Some(command) = line.strip_prefix("$ ") {
            let page = page.file_name().unwrap().to_string_lossy().into_owned();
            found.push(Typed { page, command: command.to_owned(), shown: Vec::new() });
        } else if let Some(last) = found.last_mut() {
            match goes_on {
                true => last.command = format!("{}\n{line}", last.command),
                false => last.shown.push(line.to_owned()),
            }
        }
        goes_on = line.ends_with('\\') || line.ends_with('|');
    }
    found
}

/// Whether it is the program alone, and needs no process that serves.
fn is_simple(command: &str) -> bool {
    let ours = ["portcullis ", "old ", "new "].iter().any(|program| command.starts_with(program));
    ours && !["|", "$(", " wait "].iter().any(|other| command.contains(other))
}

/// A folder as the pages take it for granted: policies, questions, the programs, and an audit trail of a decision.
fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    let quickstart = repository().join("examples/quickstart");
    symlink(repository().join("examples"), at("examples")).unwrap();
    symlink(&quickstart, at("policies")).unwrap();
    std::fs::write(at("portcullis.toml"), "log = \"info\"\n").unwrap();
    let requests = std::fs::read_to_string(quickstart.join("requests.jsonl")).unwrap();
    let asked = requests.lines().map(|line| {
        let mut request: Value = serde_json::from_str(line).unwrap();
        request["Request"].take().to_string() + "\n"
    });
    std::fs::write(at("asked.jsonl"), asked.collect::<String>()).unwrap();
    std::fs::create_dir_all(at("bin")).unwrap();
    for name in ["portcullis", "old", "new"] {
        symlink(env!("CARGO_BIN_EXE_portcullis"), at("bin").join(name)).unwrap();
    }
    std::fs::create_dir_all(at("log")).unwrap();
    let (policies, trail) = (at("policies"), at("log/audit.jsonl"));
    let question = format!(
        "{} authorize --server $PORTCULLIS_ADDRESS --principal arn:aws:iam::123456789012:user/intern \
         --action s3:PutObject --resource arn:aws:s3:::app-assets/site/index.html --expect deny",
        env!("CARGO_BIN_EXE_portcullis")
    );
    let serve = ["serve", policies.to_str().unwrap(), "--listen", "127.0.0.1:0", "--http-listen", ""];
    let record = ["--audit-file", trail.to_str().unwrap(), "--", "/bin/sh", "-c", &question];
    let served = run(&[&serve[..], &record[..]].concat());
    assert_eq!(served.code, 0, "{}", served.err);
    place
}

#[test]
fn what_the_pages_type_is_what_the_program_says() {
    let place = place();
    let mut pages: Vec<_> = std::fs::read_dir(repository().join("docs/operations"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    pages.sort();
    let all = pages.iter().flat_map(|page| typed(page)).filter(|typed| is_simple(&typed.command));
    let (mut count, mut shown) = (0, 0);
    for Typed { page, command, shown: lines } in all {
        let here = command.replace("/var/log/portcullis", "log");
        let output = Command::new("sh")
            .args(["-c", &here])
            .current_dir(place.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", place.path().join("bin").display()))
            .output()
            .unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        // A denial is an answer.
        assert!(matches!(output.status.code(), Some(0 | 2)), "{page}: {command}: {} {said}", output.status);
        let mut rest = said.lines();
        for line in lines.iter().filter(|line| !matches!(line.as_str(), "" | "...")) {
            assert!(
                rest.any(|one| one.trim_end() == line),
                "{page}: {command} does not say {line:?} but {said}"
            );
            shown += 1;
        }
        count += 1;
    }
    assert!(count >= 12 && shown >= 8, "{count} commands with {shown} lines are too few");
}
