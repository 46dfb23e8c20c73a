//! The sidecar leaves, is cut off, hangs, babbles, is not there: every call ends in a decision or an error, in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portcullis_client::{Authorizer, Builder, Client, Decision, Error, Event, Observer, Reason, Request};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;
use tonic::body::Body;

use crate::sidecar::{SOON, Sidecar, Wire, allowed, denied};

#[tokio::test]
async fn nobody_a_silent_peer_and_a_babbling_peer_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lazy = |timeout| Client::builder(address.to_string()).timeout(timeout).connect_lazy().unwrap();

    // Accepts by the backlog alone and says nothing.
    let short = Duration::from_millis(50);
    assert_eq!(lazy(short).decide(allowed()).await.unwrap_err(), Error::Timeout(short));
    let own = allowed().timeout(Duration::from_millis(20));
    assert_eq!(lazy(SOON).decide(own).await.unwrap_err(), Error::Timeout(Duration::from_millis(20)));

    let babble = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ngrpc-status: 0\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    assert!(lazy(Duration::from_secs(1)).decide(allowed()).await.is_err());
    babble.abort();
    let _ = babble.await;
    let error = lazy(SOON).decide(allowed()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    assert!(matches!(Client::connect(address.to_string()).await, Err(Error::Unreachable(_))));
}

/// A sidecar that takes calls and answers none. No network, so that the clock may be one that waits for nobody.
fn silent() -> Builder {
    let service = tower::service_fn(|_: http::Request<Body>| async {
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>().await
    });
    Builder::over(service)
}

#[tokio::test(start_paused = true)]
async fn a_timeout_is_that_of_the_question_however_it_is_asked() {
    let timeout = Duration::from_millis(300);
    let client = silent().timeout(timeout).connect_lazy().unwrap();
    let ask = async |requests: Vec<Request>| {
        let begun = tokio::time::Instant::now();
        let answers = client.authorize_all(requests).await;
        (answers.into_iter().map(Result::unwrap_err).collect::<Vec<_>>(), begun.elapsed())
    };
    // Three calls, which do not have a timeout each.
    let (errors, elapsed) = ask(vec![allowed(); 250]).await;
    assert!(elapsed < 2 * timeout, "{elapsed:?}");
    assert_eq!(errors, vec![Error::Timeout(timeout); 250]);
    let own = 2 * timeout;
    let (errors, elapsed) = ask([vec![allowed(); 100], vec![allowed().timeout(own); 100]].concat()).await;
    assert!(elapsed < 3 * timeout, "{elapsed:?}");
    assert_eq!(errors, [vec![Error::Timeout(timeout); 100], vec![Error::Timeout(own); 100]].concat());

    // The stream does not open either, and what is left for the single call is less than the timeout.
    let error = client.pipeline().decide(allowed()).await.unwrap_err();
    assert_eq!(error, Error::Timeout(timeout));
}

/// The sidecar is killed while it answers: the head of an answer has come, and then the connection breaks.
#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_of_an_answer_is_no_refusal() {
    let service = tower::service_fn(|_: http::Request<Body>| async {
        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let body = http_body_util::StreamBody::new(tokio_stream::once(Err::<
            http_body::Frame<bytes::Bytes>,
            _,
        >(broken)));
        let response = http::Response::builder().header("content-type", "application/grpc");
        Ok::<_, std::convert::Infallible>(response.body(body).unwrap())
    });
    for attempts in [1, 3] {
        let client = Builder::over(service).attempts(attempts).timeout(SOON).connect_lazy().unwrap();
        let error = client.decide(allowed()).await.unwrap_err();
        assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    }
}

