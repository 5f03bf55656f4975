//! `weft up`

use std::net::SocketAddr;

use serde::Serialize;
use weft_keys::SecretKey;
use weft_node::{Home, Options, RunError};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    keys,
    limits::CapFlags,
    refusals,
};

/// Run this folder's node until it is told to end.
///
/// Flags change the settings of `node.toml` for this run only.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft up --fetch-cap 2MB/s --api 127.0.0.1:4680")]
pub(crate) struct Up {
    /// Listen here instead, a multiaddress; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Serve the HTTP API here instead; loopback only
    #[arg(long, value_name = "IP:PORT")]
    api: Option<SocketAddr>,
    /// Dial this peer too, a multiaddress that ends in /p2p/…; may be given more than once
    #[arg(long, value_name = "ADDRESS")]
    bootstrap: Vec<String>,
    #[command(flatten)]
    caps: CapFlags,
    /// End when this process, which must be the parent, ends
    #[arg(long, value_name = "PID", hide = true)]
    end_with: Option<u32>,
}

#[derive(Serialize)]
struct Report {
    directory: String,
    pid: u32,
    api: String,
    peer_id: String,
}

impl Up {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        if let Some(parent) = self.end_with {
            end_with(parent)?;
        }
        let mut home = context.home()?;
        let settings = home.settings_mut();
        if !self.listen.is_empty() {
            settings.listen = self.listen;
        }
        settings.bootstrap.extend(self.bootstrap);
        if let Some(api) = self.api {
            if !api.ip().is_loopback() {
                return Err(Failure::new(
                    Exit::Refused,
                    format!("the API cannot listen on {api}"),
                    "it answers programs on this machine only, so it wants a loopback address",
                    context.command(&format!("up --api 127.0.0.1:{}", api.port())),
                ));
            }
            settings.api_address = api;
        }
        self.caps.change(&mut settings.limits.caps);
        let told = context.clone();
        let mut options = Options::default();
        options.enroll_key = enroll_key(&home)?;
        options.on_ready = Some(Box::new(move |ready| {
            let report = Report {
                directory: told.directory().display().to_string(),
                pid: std::process::id(),
                api: format!("http://{}", ready.api),
                peer_id: ready.peer_id.clone(),
            };
            if told.output.quiet && !told.output.json {
                return;
            }
            // a node goes on without whoever started it
            let _ = told.output.result(&report, |style| {
                format!(
                    "{} {}\n  API {}\n  {}\n",
                    style.bold("node"),
                    report.peer_id,
                    report.api,
                    style.dim("Ctrl-C ends it"),
                )
            });
        }));
        weft_node::run(&home, options).map_err(|error| refused(context, &error))
    }
}

/// The key with which this node enrolls others, if its settings name one.
fn enroll_key(home: &Home) -> Result<Option<SecretKey>, Failure> {
    let Some(path) = home.enroll_key() else {
        return Ok(None);
    };
    keys::load_key(&path).map(Some)
}

/// Has the kernel end this process when its parent ends, however that happens.
fn end_with(parent: u32) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(
            Exit::Failed,
            format!("this node cannot end with process {parent}"),
            why,
            "",
        )
    };
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(|error| failed(error.to_string()))?;
    // the parent may have ended before the kernel knew
    let now = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        Ok(())
    } else {
        Err(failed(
            "it is not the parent, or has ended already".to_owned(),
        ))
    }
}

fn refused(context: &Context, error: &RunError) -> Failure {
    refusals::run(context, error)
}
