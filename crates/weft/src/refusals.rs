//! What the other rooms refuse, as people are told: exit code, reason, next command.

use std::path::Path;

use weft_infer::LoadError;
use weft_keys::{KeyFileError, PassphraseError};
use weft_model::{OpenError, QuantizeError};
use weft_node::{ExportError, HomeError, ImportError, RunError, client::ClientError};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
};

impl Context {
    /// A node's folder that cannot be used.
    pub(crate) fn home_refused(&self, error: &HomeError) -> Failure {
        home(self, error)
    }

    /// A call of the running node that failed.
    pub(crate) fn client_refused(&self, error: &ClientError) -> Failure {
        client(self, error)
    }
}

pub(crate) fn home(context: &Context, error: &HomeError) -> Failure {
    let directory = context.directory().display();
    match error {
        HomeError::Missing(_) => Failure::new(
            Exit::NotFound,
            format!("there is no node in {directory}"),
            "it holds no node.toml",
            format!(
                "{}   (or mesh join INVITATION)",
                context.command("mesh init")
            ),
        ),
        HomeError::Exists(_) => Failure::new(
            Exit::Refused,
            format!("{directory} already holds a node"),
            "a node is never overwritten",
            "weft --dir ANOTHER_FOLDER …",
        ),
        HomeError::Settings { path, source } => Failure::new(
            Exit::Usage,
            format!("{} cannot be used", path.display()),
            source.to_string(),
            format!("edit {}", quoted(path)),
        ),
        HomeError::Key(source) => key_file(&context.directory().join("node.key"), source),
        HomeError::Io { path, source } => Failure::file(path.display().to_string(), source),
        error => Failure::new(
            Exit::Failed,
            format!("{directory} cannot be used"),
            error.to_string(),
            "",
        ),
    }
}

pub(crate) fn client(context: &Context, error: &ClientError) -> Failure {
    match error {
        ClientError::NotRunning(directory) => Failure::new(
            Exit::NotRunning,
            format!("no node runs in {}", directory.display()),
            "a running node leaves its address in api.json; there is none of a living process",
            context.command("up"),
        ),
        ClientError::Refused {
            status,
            code,
            message,
        } => {
            let exit = match status {
                _ if ["bad_bundle", "other_mesh", "let_go"].contains(&code.as_str()) => {
                    Exit::Verification
                }
                404 => Exit::NotFound,
                408 | 429 | 503 | 504 => Exit::Network,
                400 | 409 | 413 | 422 => Exit::Refused,
                507 => Exit::Disk,
                500 if code == "disk" => Exit::Disk,
                _ => Exit::Failed,
            };
            let next = match code.as_str() {
                "model_not_found" => context.command("list"),
                _ => context.command("status"),
            };
            Failure::new(
                exit,
                message.clone(),
                format!("the node answered {status} {code}"),
                next,
            )
        }
        ClientError::Transport { address, reason } => Failure::new(
            Exit::Network,
            format!("the node at {address} did not answer"),
            reason.clone(),
            context.command("status"),
        ),
        error => Failure::new(
            Exit::Failed,
            "the node could not be asked",
            error.to_string(),
            context.command("status"),
        ),
    }
}

pub(crate) fn run(context: &Context, error: &RunError) -> Failure {
    let what = "the node did not start";
    let why = error.to_string();
    match error {
        RunError::AlreadyRunning { .. } => {
            Failure::new(Exit::Refused, what, why, context.command("status"))
        }
        RunError::PortInUse(_) => Failure::new(
            Exit::Network,
            what,
            why,
            context.command("up --api 127.0.0.1:0"),
        ),
        RunError::Listen { .. } | RunError::Network(_) => Failure::new(
            Exit::Network,
            what,
            why,
            context.command("up --listen /ip4/0.0.0.0/tcp/0"),
        ),
        RunError::Address { .. } => {
            Failure::new(Exit::Usage, what, why, context.command("up --help"))
        }
        RunError::ApiFile { source, .. } => Failure::file(why, source),
        RunError::Store { source, .. } => store(context, what, source),
        error => Failure::new(
            Exit::Failed,
            what,
            error.to_string(),
            context.command("up -v"),
        ),
    }
}

pub(crate) fn store(context: &Context, what: &str, error: &weft_store::OpenError) -> Failure {
    use weft_store::{OpenError, StoreError};
    let (exit, next) = match error {
        OpenError::Locked { .. } => (Exit::Refused, context.command("status")),
        OpenError::Newer { .. } => (Exit::Refused, "use the newer weft that wrote it".to_owned()),
        OpenError::NotAStore { .. } => {
            (Exit::Verification, "weft --dir ANOTHER_FOLDER …".to_owned())
        }
        OpenError::Store(StoreError::Full { .. }) => (
            Exit::Disk,
            "make room on that disk and try again".to_owned(),
        ),
        _ => (Exit::Failed, context.command("up -v")),
    };
    Failure::new(exit, what, error.to_string(), next)
}

