//! F86-F87: what must not come out as it went in.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use portcullis_client::{Client, Request};
use rustix::process::Signal;
use serde_json::Value;

use crate::fault::{Fault, Outcome};
use crate::frames::{AUTHORIZE, Caller, framed};
use crate::lab::Lab;
use crate::policies::{ALICE, REPORT, good_folder};
use crate::records::end;
use crate::sidecar::{Plan, question, until};

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        Fault::new("F86", "hostile strings", "line ends, ANSI, bidi, quotes, NUL, 8,192 characters", hostile),
        Fault::new(
            "F87",
            "secrets in every field",
            "a canary in tokens, headers, context; log at its most",
            canary,
        ),
    ]
}

async fn hostile(lab: Lab) -> Outcome {
    let folder = good_folder(&lab, "F86")?;
    let file = lab.folder("F86-audit")?.join("audit.jsonl");
    let mut sidecar = Plan::new(&lab, &folder).set("audit_file", file.display()).serving().await?;
    let client = sidecar.client().await?;
    let values = [
        "two\nlines\r\n{\"eventName\":\"Forged\"}",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "a\u{202e}b\u{2066}c\u{2028}d\u{2029}e\u{85}f\u{feff}g\u{7f}",
        "\"quoted\\\" and \\u0000",
        "nul\u{0}nul",
    ];
    let mut asked = Vec::new();
    for value in values {
        let decision = client.decide(question().context("app:value", value)).await?;
        asked.push((decision.answer().request_id().to_owned(), value.to_owned()));
    }
    let long = "x\n".repeat(4_096);
    let decision = client.decide(question().context("app:value", long.as_str())).await?;
    asked.push((decision.answer().request_id().to_owned(), long));
    // In places that are checked: an answer or a refusal, and never a line that is torn.
    let mut refused = 0;
    for hostile in values {
        for request in [
            Request::new(format!("{ALICE}{hostile}"), "s3:GetObject", REPORT),
            Request::new(ALICE, format!("s3:Get{hostile}"), REPORT),
            Request::new(ALICE, "s3:GetObject", format!("{REPORT}{hostile}")),
            question().context(format!("app:{hostile}"), "v"),
        ] {
            refused += u32::from(client.decide(request).await.is_err());
        }
    }
    end(&mut sidecar).await?;
    let text = fs::read_to_string(&file)?;
    let plain =
        |c: char| c == '\n' || !(c.is_control() || "\u{202e}\u{2066}\u{2028}\u{2029}\u{feff}".contains(c));
    ensure!(text.chars().all(plain), "a character that a terminal obeys is in the file");
    for (id, value) in &asked {
        let lines: Vec<_> = text.lines().filter(|line| line.contains(id.as_str())).collect();
        let [line] = lines.as_slice() else { anyhow::bail!("{} lines of one answer", lines.len()) };
        let record: Value = serde_json::from_str(line)?;
        let back = record
            .pointer("/requestParameters/context/app:value")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let cut = back.split("...[truncated").next().unwrap_or_default();
        let whole = back == value || (cut.len() < back.len() && value.starts_with(cut));
        ensure!(whole, "{value:?} comes back as {back:?}");
    }
    for line in text.lines() {
        serde_json::from_str::<Value>(line)?;
    }
    for line in sidecar.log.all() {
        ensure!(line.chars().all(plain), "a character that a terminal obeys is in the log");
    }
    Ok(format!(
        "{} answers, one line each, read back as sent; {refused} of 20 in checked places refused",
        asked.len()
    ))
}

async fn canary(lab: Lab) -> Outcome {
    const TOKEN: &str = "canary-token-0123456789-0123456789-0123456789";
    const WRONG: &str = "canary-wrong-0123456789-0123456789-0123456789";
    const VALUE: &str = "canary-value";
    let folder = good_folder(&lab, "F87")?;
    let place = lab.folder("F87-files")?;
    let (file, tokens) = (place.join("audit.jsonl"), place.join("tokens"));
    crate::authority::put_secret(&tokens, &format!("orders {TOKEN} methods=*\n"))?;
    let plan = Plan::new(&lab, &folder).set("audit_file", file.display()).set("token_file", tokens.display());
    // The log tells everything that it can.
    let mut sidecar = plan.set("log", "trace").set("audit_hide", "app:account-number").start().await?;
    sidecar.until_ready().await?;
    let client = Client::builder(&sidecar.address).token(TOKEN).connect().await?;
    let keys = ["app:password", "app:api-key", "app:access_token", "app:ClientSecret", "app:account-number"];
    let request = keys.iter().fold(question(), |request, key| request.context(*key, VALUE));
    let request = request.context("app:note", format!("Bearer {VALUE}"));
    ensure!(client.decide(request).await?.is_allowed(), "the token is refused");
    let wrong = Client::builder(&sidecar.address).token(WRONG).connect().await?;
    ensure!(wrong.decide(question()).await.is_err(), "a wrong token is let in");
    let caller = Caller::connect(&sidecar.address).await?;
    let bearer = format!("Bearer {TOKEN}");
    let body = framed(&crate::calls::wire_question());
    let code = caller.call(AUTHORIZE, &[("authorization", &bearer)], body.clone()).await?.code()?;
    ensure!(code == 0, "the raw call ends with code {code}");
    caller.call(AUTHORIZE, &[("authorization", &format!("Basic {VALUE}"))], body).await?;
    // A file of tokens that is wrong is told of without a word of it.
    crate::authority::put_secret(&tokens, &format!("{TOKEN} {WRONG} {VALUE} more\n"))?;
    sidecar.signal(Signal::HUP)?;
    until("the wrong file is refused", async || {
        Ok(sidecar.metric("portcullis_token_reloads_total", "refused").await? > 0.5)
    })
    .await?;
    sidecar.signal(Signal::USR1)?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut places = Vec::new();
    for page in ["/metrics", "/status", "/readyz"] {
        places.push((page, sidecar.page(page).await?.1));
    }
    end(&mut sidecar).await?;
    places.push(("the audit file", fs::read_to_string(&file)?));
    let log = sidecar.log.all();
    ensure!(log.len() > 20, "the log tells {} lines", log.len());
    places.push(("the log", log.join("\n")));
    places.push(("the output", sidecar.out.all().join("\n")));
    for (place, text) in &places {
        for secret in [TOKEN, WRONG, VALUE] {
            let line = text.lines().find(|line| line.contains(secret));
            ensure!(line.is_none(), "{secret} is in {place}: {}", line.unwrap_or_default());
        }
    }
    Ok(format!("in none of {} places, with a log of {} lines at its most talkative", places.len(), log.len()))
}
