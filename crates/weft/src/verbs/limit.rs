//! `weft limit`

use serde::Serialize;
use weft_core::Limits;

use crate::{
    context::Context,
    failure::Failure,
    limits::CapFlags,
    output::{fields, size},
};

/// See and change what the running node's transfers may take.
///
/// A cap counts what chunks and chunk maps cost: their bytes and frames, without what TLS and
/// TCP add. A change counts at once, also for what is under way, and lasts until the node
/// ends; node.toml says with what it begins.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft limit\n  weft limit --fetch-cap 2MB/s --serve-cap none")]
pub(crate) struct Limit {
    #[command(flatten)]
    caps: CapFlags,
}

#[derive(Serialize)]
struct Report {
    limits: Limits,
}

impl Limit {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let refused = |error| context.client_refused(&error);
        let mut limits = client.status().map_err(refused)?.node.limits;
        if self.caps.is_given() {
            self.caps.change(&mut limits.caps);
            client.limit(&limits).map_err(refused)?;
        }
        let caps = limits.caps;
        context.output.result(&Report { limits }, |style| {
            let rows = [
                ("fetch", caps.fetch_bytes_per_sec),
                ("serve", caps.serve_bytes_per_sec),
                ("LAN fetch", caps.lan_fetch_bytes_per_sec),
                ("LAN serve", caps.lan_serve_bytes_per_sec),
            ];
            fields(style, &rows.map(|(name, cap)| (name, told(cap))))
        })
    }
}

fn told(cap: Option<u64>) -> String {
    cap.map_or_else(|| "no cap".to_owned(), |cap| format!("{}/s", size(cap)))
}