pub(crate) fn import(context: &Context, path: &Path, error: &ImportError) -> Failure {
    let what = format!("{} was not taken in", path.display());
    let why = error.to_string();
    match error {
        ImportError::Node(error) => run(context, error),
        ImportError::Open { source, .. } => Failure::file(what, source),
        ImportError::BrokeOff(_) => {
            let next = "see why the command before the pipe ended, and try again";
            Failure::new(Exit::Network, what, why, next)
        }
        ImportError::Bundle { .. }
        | ImportError::Pipe(_)
        | ImportError::OtherMesh { .. }
        | ImportError::LetGo(_) => {
            let next = format!("weft release inspect {}", quoted(path));
            Failure::new(Exit::Verification, what, why, next)
        }
        _ => Failure::new(Exit::Failed, what, why, context.command("status")),
    }
}

pub(crate) fn export(context: &Context, error: &ExportError) -> Failure {
    if let ExportError::Node(error) = error {
        return run(context, error);
    }
    Failure::new(
        Exit::NotFound,
        "nothing was written",
        error.to_string(),
        context.command("list"),
    )
}

pub(crate) fn key_file(path: &Path, error: &KeyFileError) -> Failure {
    let what = format!("the key file {} cannot be used", path.display());
    let path_text = quoted(path);
    match error {
        KeyFileError::LooseMode { mode, .. } => Failure::new(
            Exit::Refused,
            what,
            format!("others can read the secret key: its mode is {mode:04o}, only 0600 is taken"),
            format!("chmod 600 {path_text}"),
        ),
        KeyFileError::Exists { .. } => Failure::new(
            Exit::Refused,
            format!("{} was not written", path.display()),
            "it exists already; a key file is never overwritten",
            "choose another name",
        ),
        KeyFileError::Read { source, .. } => {
            let next = if source.kind() == std::io::ErrorKind::NotFound {
                format!("weft key new {path_text}")
            } else {
                format!("ls -l {path_text}")
            };
            Failure::file(what, source).with_next(next)
        }
        KeyFileError::Write { source, .. } => Failure::file(what, source),
        KeyFileError::NeedsPassphrase { .. } => Failure::new(
            Exit::Refused,
            what,
            "it is encrypted, and nobody is asked for its passphrase here",
            format!("weft key import {path_text} NEW_FILE --no-passphrase"),
        ),
        KeyFileError::WrongPassphrase { .. } => Failure::new(
            Exit::Verification,
            what,
            "the passphrase does not open it",
            "try again with the passphrase that it was encrypted with",
        ),
        error => Failure::new(
            Exit::Verification,
            what,
            error.to_string(),
            format!("weft key show {path_text}"),
        ),
    }
}

pub(crate) fn passphrase(error: &PassphraseError) -> Failure {
    let what = "the passphrase cannot be used";
    match error {
        PassphraseError::LooseMode { path, mode } => Failure::new(
            Exit::Refused,
            what,
            format!("others can read it: the mode of its file is {mode:04o}"),
            format!("chmod 600 {}", quoted(path)),
        ),
        PassphraseError::Read { path, source } => {
            Failure::file(what, source).with_next(format!("ls -l {}", quoted(path)))
        }
        error => Failure::new(
            Exit::Usage,
            what,
            error.to_string(),
            "give 1 to 1024 bytes on one line",
        ),
    }
}

pub(crate) fn model(path: &Path, error: &OpenError) -> Failure {
    let what = format!("{} cannot be opened as a model", path.display());
    match error {
        OpenError::Io { source, .. } => Failure::file(what, source),
        error => Failure::new(
            Exit::Verification,
            what,
            error.to_string(),
            "get the file again, from where it came",
        ),
    }
}

pub(crate) fn load(path: &Path, error: &LoadError) -> Failure {
    match error {
        LoadError::Open(error) => model(path, error),
        LoadError::MemoryCeiling { .. } => Failure::new(
            Exit::Refused,
            format!("{} is not loaded", path.display()),
            error.to_string(),
            "quantize it further, or use a machine with more memory",
        ),
        error => Failure::new(
            Exit::Verification,
            format!("{} cannot be loaded", path.display()),
            error.to_string(),
            format!("weft model inspect {}", quoted(path)),
        ),
    }
}

pub(crate) fn quantize(path: &Path, error: &QuantizeError) -> Failure {
    match error {
        QuantizeError::Open(error) => model(path, error),
        QuantizeError::Write { source, .. } => Failure::file(error.to_string(), source),
        error => Failure::new(
            Exit::Verification,
            format!("{} cannot be quantized", path.display()),
            error.to_string(),
            format!("weft model inspect {}", quoted(path)),
        ),
    }
}
