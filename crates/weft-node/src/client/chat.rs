//! Prompts and answers, whole or as they come.

use std::io::{BufRead as _, BufReader, Read};

use serde::{Deserialize, Serialize};
use ureq::http;

use super::{Client, ClientError, LINE_BYTES, refusal, unreadable};

/// One message of a conversation.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// How an answer is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChatOptions {
    /// Most tokens to generate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0: always the likeliest token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f32>,
    /// Only the likeliest tokens up to this probability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f32>,
    /// Makes sampling repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Texts that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// A whole answer.
#[derive(Clone, PartialEq, Eq)]
pub struct ChatAnswer {
    /// What the model said.
    pub text: String,
    /// `stop` or `length`.
    pub finish_reason: String,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens generated.
    pub completion_tokens: u64,
}

impl Client {
    /// Asks the model and waits for the whole answer.
    pub fn chat(
        &self,
        model: &str,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<ChatAnswer, ClientError> {
        #[derive(Deserialize)]
        struct Whole {
            choices: Vec<WholeChoice>,
            usage: WireUsage,
        }
        #[derive(Deserialize)]
        struct WholeChoice {
            message: ChatMessage,
            finish_reason: String,
        }
        let request = self.request(http::Method::POST, "/v1/chat/completions");
        let body = chat_body(model, messages, options, false);
        let whole: Whole = self.send_json(request, &body, None)?;
        let choice = whole
            .choices
            .into_iter()
            .next()
            .ok_or_else(|| ClientError::Answer("it holds no choice".to_owned()))?;
        Ok(ChatAnswer {
            text: choice.message.content,
            finish_reason: choice.finish_reason,
            prompt_tokens: whole.usage.prompt_tokens,
            completion_tokens: whole.usage.completion_tokens,
        })
    }

    /// Asks the model and reads the answer as it comes. Dropping the stream stops
    /// the decoding.
    pub fn chat_stream(
        &self,
        model: &str,
        messages: &[ChatMessage],
        options: &ChatOptions,
    ) -> Result<ChatStream, ClientError> {
        let request = self
            .request(http::Method::POST, "/v1/chat/completions")
            .header(http::header::CONTENT_TYPE, "application/json");
        let body = chat_body(model, messages, options, true);
        let bytes = serde_json::to_vec(&body).map_err(|error| unreadable(&error))?;
        let response = self
            .agent
            .run(request.body(bytes).map_err(|error| unreadable(&error))?)
            .map_err(|error| self.transport(&error))?;
        let response = self.accepted(response)?;
        let reader = response
            .into_body()
            .into_with_config()
            .limit(u64::MAX)
            .reader();
        Ok(ChatStream {
            lines: BufReader::new(Box::new(reader)),
            address: self.api.address.to_string(),
            ended: false,
        })
    }
}

/// An answer as it comes.
pub struct ChatStream {
    lines: BufReader<Box<dyn Read>>,
    address: String,
    ended: bool,
}

/// One part of a streamed answer.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChatPart {
    /// More text.
    Text(String),
    /// The answer is whole, for this reason (`stop` or `length`).
    Finished(String),
    /// What it took; the last part.
    Usage {
        /// Tokens read.
        prompt_tokens: u64,
        /// Tokens generated.
        completion_tokens: u64,
    },
}

impl Iterator for ChatStream {
    type Item = Result<ChatPart, ClientError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.next_data() {
                Ok(Some(data)) => match part(&data) {
                    Ok(Some(part)) => return Some(Ok(part)),
                    Ok(None) => {}
                    Err(error) => {
                        self.ended = true;
                        return Some(Err(error));
                    }
                },
                Ok(None) => self.ended = true,
                Err(reason) => {
                    self.ended = true;
                    return Some(Err(ClientError::Transport {
                        address: self.address.clone(),
                        reason,
                    }));
                }
            }
        }
        None
    }
}

