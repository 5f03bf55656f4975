//! Starting and stopping a node, and the two things that can be done with its
//! folder while no node runs.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use axum::serve::ListenerExt as _;
use bytes::Bytes;
use tokio::{
    net::TcpListener,
    runtime,
    sync::{mpsc, oneshot},
};
use weft_keys::SecretKey;
use weft_record::Name;

use crate::{
    api_file::ApiFile,
    bundle::{self, ExportError, ImportError, OpenBundle, PipeBundle, Source},
    clock::Clock,
    home::Home,
    http,
    pins::PinError,
    registrar::{Book, Guest, InviteError},
    report::{
        CollectReport, CollectRequest, ImportReport, InviteReport, InviteRequest, PinReport,
        PinRequest, PinsReport, WantsReport,
    },
    shell::{Shell, With},
    stock::{self, CollectError},
};

/// How long answers that are being streamed may go on after the node was told to end.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(2);

/// Pieces of a pipe that wait to be taken apart, and how long each is at most.
const PIECES: usize = 4;
const PIECE_BYTES: usize = 256 * 1024;

/// What a caller may add.
#[derive(Default)]
#[non_exhaustive]
pub struct Options {
    /// The key with which this node enrolls others; without it, it passes requests on.
    pub enroll_key: Option<SecretKey>,
    /// Called once, when the node listens and `api.json` is written.
    pub on_ready: Option<OnReady>,
}

/// See [`Options::on_ready`].
pub type OnReady = Box<dyn FnOnce(&Ready) + Send>;

/// Where a node that has just started can be reached.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ready {
    /// The HTTP API.
    pub api: SocketAddr,
    /// The node's key as libp2p writes it.
    pub peer_id: String,
    /// The file that holds the API's token.
    pub api_file: PathBuf,
}

/// Why a node did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// This folder's node runs already.
    #[error("{} already runs as process {pid}, its API at {address}", .directory.display())]
    AlreadyRunning {
        /// The node's folder.
        directory: PathBuf,
        /// Its process.
        pid: u32,
        /// Its API.
        address: SocketAddr,
    },
    /// The API's port is taken.
    #[error("the API cannot listen on {0}: another program uses this port")]
    PortInUse(SocketAddr),
    /// The API cannot listen.
    #[error("the API cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// An address in the settings is none.
    #[error("`{key}`: `{text}` is not a multiaddress such as /ip4/192.0.2.7/tcp/4001: {reason}")]
    Address {
        /// The setting.
        key: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The network did not start.
    #[error(transparent)]
    Network(weft_net::StartError),
    /// The store cannot be opened or read.
    #[error("the store cannot be opened: {source}")]
    Store {
        /// Its folder.
        path: PathBuf,
        /// Why.
        source: weft_store::OpenError,
    },
    /// The list of invitations cannot be read.
    #[error("the list of invitations cannot be used: {0}")]
    Invitations(weft_keys::LedgerError),
    /// `api.json` cannot be written.
    #[error("{} cannot be written: {source}", .path.display())]
    ApiFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The machine refused something that every node needs.
    #[error("the machine refused what a node needs: {0}")]
    Machine(io::Error),
}

/// Runs the node of this folder until SIGTERM, SIGINT or a stop by its API.
pub fn run(home: &Home, options: Options) -> Result<(), RunError> {
    on_runtime(serve(home, options))
}

/// Takes a bundle in while no node runs: a node without a network lives until it
/// has converged on the bundle.
pub fn import_offline(home: &Home, path: &Path) -> Result<ImportReport, ImportError> {
    let bundle = OpenBundle::open(path)?;
    take_in(home, async { Ok(Source::File(bundle)) })
}

/// The same of what comes through a pipe, of which never more than a few chunks are in memory.
pub fn import_pipe_offline(
    home: &Home,
    source: impl Read + Send + 'static,
) -> Result<ImportReport, ImportError> {
    let (sender, pieces) = mpsc::channel(PIECES);
    thread::Builder::new()
        .name("weft-pipe".to_owned())
        .spawn(move || read_pieces(source, &sender))
        .map_err(ImportError::Machine)?;
    take_in(home, async {
        let bundle = PipeBundle::open(pieces).await?;
        Ok(Source::Pipe(Box::new(bundle)))
    })
}

fn read_pieces(mut source: impl Read, sender: &mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        let piece = match source.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let is_last = piece.is_err();
        if sender.blocking_send(piece).is_err() || is_last {
            return;
        }
    }
}

fn take_in(
    home: &Home,
    bundle: impl Future<Output = Result<Source, ImportError>>,
) -> Result<ImportReport, ImportError> {
    refuse_running(home).map_err(|error| ImportError::Node(Box::new(error)))?;
    let imported = on_runtime(async {
        let bundle = match bundle.await {
            Ok(bundle) => bundle,
            Err(error) => return Ok(Err(error)),
        };
        let (mut shell, _control) = Shell::start(home, With::default()).await?;
        let (reply, mut answer) = oneshot::channel();
        shell.import(bundle, reply);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut answer => break result,
                () = shell.turn() => {}
            }
        };
        shell.stop().await;
        Ok(result.unwrap_or(Err(ImportError::Stopping)))
    });
    imported.map_err(|error| ImportError::Node(Box::new(error)))?
}

