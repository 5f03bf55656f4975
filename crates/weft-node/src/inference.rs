//! Models that answer: one thread for each channel's active slot, one for probes.

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::mpsc;
use weft_core::{Failure, FailureKind, OpId, Outcome, ProbeRequest};
use weft_record::{Name, RecordId};
use weft_store::Store;

use crate::{
    answer::{Answer, Answerer, AskError, ModelEntry, PIECES, Piece, Question},
    control::Control,
    disk::Done,
    lanes::Lanes,
    model::{Model, Stopped},
};

/// Questions that wait for one model; one more is turned away at once, because
/// its asker would rather know than wait for minutes.
const QUESTIONS: usize = 16;
/// Times that a slot which passed its probe is loaded again after it failed to
/// load or to answer.
const RELOADS: u32 = 3;

/// The models that take questions now.
pub(crate) struct Inference {
    running: RwLock<BTreeMap<Name, Running>>,
    control: Control,
}

/// One channel's thread. Dropping it closes the queue: the thread answers what
/// it has taken, from files that stay mapped, and ends.
struct Running {
    entry: ModelEntry,
    questions: mpsc::Sender<Job>,
    state: Arc<State>,
    loads: u32,
}

struct Job {
    question: Question,
    pieces: mpsc::Sender<Piece>,
}

#[derive(Default)]
struct State {
    loaded: AtomicBool,
    failure: RwLock<Option<String>>,
}

