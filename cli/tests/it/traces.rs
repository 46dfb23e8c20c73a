//! Traces, as a collector on loopback gets them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use portcullis_proto::v1;
use portcullis_proto::v1::authorization_service_client::AuthorizationServiceClient;
use prost::Message as _;
use tempfile::TempDir;
use tonic::transport::Endpoint;

use crate::program::{ALICE, GOOD, directory, program, text};

const NEVER: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that speaks OTLP over HTTP and keeps what it gets.
struct Collector {
    endpoint: String,
    requests: Receiver<(String, ExportTraceServiceRequest)>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let (send, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, send) = (stream.unwrap(), send.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    while let Some(request) = read_request(&mut reader) {
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
                        if send.send(request).is_err() || reader.get_mut().write_all(answer).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { endpoint, requests }
    }

    /// The resource of the next batch and its spans.
    fn batch(&self) -> (BTreeMap<String, String>, Vec<Span>) {
        let (path, request) = self.requests.recv_timeout(NEVER).expect("a batch comes");
        assert_eq!(path, "/v1/traces");
        let [resource] = request.resource_spans.try_into().unwrap();
        let attributes = words(&resource.resource.unwrap().attributes);
        (attributes, resource.scope_spans.into_iter().flat_map(|scope| scope.spans).collect())
    }
}

fn read_request(reader: &mut BufReader<std::net::TcpStream>) -> Option<(String, ExportTraceServiceRequest)> {
    let mut first = String::new();
    if reader.read_line(&mut first).ok()? == 0 {
        return None;
    }
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let header = header.trim_end().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = first.split(' ').nth(1).unwrap().to_owned();
    Some((path, ExportTraceServiceRequest::decode(body.as_slice()).unwrap()))
}

fn words(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let word = |attribute: &KeyValue| match attribute.value.clone().and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    attributes.iter().map(|attribute| (attribute.key.clone(), word(attribute))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sidecar that sends traces, and its address; ends with the value.
struct Traced {
    child: Child,
    address: String,
    _policies: TempDir,
}

impl Traced {
    fn start(variables: &[(&str, &str)]) -> Self {
        let policies = directory(GOOD);
        let mut command = program();
        command.args([
            "serve",
            text(policies.path()),
            "--listen",
            "127.0.0.1:0",
            "--http-listen",
            "127.0.0.1:0",
        ]);
        // What is left is sent at the end, so a batch need not be waited for.
        command.env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
        command.envs(variables.iter().copied());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            line
        };
        let address = line().trim_end().strip_prefix("gRPC listens on ").unwrap().to_owned();
        assert!(line().starts_with("HTTP listens on "));
        assert!(line().starts_with("loaded "));
        Self { child, address, _policies: policies }
    }

    /// One question, with this as the caller's trace.
    fn ask(&self, action: &str, traceparent: Option<&str>) -> Result<v1::AuthorizeResponse, tonic::Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let channel =
                Endpoint::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap();
            let mut request = tonic::Request::new(v1::AuthorizeRequest {
                principal: ALICE.to_owned(),
                action: action.to_owned(),
                resource: "arn:aws:s3:::reports/canary".to_owned(),
                ..v1::AuthorizeRequest::default()
            });
            if let Some(traceparent) = traceparent {
                request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
            }
            let answered = AuthorizationServiceClient::new(channel).authorize(request).await;
            answered.map(tonic::Response::into_inner)
        })
    }

    fn end(mut self) {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_call_is_a_span_of_its_caller_s_trace() {
    let collector = Collector::start();
    let traced = Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint)]);
    let answer = traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
    // A caller that does not sample asks for no span here either.
    traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-00"))).unwrap();
    traced.ask("nonsense", Some("not a traceparent")).unwrap_err();
    traced.end();

    let (resource, spans) = collector.batch();
    assert_eq!(resource["service.name"], "portcullis");
    assert_eq!(spans.len(), 2, "{spans:?}");
    let span = &spans[0];
    assert_eq!(span.name, "portcullis.v1.AuthorizationService/Authorize");
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, PARENT));
    let said = words(&span.attributes);
    for (key, value) in [
        ("rpc.system", "grpc"),
        ("rpc.service", "portcullis.v1.AuthorizationService"),
        ("rpc.method", "Authorize"),
        ("rpc.grpc.status_code", "0"),
        ("portcullis.decision", "Allow"),
        ("portcullis.reason", "Allowed"),
        ("portcullis.layer", "identity"),
        ("portcullis.revision", &answer.revision),
        ("portcullis.generation", "1"),
    ] {
        assert_eq!(said.get(key).map(String::as_str), Some(value), "{key}");
    }
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    assert_eq!(span.events.len(), 1);

    let refused = &spans[1];
    assert!(refused.parent_span_id.is_empty() && hex(&refused.trace_id) != TRACE);
    assert_eq!(words(&refused.attributes)["rpc.grpc.status_code"], "3");
    assert!(!format!("{spans:?}").contains("canary") && !format!("{spans:?}").contains("alice"));
}

/// The same collector over gRPC.
struct Receiving(mpsc::Sender<ExportTraceServiceRequest>);

#[tonic::async_trait]
impl TraceService for Receiving {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.send(request.into_inner()).map_err(|_| tonic::Status::unavailable("the test is over"))?;
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[test]
fn traces_go_over_grpc_when_asked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (send, requests) = mpsc::channel();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Receiving(send)))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    let traced =
        Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]);
    traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
    traced.end();
    let request = requests.recv_timeout(NEVER).unwrap();
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    assert_eq!((hex(&span.trace_id).as_str(), hex(&span.parent_span_id).as_str()), (TRACE, PARENT));
}

#[test]
fn the_standard_variables_hold() {
    let collector = Collector::start();
    let traced = Traced::start(&[
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("{}/v1/traces", collector.endpoint)),
        ("OTEL_SERVICE_NAME", "gate"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
        ("OTEL_TRACES_SAMPLER", "parentbased_always_off"),
    ]);
    traced.ask("s3:GetObject", None).unwrap();
    traced.ask("s3:PutObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
    traced.end();
    let (resource, spans) = collector.batch();
    assert_eq!(
        (resource["service.name"].as_str(), resource["deployment.environment"].as_str()),
        ("gate", "test")
    );
    assert_eq!(spans.len(), 1);
    assert_eq!(words(&spans[0].attributes)["portcullis.decision"], "Deny");
}

#[test]
fn nothing_is_sent_when_it_is_switched_off() {
    for switch in [("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        let collector = Collector::start();
        let traced = Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint), switch]);
        traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
        traced.end();
        assert!(collector.requests.try_recv().is_err(), "{switch:?}");
    }
}

#[test]
fn a_collector_that_is_not_there_hurts_nobody() {
    // Port 1 is reserved; nothing listens on it.
    let traced = Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]);
    for _ in 0..10 {
        assert_eq!(traced.ask("s3:GetObject", None).unwrap().decision(), v1::Decision::Allow);
    }
    traced.end();
}

#[test]
fn what_is_not_supported_is_said_before_anything_is_bound() {
    let policies = directory(GOOD);
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
    ] {
        let mut command = program();
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").env(name, value);
        command.args(["serve", text(policies.path()), "--listen", "127.0.0.1:0"]);
        let run = crate::program::finish(command, "");
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{}", run.err);
        assert!(run.err.contains(value), "{}", run.err);
    }
}
