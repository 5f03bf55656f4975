//! The demo's nodes: real `weft up` processes that never outlive it.

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use weft_node::{client::Client, report::StatusReport};

use crate::{
    context::quoted,
    failure::{Exit, Failure},
    interrupt,
};

/// A node must be up within this; on a busy machine it takes a second or two.
const START_LIMIT: Duration = Duration::from_secs(30);
/// A node told to stop must be gone within this; then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);
/// How often a state is looked at while waiting.
const POLL: Duration = Duration::from_millis(50);

/// One node of the demo.
pub(crate) struct DemoNode {
    pub(crate) name: String,
    pub(crate) directory: PathBuf,
    pub(crate) peer_id: String,
    pub(crate) port: u16,
    child: Option<Child>,
    client: Option<Client>,
}

impl DemoNode {
    pub(crate) fn new(folder: &Path, number: usize, port: u16) -> Self {
        let name = format!("node-{number}");
        Self {
            directory: folder.join(&name),
            name,
            peer_id: String::new(),
            port,
            child: None,
            client: None,
        }
    }

    /// Where it listens: loopback only.
    pub(crate) fn listen(&self) -> String {
        format!("/ip4/127.0.0.1/tcp/{}", self.port)
    }

    /// Where others reach it.
    pub(crate) fn address(&self) -> String {
        format!("{}/p2p/{}", self.listen(), self.peer_id)
    }

    /// Starts its process. With `bound` the kernel kills it when the demo ends,
    /// whatever ends the demo.
    pub(crate) fn start(&mut self, cap_bytes_per_sec: u64, bound: bool) -> Result<(), Failure> {
        let log_path = self.log();
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(|error| {
                Failure::file(format!("{} cannot be written", log_path.display()), &error)
            })?;
        let mut command = weft(&self.directory)?;
        // all nodes are on this machine
        let cap = format!("{cap_bytes_per_sec}B/s");
        command.args(["up", "--lan-fetch-cap", &cap]);
        if bound {
            command.args(["--end-with", &std::process::id().to_string()]);
        }
        let mut command = quiet(command);
        // a group of its own: Ctrl-C is for the demo, which then stops its nodes in order
        command.process_group(0).stderr(log);
        let child = command
            .spawn()
            .map_err(|error| Failure::file(format!("{} cannot be started", self.name), &error))?;
        self.child = Some(child);
        self.client = None;
        Ok(())
    }

