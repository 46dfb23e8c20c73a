//! Kept decisions: a question is asked once, and again as soon as the policies have changed.
//!
//! `cargo run -p portcullis-client --example cached` starts a sidecar in this process, to have one; a service has its
//! sidecar beside it.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_client::{Cache, Client, Event, Observer};
use portcullis_server::{Config, Listeners};
use portcullis_store::{Store, StoreOptions};

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const ORDER: &str = "arn:acme:orders:eu-1:111122223333:order/42";

/// Alice's policy, with this effect.
fn policies(effect: &str) -> String {
    format!(
        r#"{{"UserDetailList": [{{"UserName": "alice", "Arn": "{ALICE}", "UserPolicyList": [{{"PolicyName": "orders",
        "PolicyDocument": {{"Version": "2012-10-17",
            "Statement": {{"Effect": "{effect}", "Action": "orders:GetOrder", "Resource": "*"}}}}}}]}}]}}"#
    )
}

/// What a service would give to its metrics.
#[derive(Default)]
struct Counts {
    asked: AtomicU64,
    hits: AtomicU64,
}

impl Observer for Counts {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::Called { method: "Authorize", .. } => self.asked.fetch_add(1, Ordering::Relaxed),
            Event::CacheHit => self.hits.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

/// A sidecar on a socket in this directory.
async fn sidecar(directory: &Path) -> Result<String, Box<dyn Error>> {
    let socket = directory.join("socket");
    fs::create_dir(directory.join("policies"))?;
    fs::write(directory.join("policies/alice.json"), policies("Allow"))?;
    let config = Config {
        listen: String::new(),
        http_listen: String::new(),
        uds: Some(socket.clone()),
        ..Config::default()
    };
    let listeners = Listeners::bind(&config).await?;
    let store = Store::open(StoreOptions::new(directory.join("policies")));
    tokio::spawn(portcullis_server::run(config, store, listeners, std::future::pending()));
    Ok(format!("unix:{}", socket.display()))
}

/// How often the sidecar was asked for two thousand answers, and how long the change took to be seen.
async fn run() -> Result<(u64, Duration), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let endpoint = sidecar(directory.path()).await?;
    let counts = Arc::new(Counts::default());
    let client = Client::builder(endpoint)
        .cache(Cache::new(10_000, Duration::from_secs(10)))
        .observer(Arc::clone(&counts))
        .connect()
        .await?;
    client.wait_for_revision("", 1, Duration::from_secs(60)).await?;

    for _ in 0..2_000 {
        client.authorize(ALICE, "orders:GetOrder", ORDER).await?.require()?;
    }
    let asked = counts.asked.load(Ordering::Relaxed);
    println!(
        "2000 answers: {} from the cache, {asked} from the sidecar",
        counts.hits.load(Ordering::Relaxed)
    );

    fs::write(directory.path().join("policies/new"), policies("Deny"))?;
    fs::rename(directory.path().join("policies/new"), directory.path().join("policies/alice.json"))?;
    client.wait_for_revision("", 2, Duration::from_secs(60)).await?;
    let active = std::time::Instant::now();
    while client.authorize(ALICE, "orders:GetOrder", ORDER).await?.is_allowed() {}
    let seen = active.elapsed();
    println!("alice may not any more; seen {seen:?} after the sidecar said that its policies are new");
    Ok((asked, seen))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run().await.map(drop)
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn most_answers_are_kept_and_a_change_is_seen() -> Result<(), Box<dyn std::error::Error>> {
        let (asked, seen) = super::run().await?;
        assert!(asked < 1_000, "{asked} of 2000");
        assert!(seen < std::time::Duration::from_secs(5), "{seen:?} of the 10 s that decisions are kept");
        Ok(())
    }
}
