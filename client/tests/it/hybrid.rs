//! A policy set that a sidecar hands out: taken whole or not at all, followed, and good for a while without the sidecar.

use std::fs;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_client::embedded::LoadMode;
use portcullis_client::wire::policy_set_service_server::{PolicySetService, PolicySetServiceServer};
use portcullis_client::wire::watch_policy_set_response::Event;
use portcullis_client::{Authorizer as _, Client, Decision, Embedded, Error, Hybrid, Request, wire};
use portcullis_server::{Config, Listeners};
use portcullis_store::{Delivery, Feed, FeedError, Store};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tonic::{Response, Status};

use crate::proof::put;

const ALICE: &str = "arn:aws:iam::111122223333:user/alice";
/// Far more than any step takes.
const NEVER: Duration = Duration::from_secs(120);

type Files = Vec<(String, Vec<u8>)>;

/// Policies that allow one action, with so many blanks behind them.
fn files(action: &str, blanks: usize) -> Files {
    let mut text = format!(
        r#"{{"UserDetailList": [{{"UserName": "alice", "Arn": "{ALICE}", "UserPolicyList": [
        {{"PolicyName": "orders", "PolicyDocument": {{"Version": "2012-10-17", "Statement": [
            {{"Effect": "Allow", "Action": "{action}", "Resource": "*"}}]}}}}]}}]}}"#
    );
    text.push_str(&" ".repeat(blanks));
    vec![("alice.json".to_owned(), text.into_bytes())]
}

fn delivery(files: Files, generation: u64) -> Delivery {
    Delivery { files, load_mode: LoadMode::Lenient, revision: None, generation }
}

fn revision(files: Files) -> String {
    Embedded::from_files(files, LoadMode::Lenient).unwrap().status().revision.unwrap().to_string()
}

fn get() -> Request {
    Request::new(ALICE, "orders:GetOrder", "*")
}