impl State {
    fn failure(&self) -> Option<String> {
        self.failure
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn fail(&self, reason: String) {
        self.loaded.store(false, Ordering::Release);
        *self.failure.write().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

impl Inference {
    pub(crate) fn new(control: Control) -> Arc<Self> {
        Arc::new(Self {
            running: RwLock::default(),
            control,
        })
    }

    /// Has this release answer for its channel. Nothing changes if it does already.
    pub(crate) fn serve(&self, entry: ModelEntry, slot: PathBuf) {
        let mut running = self.write();
        let mut loads = 1;
        if let Some(current) = running.get(&entry.channel)
            && current.entry.release == entry.release
        {
            if current.state.failure().is_none() || current.loads > RELOADS {
                return;
            }
            loads = current.loads + 1;
        }
        let (questions, jobs) = mpsc::channel(QUESTIONS);
        let state = Arc::new(State::default());
        let worker = Worker {
            channel: entry.channel.clone(),
            release: entry.release,
            slot,
            state: state.clone(),
            control: self.control.clone(),
        };
        let spawned = thread::Builder::new()
            .name("weft-answer".to_owned())
            .spawn(move || worker.run(jobs));
        if let Err(error) = spawned {
            state.fail(format!("no thread for the model: {error}"));
        }
        let channel = entry.channel.clone();
        running.insert(
            channel,
            Running {
                entry,
                questions,
                state,
                loads,
            },
        );
    }

    /// Takes no further questions for this channel.
    pub(crate) fn retire(&self, channel: &Name) {
        self.write().remove(channel);
    }

    /// Takes no further questions at all.
    pub(crate) fn retire_all(&self) {
        self.write().clear();
    }

    /// Whether the channel answers, and if not, why.
    pub(crate) fn state(&self, channel: &Name) -> (bool, String) {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        match running.get(channel) {
            None => (false, String::new()),
            Some(running) => match running.state.failure() {
                Some(reason) => (false, reason),
                None if running.state.loaded.load(Ordering::Acquire) => (true, String::new()),
                None => (false, "the model is being loaded".to_owned()),
            },
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<Name, Running>> {
        self.running.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answerer for Inference {
    fn models(&self) -> Vec<ModelEntry> {
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let mut models: Vec<ModelEntry> = Vec::new();
        for running in running.values() {
            if running.state.failure().is_some() {
                continue;
            }
            // One name, one model: the first channel has it, the others answer to
            // `name@channel`.
            let mut entry = running.entry.clone();
            if models.iter().any(|model| model.model == entry.model) {
                entry.model = format!("{}@{}", entry.model, entry.channel);
            }
            models.push(entry);
        }
        models
    }

    fn ask(&self, question: Question) -> Result<Answer, AskError> {
        let named = self
            .models()
            .into_iter()
            .find(|entry| {
                question.model == entry.model
                    || question
                        .model
                        .split_once('@')
                        .is_some_and(|(model, channel)| {
                            channel == entry.channel.as_str()
                                && entry.model.split('@').next() == Some(model)
                        })
            })
            .ok_or_else(|| AskError::NotFound(question.model.clone()))?;
        let running = self.running.read().unwrap_or_else(PoisonError::into_inner);
        let Some(current) = running.get(&named.channel) else {
            return Err(AskError::NotFound(question.model));
        };
        let (sender, pieces) = mpsc::channel(PIECES);
        let job = Job {
            question,
            pieces: sender,
        };
        match current.questions.try_send(job) {
            Ok(()) => Ok(Answer {
                model: named.model,
                pieces,
            }),
            Err(mpsc::error::TrySendError::Full(_)) => Err(AskError::Busy(QUESTIONS)),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(AskError::NotFound(named.model)),
        }
    }
}

/// The thread of one active slot.
struct Worker {
    channel: Name,
    release: RecordId,
    slot: PathBuf,
    state: Arc<State>,
    control: Control,
}

impl Worker {
    fn run(self, mut jobs: mpsc::Receiver<Job>) {
        let mut model = match Model::load(&self.slot) {
            Ok(model) => model,
            Err(reason) => {
                self.fail(reason);
                return;
            }
        };
        self.state.loaded.store(true, Ordering::Release);
        tracing::info!(channel = %self.channel, release = %self.release, "the model answers");
        while let Some(job) = jobs.blocking_recv() {
            // Nobody waits for it any more.
            if job.pieces.is_closed() {
                continue;
            }
            if let Err(reason) = answer(&mut model, job) {
                self.fail(reason);
                return;
            }
        }
        tracing::debug!(channel = %self.channel, release = %self.release, "the model is let go");
    }

    /// The slot is not as good as its probe said: the core looks again.
    fn fail(&self, reason: String) {
        tracing::warn!(channel = %self.channel, reason, "the active model failed");
        self.state.fail(reason);
        self.control.suspect_blocking(self.channel.clone());
    }
}

/// Answers one question; an error means that the model is not to be trusted.
fn answer(model: &mut Model, job: Job) -> Result<(), String> {
    let Job { question, pieces } = job;
    let tokens = match model.read(&question.prompt) {
        Ok(tokens) => tokens,
        Err(refusal) => {
            let _ = pieces.try_send(Piece::Refused(refusal));
            return Ok(());
        }
    };
    let mut outlet = Outlet::new(pieces);
    outlet.end(Piece::Started);
    let told = model.generate(&tokens, &question, |text| outlet.text(text));
    let (last, verdict) = match told {
        Ok((usage, finish)) => (Piece::Done(usage, finish), Ok(())),
        Err(Stopped::HungUp) => return Ok(()),
        Err(Stopped::Failed(reason)) => (Piece::Failed(reason), Ok(())),
        Err(Stopped::Suspect(reason)) => (Piece::Failed(reason.clone()), Err(reason)),
    };
    outlet.flush();
    outlet.end(last);
    verdict
}

/// Streams to a client without ever waiting for it: what a slow reader has not
/// taken is gathered into one piece, of at most one answer.
struct Outlet {
    pieces: mpsc::Sender<Piece>,
    gathered: String,
}

/// Places kept free in the channel for the last text and the end.
const RESERVED: usize = 2;

impl Outlet {
    fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            pieces,
            gathered: String::new(),
        }
    }

    /// Whether anyone still listens.
    fn text(&mut self, text: &str) -> bool {
        self.gathered.push_str(text);
        if self.pieces.capacity() > RESERVED {
            self.flush();
        }
        !self.pieces.is_closed()
    }

    fn flush(&mut self) {
        if !self.gathered.is_empty() {
            let text = std::mem::take(&mut self.gathered);
            self.end(Piece::Text(text));
        }
    }

    fn end(&self, piece: Piece) {
        // this is the only sender, and it keeps places free: an error means that
        // nobody listens any more
        let _ = self.pieces.try_send(piece);
    }
}

/// Runs the signed prompts on slots, one at a time.
pub(crate) struct Prober {
    lanes: Lanes<(OpId, ProbeRequest)>,
}

impl Prober {
    pub(crate) fn start(store: Arc<Store>, done: mpsc::Sender<Done>) -> io::Result<Self> {
        let run = move |(operation, request): (OpId, ProbeRequest)| {
            let slot = store.slot_dir(&request.plan);
            let measured = Model::load(&slot).and_then(|mut model| model.probe(&request.probes));
            let outcome = match measured {
                Ok(measurement) => Outcome::Probed(measurement),
                Err(text) => Outcome::Failed(Failure {
                    kind: FailureKind::Model,
                    lacking_bytes: None,
                    text,
                }),
            };
            let _ = done.blocking_send((operation, outcome));
        };
        Ok(Self {
            lanes: Lanes::start("weft-probe", 1, run)?,
        })
    }

    pub(crate) fn probe(&mut self, operation: OpId, request: ProbeRequest) {
        self.lanes.submit(0, (operation, request));
    }

    pub(crate) fn finish(self) {
        self.lanes.finish();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::answer::{Finish, Usage};

    fn drain(receiver: &mut mpsc::Receiver<Piece>) -> (String, bool) {
        let (mut text, mut done) = (String::new(), false);
        while let Ok(piece) = receiver.try_recv() {
            match piece {
                Piece::Text(piece) => text.push_str(&piece),
                Piece::Done(..) => done = true,
                _ => {}
            }
        }
        (text, done)
    }

    #[test]
    fn a_client_that_does_not_read_loses_nothing_and_holds_up_nobody() {
        let (sender, mut receiver) = mpsc::channel(PIECES);
        let mut outlet = Outlet::new(sender);
        outlet.end(Piece::Started);
        let words = PIECES * 3;
        for word in 0..words {
            assert!(outlet.text(&format!("{word} ")));
        }
        outlet.flush();
        let usage = Usage {
            prompt_tokens: 1,
            completion_tokens: words as u64,
        };
        outlet.end(Piece::Done(usage, Finish::Stop));
        let (text, done) = drain(&mut receiver);
        let expected: Vec<String> = (0..words).map(|word| word.to_string()).collect();
        assert_eq!(text.trim_end().split(' ').collect::<Vec<_>>(), expected);
        assert!(done);
    }

    #[test]
    fn a_client_that_hung_up_is_noticed_at_the_next_token() {
        let (sender, receiver) = mpsc::channel(PIECES);
        let mut outlet = Outlet::new(sender);
        assert!(outlet.text("a"));
        drop(receiver);
        assert!(!outlet.text("b"));
    }

    fn entry(model: &str, channel: &str, release: u8) -> ModelEntry {
        ModelEntry {
            model: model.to_owned(),
            version: "1.0.0".to_owned(),
            channel: channel.parse().unwrap(),
            release: RecordId([release; 32]),
            loaded_at_s: 0,
        }
    }

    fn question(model: &str) -> Question {
        Question {
            model: model.to_owned(),
            prompt: crate::answer::Prompt::Text("x".to_owned()),
            max_tokens: None,
            temperature: 0.0,
            top_p: 1.0,
            seed: None,
            stop: Vec::new(),
        }
    }

    #[test]
    fn a_slot_that_does_not_load_is_reported_and_retried_a_few_times() {
        let (control, mut requests) = Control::new();
        let inference = Inference::new(control);
        let missing = PathBuf::from("/nonexistent/slot");
        let name: Name = "stable".parse().unwrap();
        for _ in 0..=RELOADS {
            inference.serve(entry("m", "stable", 1), missing.clone());
            let told = requests.blocking_recv();
            assert!(
                matches!(told, Some(crate::control::Request::Suspect(channel)) if channel == name)
            );
        }
        // no thread is started any more
        inference.serve(entry("m", "stable", 1), missing.clone());
        thread::sleep(std::time::Duration::from_millis(50));
        assert!(requests.try_recv().is_err());
        let (answering, reason) = inference.state(&name);
        assert!(
            !answering && reason.contains("/nonexistent/slot"),
            "{reason}"
        );
        // another release is another matter
        inference.serve(entry("m", "stable", 2), missing);
        assert!(requests.blocking_recv().is_some());
        inference.retire(&name);
        assert_eq!(inference.state(&name), (false, String::new()));
        assert!(matches!(
            inference.ask(question("m")).map(|_| ()),
            Err(AskError::NotFound(_))
        ));
    }

    #[test]
    fn two_channels_with_one_model_are_told_apart() {
        let (control, _requests) = Control::new();
        let inference = Inference::new(control);
        for (channel, release) in [("a", 1), ("b", 2), ("c", 3)] {
            let state = Arc::new(State::default());
            if channel == "c" {
                state.fail("broken".to_owned());
            }
            let running = Running {
                entry: entry("m", channel, release),
                questions: mpsc::channel(1).0,
                state,
                loads: 1,
            };
            inference.write().insert(channel.parse().unwrap(), running);
        }
        let names: Vec<String> = inference
            .models()
            .into_iter()
            .map(|entry| entry.model)
            .collect();
        assert_eq!(names, ["m", "m@b"]);
    }
}
