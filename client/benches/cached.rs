//! What a question costs on each way: kept, over a stream that many share, and as a single call.
//!
//! Starts a sidecar in this process on a Unix socket. Run it with `cargo bench -p portcullis-client --bench cached`.

use std::error::Error;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use portcullis_client::{Authorizer, Cache, Client, Request};
use portcullis_server::{Config, Listeners};
use portcullis_store::{Store, StoreOptions};

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
const POLICIES: &str = r#"{"UserDetailList": [{"UserName": "alice", "Arn": "arn:aws:iam::111122223333:user/alice",
    "UserPolicyList": [{"PolicyName": "orders", "PolicyDocument": {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "orders:Get*", "Resource": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}
    ]}}]}]}"#;
/// Longest time that is told apart, in nanoseconds.
const LONGEST: u64 = 1_000_000_000;
/// Questions under way on the shared stream.
const TOGETHER: u32 = 64;

fn question(number: u32) -> Request {
    Request::new(ALICE, "orders:GetOrder", format!("arn:acme:orders:eu-1:111122223333:order/{number}"))
        .context("aws:SourceIp", "10.0.0.7")
        .context("aws:SecureTransport", true)
        .context("orders:Tenant", "north")
}

async fn sidecar(directory: &Path) -> Result<String, Box<dyn Error>> {
    let socket = directory.join("socket");
    fs::create_dir(directory.join("policies"))?;
    fs::write(directory.join("policies/alice.json"), POLICIES)?;
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

/// Nanoseconds of each of so many questions, one after the other; the making of the question is not in it.
async fn one_by_one(pdp: &impl Authorizer, asked: u32) -> Result<Histogram<u64>, Box<dyn Error>> {
    let mut times = Histogram::new_with_max(LONGEST, 3)?;
    for number in 0..asked {
        let request = question(number % 1_000);
        let start = Instant::now();
        let decision = pdp.decide(request).await?;
        let took = start.elapsed();
        assert!(black_box(decision).is_allowed(), "alice is denied");
        times.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(LONGEST));
    }
    Ok(times)
}

/// Answers a second when many ask at once.
async fn together(pdp: impl Authorizer + Clone + 'static, asked: u32) -> Result<f64, Box<dyn Error>> {
    let start = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TOGETHER {
        let pdp = pdp.clone();
        tasks.spawn(async move {
            let mut allowed = 0;
            for number in 0..asked / TOGETHER {
                allowed += u32::from(
                    pdp.decide(question(task * 1_000 + number)).await.is_ok_and(|it| it.is_allowed()),
                );
            }
            allowed
        });
    }
    let allowed: u32 = tasks.join_all().await.into_iter().sum();
    assert_eq!(allowed, asked / TOGETHER * TOGETHER, "alice is denied");
    Ok(f64::from(allowed) / start.elapsed().as_secs_f64())
}

async fn measure(out: &mut impl std::io::Write) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let endpoint = sidecar(directory.path()).await?;
    let plain = Client::connect(&endpoint).await?;
    plain.wait_for_revision("", 1, Duration::from_secs(60)).await?;
    let cached =
        Client::builder(&endpoint).cache(Cache::new(10_000, Duration::from_secs(3_600))).connect().await?;
    // Until the policies are known to be watched, and every question is kept.
    one_by_one(&cached, 20_000).await?;
    for (name, times) in
        [("kept", one_by_one(&cached, 500_000).await?), ("single call", one_by_one(&plain, 20_000).await?)]
    {
        let (p50, p99) = (times.value_at_quantile(0.5), times.value_at_quantile(0.99));
        writeln!(out, "{name:<12} p50 {p50:>8} ns   p99 {p99:>8} ns")?;
    }
    writeln!(out, "{TOGETHER} at once, single calls {:>9.0}/s", together(plain.clone(), 100_000).await?)?;
    writeln!(out, "{TOGETHER} at once, pipeline     {:>9.0}/s", together(plain.pipeline(), 200_000).await?)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(&mut std::io::stdout().lock()))
}
