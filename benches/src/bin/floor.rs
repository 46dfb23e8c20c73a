//! The floor as a process: `floor serve --uds PATH`; with the peers, cedar-policy in its place; and the body of a request for a client that knows no gRPC.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use portcullis_benches::Shape;
use portcullis_benches::measure::print;
use portcullis_benches::wire::{floor::Floor, framed};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::Routes;
use tonic::transport::Server;

/// The sidecar has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A service with the messages of the sidecar that decides nothing, on stock tonic.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until it is killed.
    Serve {
        /// The Unix socket to listen on; it must not exist.
        #[arg(long, value_name = "PATH")]
        uds: Option<PathBuf>,
        /// The TCP address to listen on.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// Decide with cedar-policy by the policies in this directory.
        #[cfg(feature = "peers")]
        #[arg(long, value_name = "DIRECTORY")]
        cedar: Option<PathBuf>,
    },
    /// Writes an AuthorizeRequest of world W2 with its gRPC prefix, for `h2load --data`.
    Body {
        /// Where to.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        #[cfg(feature = "peers")]
        Command::Serve { uds, listen, cedar: Some(policies) } => portcullis_benches::sources(&policies)
            .and_then(|sources| portcullis_benches::wire::cedar::Cedared::service(&sources))
            .map_err(Into::into)
            .and_then(|service| serve(uds, listen, Routes::new(service))),
        Command::Serve { uds, listen, .. } => serve(uds, listen, Routes::new(Floor::service())),
        Command::Body { file } => body(&file),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            print(&problem.to_string());
            ExitCode::FAILURE
        }
    }
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn serve(uds: Option<PathBuf>, listen: Option<SocketAddr>, service: Routes) -> Done {
    // One thread: it is pinned to one processor, and so a runtime for several would only cost.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async move {
        let served = || Server::builder().add_routes(service.clone());
        let tcp = async {
            let Some(address) = listen else { return Ok(()) };
            let incoming = TcpListenerStream::new(TcpListener::bind(address).await?);
            let incoming = tokio_stream::StreamExt::map(incoming, |stream| {
                stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            });
            Done::Ok(served().serve_with_incoming(incoming).await?)
        };
        let unix = async {
            let Some(path) = uds else { return Ok(()) };
            let incoming = UnixListenerStream::new(UnixListener::bind(path)?);
            Done::Ok(served().serve_with_incoming(incoming).await?)
        };
        tokio::try_join!(tcp, unix).map(drop)
    })
}

fn body(file: &std::path::Path) -> Done {
    let world = Shape::named("W2").ok_or("there is no world W2")?.world(portcullis_benches::seed());
    let question = world.questions.first().ok_or("the world has no questions")?;
    Ok(std::fs::write(file, framed(&question.message()))?)
}
