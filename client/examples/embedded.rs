//! The engine in the service itself: it reads a policy directory, answers in well under a microsecond, and follows changes.
//!
//! `cargo run -p portcullis-client --example embedded` writes a policy, asks, changes the policy, and asks again.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis_client::{Embedded, Request};

/// Longest wait for a change to be seen.
const LONGEST: Duration = Duration::from_secs(60);

fn write(directory: &Path, action: &str) -> std::io::Result<()> {
    let policies = format!(
        r#"{{"UserDetailList": [{{"UserName": "anna", "Arn": "arn:aws:iam::123456789012:user/anna", "UserPolicyList": [
            {{"PolicyName": "orders", "PolicyDocument": {{"Version": "2012-10-17", "Statement":
                {{"Effect": "Allow", "Action": "{action}", "Resource": "*"}}}}}}]}}]}}"#
    );
    // A directory is read as a whole: what is half written must not be seen.
    fs::write(directory.join(".new"), policies)?;
    fs::rename(directory.join(".new"), directory.join("anna.json"))
}

fn question() -> Request {
    let order = "arn:acme:orders:eu-1:123456789012:order/42";
    Request::new("arn:aws:iam::123456789012:user/anna", "orders:CancelOrder", order)
}

async fn demo() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    write(directory.path(), "orders:GetOrder")?;
    let pdp = Embedded::open(directory.path()).await?;

    // No sidecar, and so nothing to wait for.
    let decision = pdp.decide_now(question())?;
    println!("{}", decision.message());
    assert!(!decision.is_allowed());

    write(directory.path(), "orders:*")?;
    let changed = async {
        while !pdp.decide_now(question())?.is_allowed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    tokio::time::timeout(LONGEST, changed).await??;
    println!("{}", pdp.decide_now(question())?.message());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    demo().await
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn it_follows_the_directory() -> Result<(), Box<dyn std::error::Error>> {
        super::demo().await
    }
}