/// A sidecar whose policies are put into it, on a socket and on a port.
struct Sidecar {
    feed: Feed,
    socket: PathBuf,
    tcp: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Sidecar {
    async fn start(directory: &Path, adjust: impl FnOnce(&mut Config)) -> Self {
        let socket = directory.join("socket");
        let mut config = Config {
            listen: "127.0.0.1:0".to_owned(),
            http_listen: String::new(),
            uds: Some(socket.clone()),
            share_policies: true,
            drain_ms: 100,
            ..Config::default()
        };
        adjust(&mut config);
        config.check().unwrap();
        let listeners = Listeners::bind(&config).await.unwrap();
        let tcp = format!("http://{}", listeners.grpc_address().unwrap());
        let (store, feed) = Store::fed();
        let (stop, stopped) = oneshot::channel();
        let served = portcullis_server::run(config, store, listeners, async {
            let _ = stopped.await;
        });
        let running = tokio::spawn(async move {
            served.await.unwrap();
        });
        Self { feed, socket, tcp, stop, running }
    }

    fn client(&self) -> Client {
        Client::builder(format!("unix:{}", self.socket.display())).timeout(NEVER).connect_lazy().unwrap()
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.running.await.unwrap();
    }
}

/// Asks until the answer is as wanted.
async fn until(
    hybrid: &Hybrid,
    wanted: impl Fn(&Result<Decision, Error>) -> bool,
) -> Result<Decision, Error> {
    let asked = async {
        loop {
            let answered = hybrid.decide(get()).await;
            if wanted(&answered) {
                return answered;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(NEVER, asked).await.expect("the answer comes to be as wanted")
}

fn handed_out(audit: &Path) -> usize {
    fs::read_to_string(audit).unwrap().matches("HandOutPolicies").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_set_is_followed_and_answers_on_without_its_sidecar() {
    let directory = tempfile::tempdir().unwrap();
    let audit = |number: u32| directory.path().join(format!("audit{number}"));
    let mut sidecar = Sidecar::start(directory.path(), |config| config.audit_file = Some(audit(1))).await;
    let client = sidecar.client();
    let lazy = Hybrid::builder(client.clone()).open_lazy();
    let error = lazy.decide_now(get()).unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert_eq!(lazy.age(), None);

    sidecar.feed.put(delivery(files("orders:Get*", 0), 7)).unwrap();
    let long = Hybrid::builder(client.clone()).wait(NEVER).open().await.unwrap();
    let brief = Hybrid::builder(client.clone())
        .max_age(Duration::from_millis(1500))
        .wait(NEVER)
        .open()
        .await
        .unwrap();
    lazy.ready(NEVER).await.unwrap();
    let (here, there) = (long.decide(get()).await.unwrap(), client.decide(get()).await.unwrap());
    assert!(here.is_allowed() && there.is_allowed());
    let (here, there) = (here.answer(), there.answer());
    assert_eq!((here.revision(), here.generation()), (there.revision(), there.generation()));
    assert_eq!(here.message(), there.message());

    sidecar.feed.put(delivery(files("orders:Put*", 0), 8)).unwrap();
    for hybrid in [&long, &brief, &lazy] {
        let denied =
            until(hybrid, |answered| answered.as_ref().is_ok_and(|it| !it.is_allowed())).await.unwrap();
        assert_eq!(denied.answer().generation(), 8);
    }
    sidecar.stop().await;
    // Three callers; the lazy one and the two others took both.
    assert_eq!(handed_out(&audit(1)), 6);

    let stale = until(&brief, |answered| answered.is_err()).await.unwrap_err();
    let Error::Stale { age, max_age } = stale else { unreachable!("{stale:?}") };
    assert!(age > max_age);
    assert!(!long.decide_now(get()).unwrap().is_allowed(), "it is good for five minutes");
    assert!(brief.authorize_all(vec![get(), get()]).await.iter().all(Result::is_err));

    // It starts again with the same policies and counts anew; nothing has to be handed out.
    let mut again = Sidecar::start(directory.path(), |config| config.audit_file = Some(audit(2))).await;
    again.feed.put(delivery(files("orders:Put*", 0), 1)).unwrap();
    for hybrid in [&long, &brief] {
        let anew = |answered: &Result<Decision, Error>| {
            answered.as_ref().is_ok_and(|decision| decision.answer().generation() == 1)
        };
        assert!(!until(hybrid, anew).await.unwrap().is_allowed());
        assert_eq!(hybrid.problem(), None);
    }
    drop(lazy);
    again.stop().await;
    assert_eq!(handed_out(&audit(2)), 0);
}

fn reason_of<T>(answered: Result<T, Error>) -> String {
    match answered.err() {
        Some(Error::Refused { reason, .. }) => reason,
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sidecar_shares_only_when_told_to_and_only_with_the_known() {
    let directory = tempfile::tempdir().unwrap();
    let mut sidecar = Sidecar::start(directory.path(), |config| config.share_policies = false).await;
    sidecar.feed.put(delivery(files("orders:Get*", 0), 1)).unwrap();
    assert_eq!(reason_of(Hybrid::open(sidecar.client()).await), "POLICY_SET_NOT_SHARED");
    let lazy = Hybrid::builder(sidecar.client()).open_lazy();
    assert_eq!(reason_of(lazy.ready(NEVER).await), "POLICY_SET_NOT_SHARED");
    assert_eq!(reason_of(lazy.decide(get()).await), "POLICY_SET_NOT_SHARED");
    let asking = Hybrid::builder(sidecar.client()).ask_meanwhile().open_lazy();
    assert!(asking.decide(get()).await.unwrap().is_allowed(), "the sidecar itself answers");
    assert!(asking.decide_now(get()).is_err());
    sidecar.stop().await;

    let mut sharing = Sidecar::start(directory.path(), |_| {}).await;
    sharing.feed.put(delivery(files("orders:Get*", 0), 1)).unwrap();
    let nameless = Client::builder(&sharing.tcp).timeout(NEVER).connect().await.unwrap();
    assert_eq!(reason_of(Hybrid::open(nameless).await), "POLICY_SET_NOT_SHARED");
    assert!(Hybrid::open(sharing.client()).await.is_ok());
    sharing.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_must_be_for_the_policy_set() {
    let directory = tempfile::tempdir().unwrap();
    let (plain, taking) = ("p".repeat(40), "t".repeat(40));
    let mut sidecar = Sidecar::start(directory.path(), |config| {
        let tokens = directory.path().join("tokens");
        put(&tokens, &format!("plain {plain}\ntaking {taking} methods=Authorize,WatchPolicySet\n"));
        config.token_file = Some(tokens);
    })
    .await;
    sidecar.feed.put(delivery(files("orders:Get*", 0), 1)).unwrap();
    let with =
        |token: &str| Client::builder(&sidecar.tcp).token(token).timeout(NEVER).connect_lazy().unwrap();
    assert_eq!(reason_of(Hybrid::open(with(&plain)).await), "METHOD_NOT_PERMITTED");
    let hybrid = Hybrid::open(with(&taking)).await.unwrap();
    assert!(hybrid.decide_now(get()).unwrap().is_allowed());
    sidecar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_set_may_be_larger_than_any_message() {
    let directory = tempfile::tempdir().unwrap();
    let mut sidecar = Sidecar::start(directory.path(), |_| {}).await;
    let mut large = files("orders:Get*", 5 << 20);
    large.push(("b/empty.json".to_owned(), b"{}".to_vec()));
    large.extend(
        (0..3)
            .map(|number| (format!("c/{number}.json"), format!("{{}}{}", " ".repeat(1 << 20)).into_bytes())),
    );
    sidecar.feed.put(delivery(large.clone(), 1)).unwrap();
    let hybrid = Hybrid::builder(sidecar.client()).wait(NEVER).open().await.unwrap();
    let decision = hybrid.decide_now(get()).unwrap();
    assert!(decision.is_allowed());
    assert_eq!(decision.answer().revision(), revision(large));
    let small = Hybrid::builder(sidecar.client()).bytes_max(1 << 20).wait(NEVER).open().await;
    assert!(matches!(small, Err(Error::Answer(_))), "{small:?}");
    sidecar.stop().await;
}

/// One that says what it is told to, one script for each watch, and then nothing more.
struct Puppet {
    scripts: Mutex<Vec<Vec<Event>>>,
    held: Arc<Mutex<Vec<String>>>,
}

type Events<T> = Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl PolicySetService for Puppet {
    type WatchRevisionsStream = Events<wire::WatchRevisionsResponse>;
    type WatchPolicySetStream = Events<wire::WatchPolicySetResponse>;

    async fn watch_policy_set(
        &self,
        request: tonic::Request<wire::WatchPolicySetRequest>,
    ) -> Result<Response<Self::WatchPolicySetStream>, Status> {
        let script = self.scripts.lock().unwrap().pop().ok_or_else(|| Status::unavailable("no more"))?;
        self.held.lock().unwrap().push(request.into_inner().held_revision);
        let events =
            tokio_stream::iter(script).map(|event| Ok(wire::WatchPolicySetResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(events.chain(tokio_stream::pending()))))
    }

    async fn get_status(
        &self,
        _: tonic::Request<wire::GetStatusRequest>,
    ) -> Result<Response<wire::GetStatusResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn watch_revisions(
        &self,
        _: tonic::Request<wire::WatchRevisionsRequest>,
    ) -> Result<Response<Self::WatchRevisionsStream>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn wait_for_revision(
        &self,
        _: tonic::Request<wire::WaitForRevisionRequest>,
    ) -> Result<Response<wire::WaitForRevisionResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// The events of a policy set under an announced revision.
fn events(files: Files, revision: &str, generation: u64) -> Vec<Event> {
    let bytes = files.iter().map(|(_, bytes)| bytes.len() as u64).sum();
    let revision = revision.to_owned();
    let start = wire::PolicySetStart { revision, generation, loaded_at: None, strict: false, bytes };
    let parts = files.into_iter().map(|(name, data)| Event::Part(wire::PolicySetPart { name, data }));
    let end = Event::End(wire::PolicySetEnd {});
    std::iter::once(Event::Start(start)).chain(parts).chain([end]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_whole_right_or_loadable_replaces_nothing() {
    let (good, other) = (files("orders:Get*", 0), files("orders:Put*", 0));
    let first = revision(good.clone());
    let broken = vec![("a.json".to_owned(), b"{".to_vec())];
    let Err(FeedError::Policies(rejection)) = Store::fed().1.put(delivery(broken.clone(), 1)) else {
        unreachable!()
    };
    let beat = || Event::Beat(wire::PolicySetBeat {});
    let with = |mut events: Vec<Event>, more: Vec<Event>| {
        events.extend(more);
        events
    };
    let mut half = events(other.clone(), &revision(other.clone()), 2);
    half.pop();
    let mut scripts = vec![
        with(events(good.clone(), &first, 1), events(other.clone(), &first, 2)),
        events(broken, &rejection.revision.to_string(), 3),
        with(half, vec![beat()]),
        vec![beat()],
        events(other.clone(), &revision(other.clone()), 4),
    ];
    scripts.reverse();
    let held = Arc::new(Mutex::new(Vec::new()));
    let puppet = Puppet { scripts: Mutex::new(scripts), held: Arc::clone(&held) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let served = tonic::transport::Server::builder()
        .add_service(PolicySetServiceServer::new(puppet))
        .serve_with_incoming(incoming);
    let served = tokio::spawn(served);

    let client = Client::builder(endpoint).timeout(NEVER).connect_lazy().unwrap();
    let hybrid = Hybrid::builder(client).wait(NEVER).open().await.unwrap();
    let last = until(&hybrid, |answered| {
        let decision = answered.as_ref().unwrap();
        // Nothing but the first and the last was ever decided on.
        assert_eq!(decision.is_allowed(), decision.answer().generation() == 1);
        decision.answer().generation() == 4
    });
    assert!(!last.await.unwrap().is_allowed());
    assert_eq!(*held.lock().unwrap(), [String::new(), first.clone(), first.clone(), first.clone(), first]);
    served.abort();
}
