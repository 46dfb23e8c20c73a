//! One stream of questions and answers, below any gRPC library.

use anyhow::{Context as _, ensure};
use bytes::{Buf as _, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};

use crate::frames::{Caller, STREAM};

/// Bytes before a message.
const PREFIX: usize = 5;

/// A stream that is open.
pub(super) struct Conversation {
    questions: SendStream<Bytes>,
    /// Until its head has come.
    response: Option<ResponseFuture>,
    answers: Option<RecvStream>,
    unread: BytesMut,
}

impl Conversation {
    pub(super) async fn begin(caller: &Caller) -> anyhow::Result<Self> {
        let (questions, response) = caller.begin(STREAM, &[]).await?;
        Ok(Self { questions, response: Some(response), answers: None, unread: BytesMut::new() })
    }

    /// Sends one question and waits for one answer.
    pub(super) async fn ask(&mut self, question: Bytes) -> anyhow::Result<Bytes> {
        self.questions.send_data(question, false)?;
        loop {
            if let Some(message) = self.message() {
                return Ok(message);
            }
            ensure!(self.more().await?, "the stream ended");
        }
    }

    /// Ends the questions; the service must end the answers, and well.
    pub(super) async fn end(mut self) -> anyhow::Result<()> {
        if self.questions.send_data(Bytes::new(), true).is_err() {
            // It broke, which the last question has told of.
            return Ok(());
        }
        while self.more().await? {}
        ensure!(self.unread.is_empty(), "an answer without a question");
        let trailers = self.answers.as_mut().context("no answers")?.trailers().await?;
        let status = trailers.as_ref().and_then(|trailers| trailers.get("grpc-status"));
        ensure!(status.is_some_and(|status| status == "0"), "a stream ends with {status:?}");
        Ok(())
    }

    fn message(&mut self) -> Option<Bytes> {
        let length: [u8; 4] = self.unread.get(1..PREFIX)?.try_into().ok()?;
        let end = PREFIX + u32::from_be_bytes(length) as usize;
        if self.unread.len() < end {
            return None;
        }
        self.unread.advance(PREFIX);
        Some(self.unread.split_to(end - PREFIX).freeze())
    }

    /// Whether there was more.
    async fn more(&mut self) -> anyhow::Result<bool> {
        if let Some(response) = self.response.take() {
            let (head, answers) = response.await?.into_parts();
            ensure!(head.status == 200, "HTTP {}", head.status);
            self.answers = Some(answers);
        }
        let answers = self.answers.as_mut().context("no answers")?;
        let Some(part) = answers.data().await else { return Ok(false) };
        let part = part?;
        answers.flow_control().release_capacity(part.len())?;
        self.unread.extend_from_slice(&part);
        Ok(true)
    }
}
