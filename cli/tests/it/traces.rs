//! Traces, as a collector on loopback gets them.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
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
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::transport::{Certificate, Endpoint, Identity, ServerTlsConfig};

use crate::program::{ALICE, GOOD, directory, program, text};

const NEVER: Duration = Duration::from_secs(60);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector that speaks OTLP over HTTP and keeps what it gets.
struct Collector {
    endpoint: String,
    requests: Receiver<(String, ExportTraceServiceRequest)>,
}

/// A connection, in plain or not.
trait Connection: std::io::Read + std::io::Write {}

impl<C: std::io::Read + std::io::Write> Connection for C {}

impl Collector {
    fn start() -> Self {
        Self::over("http", |stream| Box::new(stream))
    }

    fn start_with_tls(config: rustls::ServerConfig) -> Self {
        let config = Arc::new(config);
        Self::over("https", move |stream| {
            let session = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            Box::new(rustls::StreamOwned::new(session, stream))
        })
    }

    fn over(scheme: &str, open: impl Fn(TcpStream) -> Box<dyn Connection> + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("{scheme}://localhost:{}", listener.local_addr().unwrap().port());
        let (send, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, send, open) = (stream.unwrap(), send.clone(), open.clone());
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(open(stream));
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

fn read_request(reader: &mut BufReader<Box<dyn Connection>>) -> Option<(String, ExportTraceServiceRequest)> {
    let mut first = String::new();
    // A connection that is none, such as one without the right certificate, brings no request.
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

/// The port of a collector that speaks gRPC, what it gets, and what keeps it alive.
fn receive(tls: Option<ServerTlsConfig>) -> (u16, Receiver<ExportTraceServiceRequest>, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (send, requests) = mpsc::channel();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = tonic::transport::Server::builder();
    if let Some(tls) = tls {
        server = server.tls_config(tls).unwrap();
    }
    runtime.spawn(
        server
            .add_service(TraceServiceServer::new(Receiving(send)))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    (port, requests, runtime)
}

/// An authority of a test, and certificates by it, as files.
struct Authority {
    directory: TempDir,
    pem: String,
    server: [String; 2],
}

impl Authority {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(Vec::new()).unwrap();
        own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = own.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(own, key);
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let signed =
                CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
            [signed.pem(), key.serialize_pem()]
        };
        let [certificate, key] = issue("gate");
        for (name, content) in [("ca.pem", &pem), ("gate.pem", &certificate), ("gate.key", &key)] {
            std::fs::write(directory.path().join(name), content).unwrap();
        }
        Self { directory, pem, server: issue("localhost") }
    }

    fn file(&self, name: &str) -> String {
        text(&self.directory.path().join(name)).to_owned()
    }

    /// The variables of a process that knows it and has a certificate by it.
    fn variables(&self) -> [(&'static str, String); 3] {
        [
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", self.file("ca.pem")),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", self.file("gate.pem")),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", self.file("gate.key")),
        ]
    }

    /// Of a server that lets in who has a certificate by it.
    fn config(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        let callers = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let [certificate, key] = &self.server;
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(callers.build().unwrap())
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap()
    }
}

#[test]
fn traces_go_over_tls_to_whom_the_authority_vouches_for() {
    let authority = Authority::new();
    let [certificate, key] = &authority.server;
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate, key))
        .client_ca_root(Certificate::from_pem(&authority.pem));
    let (port, over_grpc, _runtime) = receive(Some(tls));
    let over_http = Collector::start_with_tls(authority.config());
    let [ca, certificate, key] = authority.variables();
    let asked = |endpoint: &str, protocol: &str| {
        let traced = Traced::start(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
            (ca.0, &ca.1),
            (certificate.0, &certificate.1),
            (key.0, &key.1),
        ]);
        traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
        traced.end();
    };
    asked(&over_http.endpoint, "http/protobuf");
    assert_eq!(over_http.batch().1.len(), 1);
    // With a scheme and without.
    for endpoint in [format!("https://localhost:{port}"), format!("localhost:{port}")] {
        asked(&endpoint, "grpc");
        let request = over_grpc.recv_timeout(NEVER).unwrap();
        assert_eq!(hex(&request.resource_spans[0].scope_spans[0].spans[0].trace_id), TRACE);
    }
}

#[test]
fn traces_do_not_go_to_whom_nobody_vouches_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    let over_http = Collector::start_with_tls(authority.config());
    let [ca, certificate, key] = other.variables();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", over_http.endpoint.as_str());
    let traced = Traced::start(&[endpoint, (ca.0, &ca.1), (certificate.0, &certificate.1), (key.0, &key.1)]);
    traced.ask("s3:GetObject", Some(&format!("00-{TRACE}-{PARENT}-01"))).unwrap();
    traced.end();
    assert!(over_http.requests.try_recv().is_err());
}

#[test]
fn traces_go_over_grpc_when_asked() {
    let (port, requests, _runtime) = receive(None);
    let endpoint = format!("http://127.0.0.1:{port}");
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
fn what_is_of_no_use_is_said_before_anything_is_bound() {
    let policies = directory(GOOD);
    let authority = Authority::new();
    let missing = authority.file("missing.pem");
    let (ca, key) = (authority.file("ca.pem"), authority.file("gate.key"));
    let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example:4318");
    for (settings, said) in [
        (vec![("OTEL_TRACES_EXPORTER", "zipkin")], "zipkin"),
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://collector.example")], "ftp://collector.example"),
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "collector.example:4318")], "begins with http:// or https://"),
        (vec![("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:otlp")], "names no host and port"),
        (vec![https, ("OTEL_EXPORTER_OTLP_CERTIFICATE", &missing)], "missing.pem"),
        (vec![https, ("OTEL_EXPORTER_OTLP_CERTIFICATE", &key)], "without certificates"),
        (
            vec![https, ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca), ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key)],
            "its other half",
        ),
        (
            vec![
                https,
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca),
                ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &ca),
                ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
            ],
            "cannot be used",
        ),
    ] {
        let mut command = program();
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").envs(settings);
        command.args(["serve", text(policies.path()), "--listen", "127.0.0.1:0"]);
        let run = crate::program::finish(command, "");
        assert_eq!((run.code, run.out.as_str()), (64, ""), "{}", run.err);
        assert!(run.err.contains(said), "{said}: {}", run.err);
    }
}
