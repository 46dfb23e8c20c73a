//! Many questions over one stream.
//!
//! One task owns the stream and the questions under way; callers hold one end of a channel each. What the stream cannot
//! answer, because it ended, is asked as a single call. Invariant: an answer goes to the question that was sent at its
//! place, and its number says so.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use portcullis_proto::v1;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::authorizer::Authorizer;
use crate::call::{self, NEVER};
use crate::client::Client;
use crate::convert;
use crate::decision::{Decision, Said};
use crate::error::Error;
use crate::request::Request;

/// Questions under way at once; more wait.
const WINDOW: usize = 1_024;

type Result<T> = std::result::Result<T, Error>;

/// Asks over one stream. Cheap to clone; all clones share the stream, which is opened again when it is gone. Ask from
/// many tasks at once: one question after the other gains nothing.
#[derive(Debug, Clone)]
pub struct Pipeline {
    client: Client,
    questions: mpsc::Sender<Question>,
}

/// A question on its way.
#[derive(Debug)]
struct Question {
    message: v1::AuthorizeRequest,
    deadline: Instant,
    /// `None` says that the stream has ended without an answer.
    reply: oneshot::Sender<Option<Result<Arc<Said>>>>,
}

impl Pipeline {
    pub(crate) fn start(client: Client) -> Self {
        let (questions, asked) = mpsc::channel(WINDOW);
        tokio::spawn(drive(client.clone(), asked));
        Self { client, questions }
    }

    async fn said(&self, request: &Request, deadline: Instant) -> Option<Result<Arc<Said>>> {
        let (reply, answered) = oneshot::channel();
        let question = Question { message: request.message.clone(), deadline, reply };
        self.questions.send(question).await.ok()?;
        answered.await.ok()?
    }
}

impl Authorizer for Pipeline {
    async fn decide(&self, request: Request) -> Result<Decision> {
        let (begun, deadline) = (Instant::now(), self.client.deadline(&request));
        let said = match tokio::time::timeout_at(deadline.at, self.said(&request, deadline.at)).await {
            Ok(Some(said)) => said,
            Ok(None) => return self.client.decide_by(request, deadline).await,
            Err(_) => Err(deadline.missed()),
        };
        if let Ok(said) = &said {
            self.client.heard_of(&said.revision, said.generation);
        }
        self.client.caller().called(call::AUTHORIZE_STREAM, begun, 1, said.as_ref().err());
        self.client.settle(request, said)
    }

    async fn authorize_all(&self, requests: Vec<Request>) -> Vec<Result<Decision>> {
        self.client.authorize_all(requests).await
    }
}

/// Opens a stream whenever there is a question and none is open; ends with the last pipeline.
async fn drive(client: Client, mut asked: mpsc::Receiver<Question>) {
    while let Some(first) = asked.recv().await {
        let (send, bodies) = mpsc::channel(WINDOW);
        let opened = client.caller().stream(call::AUTHORIZE_STREAM, ReceiverStream::new(bodies));
        let mut flow = Flow { send, under_way: VecDeque::new(), sent: 0 };
        // A stream opens with its first question: some servers say nothing before.
        if flow.send(first).await
            && let Ok(Ok(answers)) = tokio::time::timeout_at(flow.deadline(), opened).await
        {
            flow.run(answers, &mut asked).await;
        }
        for question in flow.under_way {
            let _ = question.reply.send(None);
        }
    }
}

/// One stream.
struct Flow {
    send: mpsc::Sender<Bytes>,
    under_way: VecDeque<Question>,
    /// How many were sent before the first that is under way.
    sent: u64,
}

impl Flow {
    /// Whether it was sent.
    async fn send(&mut self, mut question: Question) -> bool {
        let number = self.sent + self.under_way.len() as u64;
        let message = v1::AuthorizeStreamRequest {
            correlation_id: number.to_string(),
            request: Some(std::mem::take(&mut question.message)),
        };
        self.under_way.push_back(question);
        self.send.send(message.encode_to_vec().into()).await.is_ok()
    }

    /// When the oldest question has waited for too long.
    fn deadline(&self) -> Instant {
        self.under_way.front().map_or_else(|| Instant::now() + NEVER, |question| question.deadline)
    }

    /// Until the stream ends, or does not answer in time.
    async fn run(
        &mut self,
        mut answers: Streaming<v1::AuthorizeStreamResponse>,
        asked: &mut mpsc::Receiver<Question>,
    ) {
        loop {
            let room = self.under_way.len() < WINDOW;
            tokio::select! {
                answer = answers.message() => {
                    let Ok(Some(answer)) = answer else { return };
                    if !self.answered(answer) {
                        return;
                    }
                }
                question = asked.recv(), if room => {
                    let Some(question) = question else { return };
                    if !self.send(question).await {
                        return;
                    }
                }
                () = tokio::time::sleep_until(self.deadline()) => return,
            }
        }
    }

    /// Whether the answer is the one that was due.
    fn answered(&mut self, answer: v1::AuthorizeStreamResponse) -> bool {
        let v1::AuthorizeStreamResponse { correlation_id, result } = answer;
        let due = correlation_id.parse() == Ok(self.sent);
        let (true, Some(result)) = (due, result) else { return false };
        let Some(question) = self.under_way.pop_front() else { return false };
        self.sent += 1;
        let _ = question.reply.send(Some(convert::result(result)));
        true
    }
}
