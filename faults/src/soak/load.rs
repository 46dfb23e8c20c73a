//! Callers on a thread of their own: single calls, batches and streams, over TCP and over the socket.
//!
//! Each has one call under way and pauses until its next one is due. Invariant (WHOLE): no call is given up, so that what
//! was asked is what was answered or failed.

mod conversation;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use portcullis_proto::v1::authorize_result::Result as Answered;
use portcullis_proto::v1::{
    AuthorizeResponse, AuthorizeResult, AuthorizeStreamRequest, AuthorizeStreamResponse,
    BatchAuthorizeResponse,
};
use prost::Message;
use tokio::time::timeout;

use self::conversation::Conversation;
use super::ledger::{Last, Ledger, Wrong};
use super::meter::Tally;
use super::questions::{Question, batch_message};
use crate::frames::{AUTHORIZE, BATCH, Caller, answer, framed};
use crate::sidecar::NEVER;

/// How long a caller waits after it could not connect.
const AGAIN: Duration = Duration::from_millis(100);

/// The load; it has to be ended.
pub(super) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<anyhow::Result<()>>,
}

/// Everything that was counted.
pub(super) struct All {
    pub(super) tally: Tally,
    pub(super) wrong: Wrong,
    /// Policy sets whose tag was seen.
    pub(super) sets: u64,
}

struct Shared {
    stop: AtomicBool,
    churn: AtomicBool,
    /// Nanoseconds from one call of a caller to its next.
    pace: AtomicU64,
    callers: u64,
    written: Arc<AtomicU64>,
    ledger: Mutex<Ledger>,
    part: Mutex<Tally>,
    look: Mutex<Tally>,
    all: Mutex<Tally>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    pub(super) fn start(address: &str, socket: &Path, connections: usize) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            churn: AtomicBool::new(false),
            pace: AtomicU64::new(0),
            callers: connections as u64,
            written: Arc::default(),
            ledger: Mutex::default(),
            part: Mutex::new(Tally::new()),
            look: Mutex::new(Tally::new()),
            all: Mutex::new(Tally::new()),
        });
        let (kept, address, socket) = (Arc::clone(&shared), address.to_owned(), socket.to_owned());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for number in 0..connections {
                    // Four kinds over one door, four over the other, and so on.
                    let door = match number / 4 % 2 {
                        0 => Door::Tcp(address.clone()),
                        _ => Door::Socket(socket.clone()),
                    };
                    let kind = [Kind::Single, Kind::Batch, Kind::Single, Kind::Stream];
                    let kind = kind.get(number % 4).copied().unwrap_or(Kind::Single);
                    tasks.spawn(call(Arc::clone(&shared), door, kind, number as u64));
                }
                while let Some(task) = tasks.join_next().await {
                    task?;
                }
                Ok(())
            })
        });
        Self { shared: kept, thread }
    }

    /// The newest tag that was written, to be set by who writes.
    pub(super) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.written)
    }

    /// Calls each second of all callers together, from now on.
    pub(super) fn pace(&self, per_second: f64) {
        let nanos = 1e9 * self.shared.callers as f64 / per_second.max(0.001);
        self.shared.pace.store(nanos as u64, Ordering::Relaxed);
    }

    /// Whether connections end after some seconds, and others come.
    pub(super) fn churn(&self, churn: bool) {
        self.shared.churn.store(churn, Ordering::Relaxed);
    }

    /// What was counted since the last part began.
    pub(super) fn next_part(&self) -> Tally {
        lock(&self.shared.part).next()
    }

    pub(super) fn since_last_look(&self) -> (Tally, u64) {
        (lock(&self.shared.look).next(), lock(&self.shared.ledger).wrong.count())
    }

    /// Lets every call under way come to its end.
    pub(super) async fn end(self) -> anyhow::Result<All> {
        self.shared.stop.store(true, Ordering::Relaxed);
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.thread.join().map_err(|_| anyhow::anyhow!("a caller broke"))??;
        let ledger = lock(&self.shared.ledger);
        let tally = lock(&self.shared.all).clone();
        Ok(All { tally, wrong: ledger.wrong.clone(), sets: ledger.seen })
    }
}

