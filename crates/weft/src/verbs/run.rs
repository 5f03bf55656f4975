//! `weft run MODEL [PROMPT]`

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use serde::Serialize;
use weft_node::client::{ChatMessage, ChatOptions, ChatPart, Client};

use crate::{
    context::Context,
    failure::{Exit, Failure},
    output::written,
};

/// Ask a model on this machine's node.
///
/// Without PROMPT it is read from standard input; on a terminal a conversation begins.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft run incident \"PUMP-7 vibration 9.1 mm/s >> alarm\"\n  tail -n 1 plant.log | weft run incident"
)]
pub(crate) struct Run {
    /// The model's name, as `weft list` gives it
    model: String,
    /// What to ask
    prompt: Option<String>,
    /// Say this to the model first
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "COUNT")]
    max_tokens: Option<u32>,
    /// 0 always takes the likeliest token; higher is more varied
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0)]
    temperature: f32,
    /// Choose among the likeliest tokens up to this probability
    #[arg(long, value_name = "SHARE")]
    top_p: Option<f32>,
    /// Makes varied answers repeat
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
}

/// Longest prompt that is read from standard input; the API takes no more.
const PROMPT_BYTES: u64 = 1024 * 1024;

#[derive(Serialize)]
struct Report<'a> {
    model: &'a str,
    text: String,
    finish_reason: String,
    prompt_tokens: u64,
    completion_tokens: u64,
}

impl Run {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.client()?;
        let mut messages = Vec::new();
        if let Some(system) = &self.system {
            messages.push(message("system", system));
        }
        let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let prompt = match &self.prompt {
            Some(prompt) => prompt.clone(),
            None if terminal && !context.output.json => {
                return self.converse(context, &client, messages);
            }
            None => standard_input()?,
        };
        messages.push(message("user", &prompt));
        if context.output.json {
            let answer = client
                .chat(&self.model, &messages, &self.options())
                .map_err(|error| context.client_refused(&error))?;
            return context.output.object(&Report {
                model: &self.model,
                text: answer.text,
                finish_reason: answer.finish_reason,
                prompt_tokens: answer.prompt_tokens,
                completion_tokens: answer.completion_tokens,
            });
        }
        self.answer(context, &client, &messages).map(|_| ())
    }

    /// A conversation, until the end of input.
    fn converse(
        &self,
        context: &Context,
        client: &Client,
        first: Vec<ChatMessage>,
    ) -> Result<(), Failure> {
        context
            .output
            .note("Ctrl-D ends the conversation; /clear begins it anew.");
        let mut messages = first.clone();
        let mut input = std::io::stdin().lock();
        loop {
            context.output.text(&context.output.style.bold(">>> "))?;
            let mut line = String::new();
            let read = (&mut input)
                .take(PROMPT_BYTES)
                .read_line(&mut line)
                .map_err(|error| Failure::file("standard input cannot be read", &error))?;
            if read == 0 {
                return context.output.text("\n");
            }
            match line.trim() {
                "" => {}
                "/bye" | "/exit" => return Ok(()),
                "/clear" => messages.clone_from(&first),
                line => {
                    messages.push(message("user", line));
                    let text = self.answer(context, client, &messages)?;
                    messages.push(message("assistant", &text));
                }
            }
        }
    }

    /// Prints the answer as it comes, and returns it.
    fn answer(
        &self,
        context: &Context,
        client: &Client,
        messages: &[ChatMessage],
    ) -> Result<String, Failure> {
        let parts = client
            .chat_stream(&self.model, messages, &self.options())
            .map_err(|error| context.client_refused(&error))?;
        let (mut whole, mut cut) = (String::new(), false);
        let mut out = std::io::stdout();
        for part in parts {
            match part.map_err(|error| context.client_refused(&error))? {
                ChatPart::Text(text) => {
                    let piece = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                    piece.map_err(|error| written(&error))?;
                    whole.push_str(&text);
                }
                ChatPart::Finished(reason) => cut = reason == "length",
                _ => {}
            }
        }
        context.output.text("\n")?;
        if cut {
            context
                .output
                .note("(the answer was cut off: --max-tokens or the model's context is full)");
        }
        Ok(whole)
    }

    fn options(&self) -> ChatOptions {
        ChatOptions {
            max_tokens: self.max_tokens,
            temperature: Some(self.temperature),
            top_p: self.top_p,
            seed: self.seed,
            stop: Vec::new(),
        }
    }
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage {
        role: role.to_owned(),
        content: content.to_owned(),
    }
}

fn standard_input() -> Result<String, Failure> {
    let mut text = String::new();
    let read = std::io::stdin()
        .lock()
        .take(PROMPT_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::file("standard input cannot be read", &error))?;
    let usage = |why: String| {
        Failure::new(
            Exit::Usage,
            "there is no prompt to ask",
            why,
            "weft run MODEL \"PROMPT\"",
        )
    };
    if read as u64 > PROMPT_BYTES {
        return Err(usage(format!(
            "standard input is longer than {PROMPT_BYTES} bytes"
        )));
    }
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(usage("standard input is empty".to_owned()));
    }
    Ok(text.to_owned())
}