/// Asks as services do: from many tasks at once, on one client.
async fn ask_much(authorizer: impl Authorizer + Clone + 'static, calls: usize) {
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let authorizer = authorizer.clone();
        tasks.spawn(async move {
            for _ in 0..calls {
                let decision = authorizer.decide(allowed()).await;
                assert!(decision.expect("no call fails").is_allowed());
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_asked_to_leave_are_not_noticed() {
    let sidecar = Sidecar::configured(|config, _| config.connection_age_max_ms = 5).await;
    sidecar.load().await;
    // On a slow machine a connection may be old before its first call: that takes more attempts, never a failed call.
    let patient =
        |endpoint: &str| Client::builder(endpoint).timeout(SOON).attempts(32).connect_lazy().unwrap();
    ask_much(patient(&sidecar.tcp), 200).await;
    ask_much(patient(&sidecar.unix), 200).await;
    ask_much(patient(&sidecar.unix).pipeline(), 200).await;
}

/// What came back while the wire was cut.
#[derive(Debug, Default)]
struct Seen {
    decided: u32,
    failed: u32,
    longest: Duration,
}

async fn ask_until(authorizer: impl Authorizer, end: tokio::sync::watch::Receiver<bool>) -> Seen {
    let mut seen = Seen::default();
    while !*end.borrow() {
        for (request, expected) in [(allowed(), true), (denied(), false)] {
            let begun = Instant::now();
            match authorizer.decide(request).await {
                Ok(decision) => {
                    assert_eq!(decision.is_allowed(), expected, "{decision:?}");
                    seen.decided += 1;
                }
                Err(error) => {
                    assert!(error.is_transient(), "{error:?}");
                    seen.failed += 1;
                }
            }
            seen.longest = seen.longest.max(begun.elapsed());
        }
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_that_goes_and_comes_back_a_hundred_times_never_makes_a_wrong_answer() {
    const TIMEOUT: Duration = Duration::from_secs(5);
    let sidecar = Sidecar::loaded().await;
    let mut wire = Wire::to(&sidecar);
    let client = Client::builder(wire.endpoint()).timeout(TIMEOUT).connect().await.unwrap();
    let (stop, end) = tokio::sync::watch::channel(false);
    let mut askers = JoinSet::new();
    for _ in 0..3 {
        askers.spawn(ask_until(client.clone(), end.clone()));
        askers.spawn(ask_until(client.pipeline(), end.clone()));
    }
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        wire.cut().await;
        tokio::time::sleep(Duration::from_millis(3)).await;
        wire.mend();
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.send(true).unwrap();
    while let Some(seen) = askers.join_next().await {
        let seen = seen.unwrap();
        assert!(seen.decided > 0, "{seen:?}");
        // Every call ends at its deadline; as much again is room for a slow machine.
        assert!(seen.longest < 2 * TIMEOUT, "{seen:?}");
    }
    assert!(client.decide(allowed()).await.unwrap().is_allowed(), "it is back");
}

/// Counts what was let through, and retries.
#[derive(Default)]
struct Counts {
    opened: AtomicU32,
    attempts: AtomicU32,
}

impl Observer for Counts {
    fn observe(&self, event: &Event<'_>) {
        match event {
            Event::FailedOpen { .. } => {
                self.opened.fetch_add(1, Ordering::Relaxed);
            }
            Event::Called { attempts, .. } => {
                self.attempts.fetch_add(*attempts, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn only_what_was_listed_is_let_through_without_a_decision() {
    let counts = Arc::new(Counts::default());
    let gone = Client::builder("unix:/nowhere/at/all")
        .fail_open(["orders:getorder"])
        .observer(Arc::clone(&counts))
        .connect_lazy()
        .unwrap();
    let opened = gone.decide(allowed()).await.unwrap();
    assert_eq!((opened.is_allowed(), opened.reason()), (true, Reason::FailOpen));
    assert!(gone.decide(denied()).await.is_err());
    let several = gone.authorize_all(vec![denied(), allowed()]).await;
    assert!(matches!(several.as_slice(), [Err(_), Ok(Decision::Allow(_))]), "{several:?}");
    assert!(gone.pipeline().decide(allowed()).await.unwrap().is_allowed());
    assert_eq!(counts.opened.load(Ordering::Relaxed), 3);

    // A sidecar that answers is believed, whatever is listed.
    let sidecar = Sidecar::loaded().await;
    let client =
        Client::builder(&sidecar.unix).fail_open(["orders:DeleteOrder", "nonsense"]).connect().await.unwrap();
    assert!(!client.decide(denied()).await.unwrap().is_allowed());
    let malformed = Request::new("alice", "nonsense", "*");
    assert!(client.decide(malformed).await.is_err());
    // Nobody gets through by asking what is too large to be read.
    let listed = Client::builder(&sidecar.unix).fail_open(["orders:GetOrder"]).connect().await.unwrap();
    let large = listed.decide(allowed().context("app:padding", "x".repeat(300 << 10))).await.unwrap_err();
    assert!(matches!(&large, Error::Refused { reason, .. } if reason == "MESSAGE_TOO_LARGE"), "{large:?}");
}

#[tokio::test]
async fn what_cannot_be_answered_now_is_asked_again_but_not_for_ever() {
    let counts = Arc::new(Counts::default());
    let sidecar = Sidecar::start().await;
    let client = Client::builder(&sidecar.unix)
        .observer(Arc::clone(&counts))
        .attempts(3)
        .timeout(SOON)
        .connect()
        .await
        .unwrap();
    let error = client.decide(allowed()).await.unwrap_err();
    assert!(matches!(&error, Error::Refused { reason, .. } if reason == "NO_POLICY_SET"), "{error:?}");
    assert_eq!(counts.attempts.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    // Takes connections and never reads from them.
    let hung = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
        }
    });
    let brief = Duration::from_millis(100);
    let client = Client::builder(format!("unix:{}", path.display()))
        .keep_alive(brief, brief)
        .attempts(1)
        .timeout(SOON)
        .connect_lazy()
        .unwrap();
    let error = client.decide(allowed()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable(_)), "{error:?}");
    hung.abort();
}

#[tokio::test]
async fn questions_wait_for_a_place_and_their_waiting_counts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let short = Duration::from_millis(50);
    let client = Client::builder(listener.local_addr().unwrap().to_string())
        .in_flight(1)
        .timeout(short)
        .connect_lazy()
        .unwrap();
    let all: Vec<_> = (0..4).map(|_| client.decide(allowed())).collect();
    for ended in futures_util::future::join_all(all).await {
        assert_eq!(ended.unwrap_err(), Error::Timeout(short));
    }
}
