//! What a record costs: the thread that decides, the writer, and a sync. Prints numbers; judges nothing.
//!
//! `cargo run --release -p portcullis-server --example audit_cost [DIRECTORY]`, where DIRECTORY is on the disk to
//! measure; default is the working directory. With `--only-record N` it records N decisions and ends, to be counted by
//! `valgrind --tool=callgrind` or `perf stat`.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use portcullis_engine::{
    ContextValue, Decision, Effect, Layer, OwnedKeys, PrincipalRef, Reason, RequestInput, StatementRef,
};
use portcullis_server::Config;
use portcullis_server::audit::{Audit, AuditMode, AuditOptions, Decided, Peer, Recorded};

/// Decisions of one round; more than a queue holds, fewer than a second takes.
const ROUND: u64 = 8_000;
const ROUNDS: u64 = 100;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    let outcome = if first.as_deref() == Some("--only-record") {
        let count = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(100_000);
        only_record(count)
    } else {
        measure(&PathBuf::from(first.unwrap_or_else(|| ".".to_owned())))
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn options(file: PathBuf, mode: AuditMode, adjust: impl FnOnce(&mut Config)) -> AuditOptions {
    let mut config = Config { audit_file: Some(file), audit_mode: mode, ..Config::default() };
    adjust(&mut config);
    AuditOptions::new(&config)
}

/// What differs between the questions of a service: every record has another resource, and its users come from here and
/// there.
struct Questions {
    resources: Vec<String>,
    addresses: Vec<String>,
}

impl Questions {
    fn new() -> Self {
        let resource = |number| format!("arn:acme:orders:eu-1:111122223333:order/{number}");
        let address = |number| format!("10.24.{}.{}", number / 250, number % 250);
        Self { resources: (0..4_099).map(resource).collect(), addresses: (0..256).map(address).collect() }
    }

    /// Which address comes with which question follows no pattern.
    fn of(&self, number: u64) -> (&str, &str) {
        fn pick(texts: &[String], number: u64) -> &str {
            texts.get(number as usize % texts.len().max(1)).map_or("", String::as_str)
        }
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        (pick(&self.resources, number), pick(&self.addresses, mixed))
    }
}

/// One decision of an ordinary request: three context keys, one determining statement.
fn decide<T>((resource, address): (&str, &str), use_it: impl FnOnce(&Decided<'_, '_>) -> T) -> T {
    let context = [
        ("aws:SourceIp", ContextValue::Text(address)),
        ("aws:SecureTransport", ContextValue::Bool(true)),
        ("app:Tenant", ContextValue::Text("blue")),
    ];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let input = RequestInput {
        principal: "arn:aws:sts::111122223333:assumed-role/orders-service/i-0abc1234",
        action: "orders:GetOrder",
        resource,
        resource_account: None,
        context: &context,
        session: None,
        now: portcullis_engine::Instant::new(now.as_secs() as i64, now.subsec_nanos()),
        owned_keys: OwnedKeys::Refuse,
    };
    let statement = StatementRef {
        policy_id: "arn:aws:iam::111122223333:policy/orders-read",
        sid: "Read",
        index: 0,
        file: "policies.json",
        line: 12,
        column: 9,
        layer: Layer::Identity,
    };
    let decision = Decision {
        effect: Effect::Allow,
        reason: Reason::Allowed,
        layer: Layer::Identity,
        statements: std::iter::once(statement).collect(),
        principal: Some(PrincipalRef {
            arn: "arn:aws:iam::111122223333:role/services/orders-service",
            id: Some("AROAEXAMPLEID"),
        }),
        missing_context_keys: Default::default(),
        depends_on_time: false,
    };
    use_it(&Decided {
        input: &input,
        decision: &decision,
        message: "",
        revision: "5f0c1d2e3b4a59687786958493021fabcdef0123456789abcdef0123456789ab",
        generation: 7,
        request_id: "0192f0c1-0000-7000-8000-000000000001",
        latency: Some(Duration::from_nanos(412)),
        peer: Peer::Unix { uid: 1_000, gid: 1_000 },
        user_agent: "",
    })
}

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

fn only_record(count: u64) -> Outcome {
    let file = PathBuf::from("/dev/shm/portcullis-audit-cost.jsonl");
    let audit = Audit::open(options(file.clone(), AuditMode::Drop, |_| {}))?;
    let questions = Questions::new();
    (0..count).for_each(|number| decide(questions.of(number), |decided| drop(audit.decision(decided))));
    let counts = audit.counts();
    runtime()?.block_on(audit.close(Duration::from_secs(60)));
    println!("recorded {} of {count}", counts.recorded);
    std::fs::remove_file(file)?;
    Ok(())
}

fn measure(directory: &Path) -> Outcome {
    let file = directory.join("portcullis-audit-cost.jsonl");
    let questions = Questions::new();
    for chain in [false, true] {
        let audit =
            Audit::open(options(file.clone(), AuditMode::Block, |config| config.audit_chain = chain))?;
        // Alternates: a round is recorded while the writer rests, then it is written while nothing is recorded.
        let (mut recording, mut writing) = (Duration::ZERO, Duration::ZERO);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            (0..ROUND)
                .for_each(|number| decide(questions.of(number), |decided| drop(audit.decision(decided))));
            let recorded = Instant::now();
            recording += recorded - begun;
            while audit.counts().queue_records > 0 {
                std::thread::yield_now();
            }
            writing += recorded.elapsed();
        }
        let counts = audit.counts();
        runtime()?.block_on(audit.close(Duration::from_secs(60)));
        let each = |time: Duration| time.as_nanos() as f64 / (ROUND * ROUNDS) as f64;
        println!(
            "chain {chain:5}: {:6.0} ns to record, {:6.0} ns to render and write, {} bytes a record",
            each(recording),
            each(writing),
            counts.bytes_written / counts.written.max(1)
        );
        remove(&file)?;
    }
    synced(&file)
}

/// Many waiting at once, as many requests in flight do.
fn synced(file: &Path) -> Outcome {
    let questions = Questions::new();
    for waiting in [1, 64, 1_024, 4_096] {
        let audit = Audit::open(options(file.to_owned(), AuditMode::Sync, |_| {}))?;
        let (begun, mut records) = (Instant::now(), 0_u32);
        runtime()?.block_on(async {
            while begun.elapsed() < Duration::from_secs(2) {
                let waits: Vec<_> = (0..waiting)
                    .map(|number| decide(questions.of(number.into()), |decided| audit.decision(decided)))
                    .collect();
                records += waiting;
                for recorded in waits {
                    if let Recorded::Wait(wait) = recorded {
                        wait.settled().await;
                    }
                }
            }
            let per_second = f64::from(records) / begun.elapsed().as_secs_f64();
            println!("sync, {waiting:5} waiting: {per_second:9.0} records a second on the disk");
            audit.close(Duration::from_secs(60)).await;
        });
        remove(file)?;
    }
    Ok(())
}

fn remove(file: &Path) -> std::io::Result<()> {
    for older in portcullis_server::audit::verify::older_files(file)? {
        std::fs::remove_file(older)?;
    }
    std::fs::remove_file(file)
}
