//! `weft completions SHELL`

use clap::CommandFactory as _;

use crate::{Arguments, context::Context, failure::Failure};

/// Print a completion script for a shell.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  weft completions bash > ~/.local/share/bash-completion/completions/weft"
)]
pub(crate) struct Completions {
    /// Which shell
    shell: clap_complete::Shell,
}

impl Completions {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "weft", &mut script);
        let script = String::from_utf8_lossy(&script);
        if context.output.json {
            return context
                .output
                .object(&serde_json::json!({ "script": script }));
        }
        context.output.text(&script)
    }
}
