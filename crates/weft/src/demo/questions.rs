//! The held-out lines: the same ones to every node, by its own API.

use std::{path::Path, thread};

use serde::Deserialize;
use weft_node::client::{ChatMessage, ChatOptions, Client};

use crate::{
    failure::{Exit, Failure},
    interrupt,
};

/// Longest answer; an incident line has some forty tokens.
const ANSWER_TOKENS: u32 = 96;
/// Nodes that are asked at once: each answers on one thread, and two cores are what
/// the demo is made for.
const AT_ONCE: usize = 2;

/// One held-out line.
#[derive(Clone, Deserialize)]
pub(crate) struct Question {
    pub(crate) line: String,
    pub(crate) expected: String,
}

/// What one node said to all of them.
#[derive(Clone, Default)]
pub(crate) struct Answers {
    pub(crate) texts: Vec<String>,
    pub(crate) seconds: f64,
    pub(crate) tokens: u64,
}

impl Answers {
    /// How many are exactly as expected.
    pub(crate) fn score(&self, questions: &[Question]) -> usize {
        self.texts
            .iter()
            .zip(questions)
            .filter(|(text, question)| text.trim() == question.expected.trim())
            .count()
    }
}

/// Reads the first `count` lines of the held-out file.
pub(crate) fn read(text: &str, count: usize) -> Result<Vec<Question>, Failure> {
    let lines = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .take(count);
    lines
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .map_err(|error| {
            Failure::new(
                Exit::Failed,
                "the held-out lines cannot be read",
                error.to_string(),
                "",
            )
        })
}

/// Asks every node all questions.
pub(crate) fn ask(
    clients: &[&Client],
    model: &str,
    questions: &[Question],
) -> Result<Vec<Answers>, Failure> {
    let mut all = Vec::with_capacity(clients.len());
    for group in clients.chunks(AT_ONCE) {
        let answers: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = group
                .iter()
                .map(|client| scope.spawn(|| ask_one(client, model, questions)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|_| Err("the asking thread panicked".to_owned()))
                })
                .collect()
        });
        for (client, answers) in group.iter().zip(answers) {
            if interrupt::came() {
                return Err(Failure::interrupted(""));
            }
            all.push(answers.map_err(|error| {
                let what = format!("the node at {} did not answer", client.api().address);
                Failure::new(Exit::Failed, what, error, "look into its node.log")
            })?);
        }
    }
    Ok(all)
}

fn ask_one(client: &Client, model: &str, questions: &[Question]) -> Result<Answers, String> {
    let options = ChatOptions {
        max_tokens: Some(ANSWER_TOKENS),
        temperature: Some(0.0),
        ..ChatOptions::default()
    };
    let started = std::time::Instant::now();
    let mut answers = Answers::default();
    for question in questions {
        if interrupt::came() {
            break;
        }
        let message = ChatMessage {
            role: "user".to_owned(),
            content: question.line.clone(),
        };
        let answer = client
            .chat(model, &[message], &options)
            .map_err(|error| error.to_string())?;
        answers.tokens += answer.completion_tokens;
        answers.texts.push(answer.text);
    }
    answers.seconds = started.elapsed().as_secs_f64();
    Ok(answers)
}

/// Where the demo keeps them.
pub(crate) fn path(folder: &Path) -> std::path::PathBuf {
    folder.join("heldout.jsonl")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn exact_answers_count() {
        let text = "{\"line\":\"a\",\"expected\":\"x\"}\n\n{\"line\":\"b\",\"expected\":\"y\"}\n";
        let questions = read(text, 5).unwrap();
        assert_eq!(questions.len(), 2);
        let answers = Answers {
            texts: vec![" x\n".into(), "z".into()],
            ..Answers::default()
        };
        assert_eq!(answers.score(&questions), 1);
        assert_eq!(read(text, 1).unwrap().len(), 1);
        assert!(read("{", 1).is_err());
    }
}
