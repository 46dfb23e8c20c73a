//! A closed loop of askers over stock tonic clients: each asks, waits, checks the answer, asks again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};

use crate::Question;

type Client = AuthorizationServiceClient<Channel>;
type Failed = String;

/// How to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// One question a call, this many calls at a time over this many connections.
    Unary {
        /// Calls under way.
        in_flight: usize,
        /// Connections they share.
        connections: usize,
    },
    /// One question a call, 64 askers over eight connections that together ask so often and no more.
    Paced {
        /// Calls a second.
        rate: f64,
    },
    /// This many questions a call, eight calls at a time over as many connections.
    Batch {
        /// Questions of one call.
        items: usize,
    },
    /// One stream with this many questions on their way.
    Stream {
        /// Questions sent and not answered.
        in_flight: usize,
    },
}

impl Shape {
    /// As tables name it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Unary { in_flight, connections: 1 } => format!("unary, {in_flight} in flight"),
            Self::Unary { in_flight, connections } => {
                format!("unary, {in_flight} in flight, {connections} connections")
            }
            Self::Paced { rate } => format!("unary, {:.1} k a second", rate / 1e3),
            Self::Batch { items } => format!("batch of {items}, {BATCHES} in flight"),
            Self::Stream { in_flight } => format!("stream, {in_flight} in flight"),
        }
    }
}

/// Batches under way at a time.
const BATCHES: usize = 8;
/// Askers that keep a pace.
const PACED: usize = 64;

/// Where to ask.
#[derive(Debug, Clone)]
pub enum Target {
    /// Over TCP.
    Tcp(std::net::SocketAddr),
    /// Over a Unix socket.
    Unix(std::path::PathBuf),
}

impl Target {
    async fn connect(&self) -> Result<Client, Failed> {
        let uri = match self {
            Self::Tcp(address) => format!("http://{address}"),
            Self::Unix(path) => format!("unix:{}", Path::display(path)),
        };
        let endpoint = Endpoint::from_shared(uri).map_err(|error| error.to_string())?;
        let channel = endpoint.tcp_nodelay(true).connect().await.map_err(|error| error.to_string())?;
        Ok(Client::new(channel))
    }
}

/// The generation that a sidecar answers from.
///
/// # Errors
/// When it does not say.
pub async fn generation(target: &Target, question: &Question) -> Result<u64, Failed> {
    let mut client = target.connect().await?;
    let answer = client.authorize(question.message()).await.map_err(|status| status.to_string())?;
    Ok(answer.into_inner().generation)
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Questions answered, each rightly.
    pub answered: u64,
    /// How long the run was.
    pub elapsed: Duration,
    /// Nanoseconds of each call; of a stream, from sending a question to its answer.
    pub latency: Histogram<u64>,
}

impl Outcome {
    /// Answers a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }
}

/// Asks for as long as told, after a warm-up of a quarter of it.
///
/// # Errors
/// The first call that failed, or the first answer that was wrong.
pub async fn run(
    target: &Target,
    shape: Shape,
    questions: &Arc<Vec<Question>>,
    time: Duration,
) -> Result<Outcome, Failed> {
    let (askers, connections) = match shape {
        Shape::Unary { in_flight, connections } => (in_flight, connections),
        Shape::Paced { .. } => (PACED, 8),
        Shape::Batch { .. } => (BATCHES, BATCHES),
        Shape::Stream { .. } => (1, 1),
    };
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(target.connect().await?);
    }
    let phase = Arc::new(Phase::default());
    let mut tasks = JoinSet::new();
    for (number, client) in clients.iter().cycle().take(askers).enumerate() {
        let asker = Asker {
            client: client.clone(),
            questions: Arc::clone(questions),
            place: number * questions.len() / askers.max(1),
            phase: Arc::clone(&phase),
            latency: histogram()?,
            answered: 0,
        };
        match shape {
            Shape::Unary { .. } => tasks.spawn(asker.unary(Duration::ZERO)),
            Shape::Paced { rate } => tasks.spawn(asker.unary(Duration::from_secs_f64(PACED as f64 / rate))),
            Shape::Batch { items } => tasks.spawn(asker.batch(items)),
            Shape::Stream { in_flight } => tasks.spawn(asker.stream(in_flight)),
        };
    }
    tokio::time::sleep(time / 4).await;
    phase.counting.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    tokio::time::sleep(time).await;
    phase.over.store(true, Ordering::Relaxed);
    let elapsed = begun.elapsed();
    let mut outcome = Outcome { answered: 0, elapsed, latency: histogram()? };
    while let Some(asker) = tasks.join_next().await {
        let asker = asker.map_err(|error| error.to_string())??;
        outcome.answered += asker.answered;
        outcome.latency.add(asker.latency).map_err(|error| error.to_string())?;
    }
    Ok(outcome)
}