    /// Waits until its API answers.
    pub(crate) fn wait_until_up(&mut self) -> Result<(), Failure> {
        let started = Instant::now();
        loop {
            if interrupt::came() {
                return Err(Failure::interrupted(""));
            }
            if let Some(child) = &mut self.child
                && let Ok(Some(status)) = child.try_wait()
            {
                self.child = None;
                return Err(self.failed(&format!("its process ended with {status}")));
            }
            if let Ok(client) = Client::connect(&self.directory)
                && Some(client.api().pid) == self.pid()
                && client
                    .status()
                    .is_ok_and(|status| !status.listen.is_empty())
            {
                self.client = Some(client);
                return Ok(());
            }
            if started.elapsed() > START_LIMIT {
                return Err(
                    self.failed(&format!("it was not up within {} s", START_LIMIT.as_secs()))
                );
            }
            interrupt::pause(POLL);
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// The way to its API; only while it runs.
    pub(crate) fn client(&self) -> Result<&Client, Failure> {
        self.client
            .as_ref()
            .ok_or_else(|| self.failed("it does not run"))
    }

    pub(crate) fn status(&self) -> Result<StatusReport, Failure> {
        self.client()?
            .status()
            .map_err(|error| self.failed(&error.to_string()))
    }

    /// SIGKILL: no time for a last word.
    pub(crate) fn kill(&mut self) -> Result<(), Failure> {
        self.client = None;
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        child
            .kill()
            .and_then(|()| child.wait())
            .map(|_| ())
            .map_err(|error| self.failed(&format!("it could not be killed: {error}")))
    }

    /// Asks it to end; it is waited for in [`DemoNode::wait_until_stopped`].
    pub(crate) fn ask_to_stop(&self) {
        if let Some(client) = &self.client {
            let _ = client.stop();
        }
    }

    /// Waits for its end, and kills it if it takes too long.
    pub(crate) fn wait_until_stopped(&mut self) {
        let Some(child) = &mut self.child else { return };
        let started = Instant::now();
        while started.elapsed() < STOP_LIMIT {
            if !matches!(child.try_wait(), Ok(None)) {
                self.child = None;
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.kill();
    }

    /// Lets it run on without the demo.
    pub(crate) fn let_go(&mut self) {
        self.child = None;
    }

    /// A failure of this node, with where to look.
    pub(crate) fn failed(&self, why: &str) -> Failure {
        Failure::new(
            Exit::Failed,
            format!("{} failed", self.name),
            why,
            format!("tail {}", quoted(&self.log())),
        )
    }

    fn log(&self) -> PathBuf {
        self.directory.join("node.log")
    }
}

// Whatever ends the demo early, no process is left behind.
impl Drop for DemoNode {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// This very program, for the folder of a node.
pub(crate) fn weft(directory: &Path) -> Result<Command, Failure> {
    let program = std::env::current_exe()
        .map_err(|error| Failure::file("weft does not know where it is itself", &error))?;
    let mut command = Command::new(program);
    command.arg("--dir").arg(directory).arg("--json");
    Ok(command)
}

/// Nothing of the environment changes what a demo does, and nothing of it is shown.
pub(crate) fn quiet(mut command: Command) -> Command {
    command
        .env_remove("WEFT_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Runs a verb to its end; its one object.
pub(crate) fn call(command: Command) -> Result<serde_json::Value, Failure> {
    finish(begin(command)?)
}

/// Starts a verb whose end is waited for with [`finish`].
pub(crate) fn begin(command: Command) -> Result<Call, Failure> {
    let mut command = quiet(command);
    command.stdout(Stdio::piped()).process_group(0);
    let words: Vec<String> = command
        .get_args()
        .map(|word| word.to_string_lossy().into_owned())
        .filter(|word| word != "--json")
        .collect();
    let line = format!("weft {}", words.join(" "));
    let child = command
        .spawn()
        .map_err(|error| Failure::file(line.clone(), &error))?;
    Ok(Call {
        child: Some(child),
        line,
    })
}

/// A verb that runs.
pub(crate) struct Call {
    child: Option<Child>,
    line: String,
}

impl Call {
    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child
            .as_mut()
            .is_none_or(|child| !matches!(child.try_wait(), Ok(None)))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits for a verb; its object, or why it failed.
pub(crate) fn finish(mut call: Call) -> Result<serde_json::Value, Failure> {
    while !call.has_ended() {
        if interrupt::came() {
            return Err(Failure::interrupted(""));
        }
        interrupt::pause(POLL);
    }
    let failed =
        |why: String| Failure::new(Exit::Failed, format!("`{}` failed", call.line), why, "");
    let child = call
        .child
        .take()
        .ok_or_else(|| failed("it did not run".to_owned()))?;
    let output = child
        .wait_with_output()
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value: serde_json::Value = text
        .lines()
        .last()
        .and_then(|line| serde_json::from_str(line).ok())
        .ok_or_else(|| {
            failed(format!(
                "it ended with {} and printed no object",
                output.status
            ))
        })?;
    if output.status.success() {
        return Ok(value);
    }
    let word = |key: &str| value["error"][key].as_str().unwrap_or_default().to_owned();
    Err(failed(format!("{}: {}", word("what"), word("why"))))
}

/// Ports that are free now.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>, Failure> {
    let failed = |error: &std::io::Error| {
        let why = error.to_string();
        Failure::new(
            Exit::Network,
            "there are no free ports on loopback",
            why,
            "weft demo",
        )
    };
    // all are held until each is known, so that they differ
    let listeners: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind(("127.0.0.1", 0)))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))?;
    listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()
        .map_err(|error| failed(&error))
}