/// Makes an invitation while no node runs; it names the addresses that the settings fix.
pub fn invite_offline(home: &Home, request: InviteRequest) -> Result<InviteReport, InviteError> {
    let machine = |error: &dyn std::fmt::Display| InviteError::Machine(error.to_string());
    refuse_running(home).map_err(|error| machine(&error))?;
    if !home.settings().registrar {
        return Err(InviteError::NoRegistrar);
    }
    let mut book = Book::open(home).map_err(|error| machine(&error))?;
    let open = ["/0.0.0.0/", "/::/", "/tcp/0", "/udp/0"];
    let fixed = |address: &&String| !open.iter().any(|part| address.contains(part));
    let listen = home.settings().listen.iter().filter(fixed);
    let name = weft_net::peer_name(&home.key());
    let own = listen.map(|address| format!("{address}/p2p/{name}"));
    let now_s = Clock::start().wall_at_zero_s();
    book.invite(Guest::new(request, || own.collect()), now_s)
}

/// Writes the active release of a channel as a bundle while no node runs.
pub fn export_offline(
    home: &Home,
    channel: &Name,
    output: &mut dyn Write,
) -> Result<u64, ExportError> {
    refuse_running(home).map_err(|error| ExportError::Node(Box::new(error)))?;
    bundle::export_from_store(home, channel, output)
}

/// What a node has that does not run or, with a version, what a site that runs it has.
pub fn wants_offline(home: &Home, version: Option<&str>) -> Result<WantsReport, ExportError> {
    refuse_running(home).map_err(|error| ExportError::Node(Box::new(error)))?;
    bundle::wants_from_store(home, version)
}

/// Deletes what nothing needs while no node runs, or only tells what that is.
pub fn collect_offline(
    home: &Home,
    request: &CollectRequest,
) -> Result<CollectReport, CollectError> {
    refuse_running(home).map_err(|error| CollectError::Node(Box::new(error)))?;
    stock::collect_from_store(home, request)
}

/// Pins a release while no node runs, or no longer.
pub fn pin_offline(home: &Home, request: &PinRequest) -> Result<PinsReport, PinError> {
    refuse_running(home).map_err(|error| PinError::Node(Box::new(error)))?;
    stock::pin_in_store(home, request)
}

/// What is pinned, while no node runs.
pub fn pins_offline(home: &Home) -> Result<Vec<PinReport>, RunError> {
    refuse_running(home)?;
    stock::pins_in_store(home)
}

async fn serve(home: &Home, options: Options) -> Result<(), RunError> {
    refuse_running(home)?;
    // Signals first: one that comes while the node starts must not kill it half-way.
    let mut end = Signals::listen().map_err(RunError::Machine)?;
    let listener = bind(home.settings().api_address).await?;
    let api = listener
        .local_addr()
        .and_then(ApiFile::new)
        .map_err(RunError::Machine)?;
    let with = With {
        network: true,
        enroll_key: options.enroll_key,
    };
    let (mut shell, control) = Shell::start(home, with).await?;
    let router = http::router(http::Shared {
        answerer: shell.inference(),
        control,
        token: api.token.as_str().into(),
    });
    let (close, closed) = oneshot::channel::<()>();
    let listener = listener.tap_io(|connection| {
        // Tokens are small, and each should leave at once.
        let _ = connection.set_nodelay(true);
    });
    let server = tokio::spawn(
        axum::serve(listener, router)
            .with_graceful_shutdown(async {
                let _ = closed.await;
            })
            .into_future(),
    );
    let directory = home.directory();
    api.write(directory).map_err(|source| RunError::ApiFile {
        path: ApiFile::path(directory),
        source,
    })?;
    tracing::info!(address = %api.address, "the API listens");
    if let Some(on_ready) = options.on_ready {
        on_ready(&Ready {
            api: api.address,
            peer_id: weft_net::peer_name(&home.key()),
            api_file: ApiFile::path(directory),
        });
    }
    while !shell.is_stopping() {
        tokio::select! {
            () = end.wait() => break,
            () = shell.turn() => {}
        }
    }
    tracing::info!("stopping");
    api.remove(directory);
    let _ = close.send(());
    shell.stop().await;
    let abort = server.abort_handle();
    if tokio::time::timeout(ANSWERS_TIMEOUT, server).await.is_err() {
        abort.abort();
    }
    Ok(())
}

fn on_runtime<T>(work: impl Future<Output = Result<T, RunError>>) -> Result<T, RunError> {
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("weft")
        .build()
        .map_err(RunError::Machine)?;
    let result = runtime.block_on(work);
    // What still runs is a thread that did not end in time; the process ends without it.
    runtime.shutdown_background();
    result
}

fn refuse_running(home: &Home) -> Result<(), RunError> {
    match home.running() {
        Some(api) => Err(RunError::AlreadyRunning {
            directory: home.directory().to_owned(),
            pid: api.pid,
            address: api.address,
        }),
        None => Ok(()),
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => RunError::PortInUse(address),
            _ => RunError::Listen { address, source },
        })
}

/// The signals that end a node.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
