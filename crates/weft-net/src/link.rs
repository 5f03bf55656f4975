//! What the node and the stream tasks of one peer share: the queues between
//! them and the bookkeeping of requests.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use weft_core::{Control, Direction, Message, Path, Peer, bounds::CONTROL_BYTES};
use weft_record::codec;

use crate::{
    bounds,
    fault::LinkFault,
    frame::Subject,
    handle::{SendError, Shared, lock},
    outbox::{Full, Outbox},
    pacer::{Bucket, Pacer},
    traffic::TrafficCounters,
};

/// One peer, from the moment it is up until it is down.
pub(crate) struct Link {
    pub(crate) peer: Peer,
    pub(crate) control: Outbox<Vec<u8>>,
    pub(crate) requests: Outbox<Subject>,
    pub(crate) replies: Outbox<Reply>,
    /// Told when the first request waits and no chunk stream is open.
    pub(crate) chunk_streams_wanted: Notify,
    /// By which way it is reached.
    pub(crate) path: Path,
    pub(crate) traffic: Arc<TrafficCounters>,
    pacer: Arc<Pacer>,
    /// What passes a relay passes slowly, each way.
    relayed: Option<[Bucket; 2]>,
    fault: Mutex<Option<LinkFault>>,
    faulted: Notify,
    greeted: AtomicBool,
    admitted: watch::Sender<bool>,
    asked: Mutex<HashMap<Subject, u32>>,
    serving: Mutex<HashMap<Subject, Vec<Serve>>>,
    serves: Arc<Semaphore>,
    serves_of_all: Arc<Semaphore>,
    born: Instant,
    progress_ms: AtomicU64,
}

/// A reply on its way to a peer; its place in the window is freed when it is dropped.
pub(crate) struct Reply {
    pub(crate) subject: Subject,
    pub(crate) payload: Option<Bytes>,
    serve: Serve,
}

impl Reply {
    /// Whether the peer wants it to give way to other traffic.
    pub(crate) fn is_behind(&self) -> bool {
        self.serve.background
    }

    /// The peer waits for so long already that it should rather ask somebody else.
    pub(crate) fn is_late(&self) -> bool {
        self.serve.since.elapsed() >= bounds::SERVE_TIMEOUT
    }
}

/// A request of the peer that is not yet answered in full.
pub(crate) struct Serve {
    since: Instant,
    /// The peer wants it to give way to other traffic.
    background: bool,
    _permits: [OwnedSemaphorePermit; 2],
}

impl Link {
    pub(crate) fn new(
        peer: Peer,
        path: Path,
        serves_of_all: Arc<Semaphore>,
        shared: &Shared,
    ) -> Self {
        Self {
            peer,
            control: Outbox::new(bounds::CONTROL_QUEUE, bounds::CONTROL_QUEUE_BYTES),
            requests: Outbox::new(bounds::ASKED_PER_PEER, usize::MAX),
            // Bounded by the permits that each reply holds.
            replies: Outbox::new(bounds::SERVES_PER_PEER, usize::MAX),
            chunk_streams_wanted: Notify::new(),
            path,
            traffic: shared.traffic.clone(),
            pacer: shared.pacer.clone(),
            relayed: (path == Path::Relayed)
                .then(|| [(); 2].map(|()| Bucket::capped(bounds::RELAYED_BYTES_PER_SEC))),
            fault: Mutex::new(None),
            faulted: Notify::new(),
            greeted: AtomicBool::new(false),
            admitted: watch::Sender::new(false),
            asked: Mutex::new(HashMap::new()),
            serving: Mutex::new(HashMap::new()),
            serves: Arc::new(Semaphore::new(bounds::SERVES_PER_PEER)),
            serves_of_all,
            born: Instant::now(),
            progress_ms: AtomicU64::new(0),
        }
    }

    /// The cap of one direction.
    pub(crate) fn bucket(&self, direction: Direction) -> &Bucket {
        self.pacer.bucket(direction, self.path)
    }

    /// Whether what is asked for gives way to other traffic.
    pub(crate) fn gives_way(&self) -> bool {
        self.pacer.gives_way(self.path)
    }

    /// Most bytes that are moved at once, each piece being paid for.
    pub(crate) fn piece_bytes(&self, direction: Direction) -> usize {
        let most = match self.relayed {
            Some(_) => bounds::PIECE_BYTES,
            None => usize::MAX,
        };
        self.bucket(direction).piece_bytes().min(most)
    }

    /// Waits until these bytes may pass.
    pub(crate) async fn pay(&self, direction: Direction, bytes: usize) {
        if let Some([fetch, serve]) = &self.relayed {
            let own = match direction {
                Direction::Fetch => fetch,
                Direction::Serve => serve,
            };
            own.pay(bytes).await;
        }
        self.bucket(direction).pay(bytes).await;
    }

    /// Queues a message; never waits. Where a queue is full the link is closed.
    pub(crate) fn send(&self, message: Message<Bytes>) -> Result<(), SendError> {
        match message {
            Message::Control(control) => self.send_control(&control),
            _ if !self.greeted.load(Ordering::Acquire) => Err(SendError::NotGreeted),
            _ if !self.is_admitted() => Err(SendError::NotAdmitted),
            Message::Get(chunk) => self.ask(Subject::Chunk(chunk)),
            Message::GetBlob(hash) => self.ask(Subject::Blob(hash)),
            Message::Data(chunk, payload) => self.answer(Subject::Chunk(chunk), Some(payload)),
            Message::Absent(chunk) => self.answer(Subject::Chunk(chunk), None),
            Message::Blob(hash, payload) => self.answer(Subject::Blob(hash), Some(payload)),
            Message::NoBlob(hash) => self.answer(Subject::Blob(hash), None),
        }
    }