fn histogram() -> Result<Histogram<u64>, Failed> {
    Histogram::new_with_bounds(100, 60_000_000_000, 3).map_err(|error| error.to_string())
}

#[derive(Debug, Default)]
struct Phase {
    counting: AtomicBool,
    over: AtomicBool,
}

struct Asker {
    client: Client,
    questions: Arc<Vec<Question>>,
    place: usize,
    phase: Arc<Phase>,
    latency: Histogram<u64>,
    answered: u64,
}

impl Asker {
    fn next(&mut self) -> usize {
        self.place = (self.place + 1) % self.questions.len();
        self.place
    }

    fn is_over(&self) -> bool {
        self.phase.over.load(Ordering::Relaxed)
    }

    /// Counts an answered call, once counting has begun.
    fn count(&mut self, answers: u64, since: Instant) {
        if self.phase.counting.load(Ordering::Relaxed) && !self.is_over() {
            self.answered += answers;
            self.latency.saturating_record(u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
    }

    fn check(&self, place: usize, answer: &v1::AuthorizeResponse) -> Result<(), Failed> {
        match self.questions.get(place) {
            Some(question) if question.is_answered(answer) => Ok(()),
            question => Err(format!("{question:?}: the answer is {answer:?}")),
        }
    }

    fn message(&self, place: usize) -> v1::AuthorizeRequest {
        self.questions.get(place).map(Question::message).unwrap_or_default()
    }

    /// Asks again as soon as it has its answer, but not before `period` is over.
    async fn unary(mut self, period: Duration) -> Result<Self, Failed> {
        let mut due = Instant::now();
        while !self.is_over() {
            due += period;
            if period > Duration::ZERO {
                tokio::time::sleep_until(due.into()).await;
            }
            let place = self.next();
            let message = self.message(place);
            let since = Instant::now();
            let answer = self.client.authorize(message).await.map_err(|status| status.to_string())?;
            self.count(1, since);
            self.check(place, answer.get_ref())?;
        }
        Ok(self)
    }

    async fn batch(mut self, count: usize) -> Result<Self, Failed> {
        while !self.is_over() {
            let places: Vec<usize> = (0..count).map(|_| self.next()).collect();
            let items = places.iter().filter_map(|place| self.questions.get(*place).map(Question::item));
            let message =
                v1::BatchAuthorizeRequest { items: items.collect(), ..v1::BatchAuthorizeRequest::default() };
            let since = Instant::now();
            let answer = self.client.batch_authorize(message).await.map_err(|status| status.to_string())?;
            self.count(count as u64, since);
            let results = answer.into_inner().results;
            if results.len() != count {
                return Err(format!("{} answers to {count} questions", results.len()));
            }
            for (place, result) in places.into_iter().zip(results) {
                self.check_result(place, Some(result))?;
            }
        }
        Ok(self)
    }

    async fn stream(mut self, in_flight: usize) -> Result<Self, Failed> {
        let (send, requests) = mpsc::channel(in_flight);
        let mut sent = std::collections::VecDeque::new();
        let mut answers = {
            let stream = self.client.authorize_stream(ReceiverStream::new(requests)).await;
            stream.map_err(|status| status.to_string())?.into_inner()
        };
        while !self.is_over() {
            while sent.len() < in_flight {
                let place = self.next();
                let request = Some(self.message(place));
                let message = v1::AuthorizeStreamRequest { correlation_id: String::new(), request };
                sent.push_back((place, Instant::now()));
                send.send(message).await.map_err(|error| error.to_string())?;
            }
            let answer =
                answers.next().await.ok_or("the stream ended")?.map_err(|status| status.to_string())?;
            let Some((place, since)) = sent.pop_front() else { return Err("an answer too many".to_owned()) };
            self.count(1, since);
            self.check_result(place, answer.result)?;
        }
        Ok(self)
    }

    fn check_result(&self, place: usize, result: Option<v1::AuthorizeResult>) -> Result<(), Failed> {
        match result.and_then(|result| result.result) {
            Some(v1::authorize_result::Result::Response(answer)) => self.check(place, &answer),
            other => Err(format!("no answer: {other:?}")),
        }
    }
}