enum Door {
    Tcp(String),
    Socket(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Single,
    Batch,
    Stream,
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits until the next call is due. Who is late by much does not catch up.
    async fn pause(&self, due: &mut Instant) {
        const LATE_MAX: Duration = Duration::from_millis(100);
        let pace = Duration::from_nanos(self.pace.load(Ordering::Relaxed));
        let now = Instant::now();
        *due = (*due + pace).max(now.checked_sub(LATE_MAX).unwrap_or(now));
        if *due > now {
            tokio::time::sleep_until((*due).into()).await;
        } else {
            tokio::task::yield_now().await;
        }
    }

    fn count(&self, count: impl Fn(&mut Tally)) {
        [&self.part, &self.look, &self.all].into_iter().for_each(|tally| count(&mut lock(tally)));
    }

    fn tags(&self) -> (u64, u64) {
        (lock(&self.ledger).newest_tag(), self.written.load(Ordering::Relaxed))
    }
}

async fn call(shared: Arc<Shared>, door: Door, kind: Kind, number: u64) {
    let (mut turn, mut life, mut due) = (number, number, Instant::now());
    while !shared.stopped() {
        let mut open = match Open::new(&door, kind).await {
            Ok(open) => open,
            Err(error) => {
                shared.count(|tally| tally.failed(0, &error));
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        shared.count(|tally| tally.connections += 1);
        life += 1;
        let end = Instant::now() + Duration::from_millis(500 + life * 7_919 % 4_000);
        while !shared.stopped() && (!shared.churn.load(Ordering::Relaxed) || Instant::now() < end) {
            shared.pause(&mut due).await;
            turn += 1;
            let questions = match kind {
                Kind::Batch => Question::batch(shared.tags()),
                Kind::Single | Kind::Stream => vec![Question::single(turn, shared.tags())],
            };
            let (begun, asked) = (Instant::now(), questions.len() as u64);
            match open.ask(&questions, &shared.ledger).await {
                Ok(()) => shared.count(|tally| tally.answered(asked, begun.elapsed())),
                Err(error) => {
                    let error = error.context(format!("{kind:?}"));
                    shared.count(|tally| tally.failed(asked, &error));
                    break;
                }
            }
        }
        if let Err(error) = open.close().await {
            shared.count(|tally| tally.failed(0, &error));
        }
    }
}

/// One connection.
struct Open {
    caller: Caller,
    last: Last,
    conversation: Option<Conversation>,
}

impl Open {
    async fn new(door: &Door, kind: Kind) -> anyhow::Result<Self> {
        let caller = match door {
            Door::Tcp(address) => Caller::connect(address).await,
            Door::Socket(path) => Caller::connect_unix(path).await,
        };
        let caller = caller.context("connecting")?;
        let conversation = match kind {
            Kind::Stream => Some(Conversation::begin(&caller).await.context("beginning a stream")?),
            Kind::Single | Kind::Batch => None,
        };
        Ok(Self { caller, last: Last::default(), conversation })
    }

    async fn ask(&mut self, questions: &[Question], ledger: &Mutex<Ledger>) -> anyhow::Result<()> {
        let answers = timeout(NEVER, self.answers(questions)).await.context("no answer")??;
        ensure!(answers.len() == questions.len(), "{} answers to {}", answers.len(), questions.len());
        let mut ledger = lock(ledger);
        for (question, answer) in questions.iter().zip(&answers) {
            ledger.take(&mut self.last, *question, answer);
        }
        Ok(())
    }

    async fn answers(&mut self, questions: &[Question]) -> anyhow::Result<Vec<AuthorizeResponse>> {
        match (&mut self.conversation, questions) {
            (Some(conversation), [one]) => {
                let request = Some(one.message());
                let message = AuthorizeStreamRequest { request, ..AuthorizeStreamRequest::default() };
                let bytes = conversation.ask(framed(&message)).await?;
                let response = AuthorizeStreamResponse::decode(bytes)?;
                Ok(vec![answered(response.result)?])
            }
            (None, [one]) => Ok(vec![self.whole(AUTHORIZE, &one.message()).await?]),
            _ => {
                let message = batch_message(questions);
                let batch: BatchAuthorizeResponse = self.whole(BATCH, &message).await?;
                let mut answers = Vec::new();
                for result in batch.results {
                    let mut answer = answered(Some(result))?;
                    // Those of the batch are the answers'; none may say anything else.
                    ensure!(
                        [0, batch.generation].contains(&answer.generation),
                        "two generations in one batch"
                    );
                    answer.generation = batch.generation;
                    answer.revision.clone_from(&batch.revision);
                    answers.push(answer);
                }
                Ok(answers)
            }
        }
    }

    /// A call with one message and one answer.
    async fn whole<A: Message + Default>(&self, path: &str, message: &impl Message) -> anyhow::Result<A> {
        let (mut stream, response) = self.caller.begin(path, &[]).await?;
        stream.send_data(framed(message), true)?;
        let answer = answer(response).await?;
        let code = answer.code()?;
        ensure!(code == 0, "code {code}");
        Ok(A::decode(answer.body.get(5..).context("no message")?)?)
    }

    async fn close(self) -> anyhow::Result<()> {
        match self.conversation {
            Some(conversation) => {
                timeout(NEVER, conversation.end()).await.context("a stream does not end")?
            }
            None => Ok(()),
        }
    }
}

fn answered(result: Option<AuthorizeResult>) -> anyhow::Result<AuthorizeResponse> {
    match result.and_then(|result| result.result) {
        Some(Answered::Response(response)) => Ok(response),
        Some(Answered::Error(error)) => anyhow::bail!("no answer: {}", error.reason),
        None => anyhow::bail!("neither an answer nor an error"),
    }
}