impl ChatStream {
    /// The data of the next event; `None` after the last one.
    fn next_data(&mut self) -> Result<Option<String>, String> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.lines)
                .take(LINE_BYTES)
                .read_until(b'\n', &mut line)
                .map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the stream ended before the answer did".to_owned());
            }
            let line = String::from_utf8(line).map_err(|_| "the stream is not UTF-8".to_owned())?;
            match line
                .trim_end_matches(['\r', '\n'])
                .strip_prefix("data:")
                .map(str::trim_start)
            {
                Some("[DONE]") => return Ok(None),
                Some(data) => return Ok(Some(data.to_owned())),
                // comments and empty lines keep the connection alive
                None => {}
            }
        }
    }
}

#[derive(Deserialize)]
struct WireUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
}

fn part(data: &str) -> Result<Option<ChatPart>, ClientError> {
    #[derive(Deserialize)]
    struct Chunk {
        #[serde(default)]
        choices: Vec<Choice>,
        usage: Option<WireUsage>,
    }
    #[derive(Deserialize)]
    struct Choice {
        delta: Delta,
        finish_reason: Option<String>,
    }
    #[derive(Deserialize)]
    struct Delta {
        content: Option<String>,
    }
    if let Some((code, message)) = refusal(data) {
        return Err(ClientError::Refused {
            status: 500,
            code,
            message,
        });
    }
    let chunk: Chunk = serde_json::from_str(data).map_err(|error| unreadable(&error))?;
    if let Some(usage) = chunk.usage {
        return Ok(Some(ChatPart::Usage {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
        }));
    }
    let Some(choice) = chunk.choices.into_iter().next() else {
        return Ok(None);
    };
    Ok(match (choice.finish_reason, choice.delta.content) {
        (Some(reason), _) => Some(ChatPart::Finished(reason)),
        (None, Some(text)) if !text.is_empty() => Some(ChatPart::Text(text)),
        _ => None,
    })
}

fn chat_body(
    model: &str,
    messages: &[ChatMessage],
    options: &ChatOptions,
    stream: bool,
) -> impl Serialize {
    #[derive(Serialize)]
    struct Body {
        model: String,
        messages: Vec<ChatMessage>,
        #[serde(flatten)]
        options: ChatOptions,
        stream: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream_options: Option<StreamOptions>,
    }
    #[derive(Serialize)]
    struct StreamOptions {
        include_usage: bool,
    }
    Body {
        model: model.to_owned(),
        messages: messages.to_vec(),
        options: options.clone(),
        stream,
        stream_options: stream.then_some(StreamOptions {
            include_usage: true,
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parts(stream: &'static str) -> Vec<Result<ChatPart, ClientError>> {
        ChatStream {
            lines: BufReader::new(Box::new(stream.as_bytes())),
            address: String::new(),
            ended: false,
        }
        .collect()
    }

    #[test]
    fn a_stream_is_read_to_its_end() {
        let parts = parts(concat!(
            ": hello\n\n",
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
            "data: {\"choices\":[{\"delta\":{\"content\":\"a b\"},\"finish_reason\":null}]}\r\n\r\n",
            "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
            "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n",
            "data: [DONE]\n\n",
        ));
        let parts: Vec<ChatPart> = parts.into_iter().map(Result::unwrap).collect();
        assert!(matches!(&parts[0], ChatPart::Text(text) if text == "a b"));
        assert!(matches!(&parts[1], ChatPart::Finished(reason) if reason == "stop"));
        assert!(matches!(
            parts[2],
            ChatPart::Usage {
                prompt_tokens: 3,
                completion_tokens: 2
            }
        ));
        assert_eq!(parts.len(), 3);
    }

    #[test]
    fn a_stream_that_breaks_off_is_an_error() {
        let parts = parts(
            "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":null}]}\n\n",
        );
        assert_eq!(parts.len(), 2);
        assert!(matches!(parts[1], Err(ClientError::Transport { .. })));
    }

    #[test]
    fn an_error_inside_a_stream_is_told() {
        let parts = parts(
            "data: {\"error\":{\"message\":\"broken\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n",
        );
        assert!(matches!(
            &parts[0],
            Err(ClientError::Refused { message, .. }) if message == "broken"
        ));
        assert_eq!(parts.len(), 1);
    }
}