    fn send_control(&self, control: &Control) -> Result<(), SendError> {
        // The node may still hold messages for an earlier link to this peer;
        // a new one begins with Hello.
        if matches!(control, Control::Hello { .. }) {
            self.greeted.store(true, Ordering::Release);
        } else if !self.greeted.load(Ordering::Acquire) {
            return Err(SendError::NotGreeted);
        }
        let body = codec::encode(control);
        if body.len() > CONTROL_BYTES {
            return Err(SendError::TooLong {
                bytes: body.len(),
                limit: CONTROL_BYTES,
            });
        }
        let bytes = body.len();
        self.control
            .push(body, bytes)
            .map_err(|Full| self.overflow())
    }

    fn ask(&self, subject: Subject) -> Result<(), SendError> {
        let mut asked = lock(&self.asked);
        let outstanding: u32 = asked.values().sum();
        if outstanding as usize >= bounds::ASKED_PER_PEER {
            drop(asked);
            return Err(self.overflow());
        }
        if outstanding == 0 {
            self.progressed();
        }
        *asked.entry(subject).or_default() += 1;
        drop(asked);
        self.requests
            .push(subject, 0)
            .map_err(|Full| self.overflow())?;
        self.chunk_streams_wanted.notify_one();
        Ok(())
    }

    fn answer(&self, subject: Subject, payload: Option<Bytes>) -> Result<(), SendError> {
        let bytes = payload.as_ref().map_or(0, Bytes::len);
        let limit = subject.bytes_max();
        if bytes > limit {
            return Err(SendError::TooLong { bytes, limit });
        }
        let serve = {
            let mut serving = lock(&self.serving);
            let waiting = serving.get_mut(&subject).ok_or(SendError::NotAsked)?;
            let serve = waiting.pop().ok_or(SendError::NotAsked)?;
            if waiting.is_empty() {
                serving.remove(&subject);
            }
            serve
        };
        let reply = Reply {
            subject,
            payload,
            serve,
        };
        self.replies
            .push(reply, bytes)
            .map_err(|Full| self.overflow())
    }

    fn overflow(&self) -> SendError {
        self.close(LinkFault::Overflow);
        SendError::Overflow
    }

    /// Lets chunks pass.
    pub(crate) fn welcome(&self) {
        self.admitted.send_replace(true);
    }

    pub(crate) fn is_admitted(&self) -> bool {
        *self.admitted.borrow()
    }

    /// Waits until chunks may pass.
    pub(crate) async fn admitted(&self) {
        // the sender lives as long as this link
        let _ = self.admitted.subscribe().wait_for(|member| *member).await;
    }

    /// Waits until this request of the peer has a place in the window.
    pub(crate) async fn admit(&self, subject: Subject, background: bool) {
        let peers = self.serves.clone().acquire_owned().await;
        let alls = self.serves_of_all.clone().acquire_owned().await;
        let (Ok(peers), Ok(alls)) = (peers, alls) else {
            unreachable!("the semaphores are never closed")
        };
        let serve = Serve {
            since: Instant::now(),
            background,
            _permits: [peers, alls],
        };
        lock(&self.serving).entry(subject).or_default().push(serve);
    }

    /// Answers `Absent` where the node did not answer in time.
    pub(crate) fn expire_serves(&self, now: Instant) {
        let expired: Vec<Subject> = lock(&self.serving)
            .iter()
            .flat_map(|(subject, waiting)| waiting.iter().map(move |serve| (subject, serve)))
            .filter(|(_, serve)| {
                now.saturating_duration_since(serve.since) >= bounds::SERVE_TIMEOUT
            })
            .map(|(subject, _)| *subject)
            .collect();
        for subject in expired {
            // It may have been answered meanwhile; then there is nothing left to do.
            let _ = self.answer(subject, None);
        }
    }

    /// Whether a reply to this was waited for; then it is no longer.
    pub(crate) fn is_asked(&self, subject: Subject) -> bool {
        lock(&self.asked).contains_key(&subject)
    }

    /// The reply has come.
    pub(crate) fn answered(&self, subject: Subject) {
        let mut asked = lock(&self.asked);
        if let Some(count) = asked.get_mut(&subject) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&subject);
            }
        }
    }

    /// Bytes of a reply came in.
    pub(crate) fn progressed(&self) {
        self.progress_ms
            .store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// How long no byte of any reply came although some are waited for.
    pub(crate) fn stalled_for(&self) -> Duration {
        if lock(&self.asked).is_empty() {
            return Duration::ZERO;
        }
        let progress = Duration::from_millis(self.progress_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(progress)
    }

    /// Ends the link if chunks are under way that may not pass any more. Both sides connect
    /// again at once, to hear of heads and records.
    pub(crate) fn end_if_paused(&self) {
        let fetching = !lock(&self.asked).is_empty();
        let serving = self.serves.available_permits() < bounds::SERVES_PER_PEER;
        let ends = [(Direction::Fetch, fetching), (Direction::Serve, serving)];
        let is_held =
            |(direction, busy): &(Direction, bool)| *busy && self.bucket(*direction).is_paused();
        if ends.iter().any(is_held) {
            self.close(LinkFault::Paused);
        }
    }

    /// Ends the link; the first reason given stands.
    pub(crate) fn close(&self, fault: LinkFault) {
        lock(&self.fault).get_or_insert(fault);
        self.faulted.notify_one();
    }

    /// Waits for [`Link::close`]. One task only.
    pub(crate) async fn closed(&self) -> LinkFault {
        loop {
            if let Some(fault) = lock(&self.fault).clone() {
                return fault;
            }
            self.faulted.notified().await;
        }
    }
}
