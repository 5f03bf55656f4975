//! What users say and hear stays out of the logs.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use weft_node::client::{ChatMessage, ChatOptions};

use crate::mesh::{Admin, MODEL, Running, pack};

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_log_at_any_level_holds_a_prompt_or_an_answer() {
    const CANARY: &str = "xylophonecanary";
    let captured = Captured::default();
    let sink = captured.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .init();

    let folder = tempfile::tempdir().unwrap();
    let model = pack(folder.path(), "llama-tied");
    let mut admin = Admin::new();
    admin.release(&model, "1.0.0", Vec::new());
    let bundle = admin.bundle(&folder.path().join("b"), &[&model], |_| true);
    let node = Running::start(admin.home(&folder.path().join("node"), &[]));
    node.client.import(&bundle).unwrap();
    node.wait("the model", |status| {
        status.models.iter().any(|model| model.answering)
    });

    let ask = |content: String, options: &ChatOptions| {
        let role = "user".to_owned();
        node.client
            .chat(MODEL, &[ChatMessage { role, content }], options)
    };
    let options = ChatOptions {
        max_tokens: Some(24),
        temperature: Some(0.0),
        ..ChatOptions::default()
    };
    let answer = ask(CANARY.to_owned(), &options).unwrap();
    assert!(
        answer.text.trim().len() >= 8,
        "an answer too short to look for: {:?}",
        answer.text
    );
    // refused prompts too: one that is too long, one for a model that is not there
    assert!(ask(CANARY.repeat(500), &options).is_err());
    let message = ChatMessage {
        role: "user".to_owned(),
        content: CANARY.to_owned(),
    };
    assert!(
        node.client
            .chat("other", std::slice::from_ref(&message), &options)
            .is_err()
    );
    let mut stream = node
        .client
        .chat_stream(MODEL, &[message], &options)
        .unwrap();
    assert!(stream.next().is_some());
    drop(stream);
    let events = serde_json::to_string(&node.client.events(0).unwrap()).unwrap();
    let status = serde_json::to_string(&node.client.status().unwrap()).unwrap();
    node.stop();

    let log = String::from_utf8_lossy(&captured.0.lock().unwrap()).into_owned();
    assert!(log.contains("the model answers"), "nothing was logged");
    assert!(log.contains("TRACE"), "the trace level is not captured");
    let answer_line = answer
        .text
        .trim()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    for (place, text) in [("log", &log), ("events", &events), ("status", &status)] {
        assert!(!text.contains(CANARY), "the prompt is in the {place}");
        assert!(
            answer_line.len() < 4 || !text.contains(&answer_line),
            "the answer is in the {place}"
        );
    }
}
