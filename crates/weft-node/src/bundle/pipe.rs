//! A bundle that comes through a pipe: taken in as it comes, never whole in memory or on the
//! disk. It says what it has while it has it, and lets go of what the core has no use for.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::{mpsc, oneshot},
    time,
};
use weft_core::{ChunkRef, Control, Message, Peer};
use weft_record::{
    ChunkMap, FileEntry, Hash,
    bundle::{BundleError, Decoder, Frame},
};

use super::{ImportError, contents::Contents, peer::FromBundle};

/// What comes through a pipe, piece by piece.
pub(crate) type Pieces = mpsc::Receiver<io::Result<Bytes>>;

/// Chunks that wait for the core to take them: as many as it asks one peer for, of the
/// largest size.
const WINDOW_BYTES: usize = 32 * 1024 * 1024;
/// Chunk maps in memory: those of a few releases of a terabyte.
const MAPS_BYTES: usize = 64 * 1024 * 1024;
/// How often is looked what of the window the core still has a use for.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// A full window that has not moved for so many looks lets go of its oldest chunk: what the
/// core waits for may come behind it.
const LOOKS: u32 = 400;

/// A bundle of which the records were read, and nothing else.
pub(crate) struct PipeBundle {
    source: Pieces,
    decoder: Decoder,
    /// Bytes that came and were not taken apart yet.
    rest: Bytes,
    /// The first frame behind the records.
    next: Option<Frame>,
    contents: Contents,
    files: Vec<FileEntry>,
}

impl PipeBundle {
    /// Reads the records that stand before the models.
    pub(crate) async fn open(source: Pieces) -> Result<Self, ImportError> {
        let mut bundle = Self {
            source,
            decoder: Decoder::new(),
            rest: Bytes::new(),
            next: None,
            contents: Contents::default(),
            files: Vec::new(),
        };
        loop {
            match bundle.frame().map_err(|error| broken(&error))? {
                Some(Frame::Header { mesh_id }) => bundle.contents.mesh_id = mesh_id,
                Some(Frame::Record(bytes)) => bundle
                    .contents
                    .note_record(bytes, &mut bundle.files)
                    .map_err(ImportError::Pipe)?,
                Some(frame) => {
                    bundle.next = Some(frame);
                    return Ok(bundle);
                }
                None => match bundle.source.recv().await {
                    Some(Ok(piece)) => bundle.rest = piece,
                    Some(Err(error)) => return Err(ImportError::BrokeOff(error.to_string())),
                    None => {
                        bundle.decoder.finish().map_err(|error| broken(&error))?;
                        return Ok(bundle);
                    }
                },
            }
        }
    }

    pub(super) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The next frame of the bytes that are here.
    fn frame(&mut self) -> Result<Option<Frame>, BundleError> {
        loop {
            if let Some(frame) = self.decoder.poll()? {
                return Ok(Some(frame));
            }
            if self.rest.is_empty() {
                return Ok(None);
            }
            let taken = self.decoder.push(&self.rest);
            self.rest = self.rest.slice(taken..);
        }
    }
}

fn broken(error: &BundleError) -> ImportError {
    match error {
        BundleError::Truncated { .. } => ImportError::BrokeOff(error.to_string()),
        error => ImportError::Pipe(error.to_string()),
    }
}

/// Answers the core out of what has come and was not taken yet, until the loop drops its end.
pub(super) struct PipePeer {
    pub(super) key: Peer,
    pub(super) bundle: PipeBundle,
    pub(super) inbox: mpsc::Receiver<Message<Bytes>>,
    pub(super) outbox: mpsc::Sender<FromBundle>,
    pub(super) held: Window,
}

/// What has come of the models.
#[derive(Default)]
pub(super) struct Window {
    maps_bytes: usize,
    blobs: BTreeMap<Hash, Bytes>,
    maps: BTreeMap<Hash, ChunkMap>,
    /// Where each chunk belongs, by the maps.
    places: BTreeMap<Hash, Vec<ChunkRef>>,
    chunks: BTreeMap<Hash, Bytes>,
    /// The same in the order in which they came.
    order: VecDeque<Hash>,
    bytes: usize,
    /// Maps that the core asked for before they came.
    asked: Vec<Hash>,
    /// No more maps come.
    maps_are_here: bool,
    /// All of it came.
    ended: bool,
    /// The loop knows that nothing is left.
    told_drained: bool,
    /// Looks since it moved last.
    looks: u32,
}

/// The loop has gone, and nobody listens.
struct Gone;

impl PipePeer {
    pub(super) async fn run(mut self) {
        // whoever attached it has nothing more to say when the loop has gone
        let _ = self.answer_all().await;
    }

    async fn answer_all(&mut self) -> Result<(), Gone> {
        for message in self.bundle.contents.messages() {
            self.say(message).await?;
        }
        let mut look = time::interval(LOOK_INTERVAL);
        look.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            self.take_frames().await?;
            let hungry = self.held.has_room() && !self.held.ended;
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.answer(message).await?,
                    None => return Err(Gone),
                },
                piece = self.bundle.source.recv(), if hungry => match piece {
                    Some(Ok(piece)) => self.bundle.rest = piece,
                    Some(Err(error)) => self.end(Some(error.to_string())).await?,
                    None => {
                        let end = self.bundle.decoder.finish();
                        self.end(end.err().map(|error| error.to_string())).await?;
                    }
                },
                _ = look.tick(), if !self.held.is_idle() => self.look().await?,
            }
        }
    }

    /// Takes what is here apart, as far as there is room.
    async fn take_frames(&mut self) -> Result<(), Gone> {
        while self.held.has_room() && !self.held.ended {
            let frame = match self.bundle.next.take() {
                Some(frame) => Ok(Some(frame)),
                None => self.bundle.frame(),
            };
            match frame {
                Ok(Some(frame)) => self.frame(frame).await?,
                Ok(None) => return Ok(()),
                Err(error) => return self.end(Some(error.to_string())).await,
            }
        }
        Ok(())
    }

    async fn frame(&mut self, frame: Frame) -> Result<(), Gone> {
        match frame {
            // weft puts records first; of others these count all the same
            Frame::Record(bytes) => {
                let records = Control::Records(vec![bytes]);
                self.say(Message::Control(records)).await
            }
            Frame::Blob { hash, bytes } => self.map(hash, bytes.into()).await,
            Frame::Chunk { hash, bytes } => self.chunk(hash, bytes.into()).await,
            Frame::Header { .. } | Frame::End { .. } => Ok(()),
        }
    }

    async fn map(&mut self, hash: Hash, bytes: Bytes) -> Result<(), Gone> {
        self.held.maps_bytes += bytes.len();
        if self.held.maps_bytes > MAPS_BYTES {
            let text = format!("its chunk maps take more than {MAPS_BYTES} bytes");
            return self.end(Some(text)).await;
        }
        let files = self.bundle.files.iter();
        for file in files.filter(|file| file.chunk_map == hash) {
            // a map that does not fit is left to the core, which refuses it
            if let Ok(map) = ChunkMap::decode(&bytes, file.length) {
                self.held.note_map(file.blake3, map);
            }
        }
        if let Some(place) = self.held.asked.iter().position(|asked| *asked == hash) {
            self.held.asked.swap_remove(place);
            self.say(Message::Blob(hash, bytes.clone())).await?;
        }
        self.held.blobs.insert(hash, bytes);
        Ok(())
    }

    async fn chunk(&mut self, hash: Hash, bytes: Bytes) -> Result<(), Gone> {
        self.no_more_maps().await?;
        let places = self.held.places.get(&hash).cloned().unwrap_or_default();
        if places.is_empty() || !self.needs(places.clone()).await?.contains(&true) {
            return Ok(());
        }
        self.held.put(hash, bytes);
        for ChunkRef { file, index } in places {
            let indexes = vec![index];
            self.say(Message::Control(Control::Gained { file, indexes }))
                .await?;
        }
        Ok(())
    }

    async fn no_more_maps(&mut self) -> Result<(), Gone> {
        self.held.maps_are_here = true;
        for hash in std::mem::take(&mut self.held.asked) {
            self.say(Message::NoBlob(hash)).await?;
        }
        Ok(())
    }

    async fn end(&mut self, broken: Option<String>) -> Result<(), Gone> {
        self.held.ended = true;
        self.no_more_maps().await?;
        self.tell(FromBundle::Ended(self.key, broken)).await?;
        self.tell_drained().await
    }

    async fn answer(&mut self, message: Message<Bytes>) -> Result<(), Gone> {
        match message {
            Message::Control(Control::Want(file)) => {
                let indexes = self.held.indexes(&file);
                if indexes.is_empty() {
                    return Ok(());
                }
                self.say(Message::Control(Control::Gained { file, indexes }))
                    .await
            }
            Message::Get(chunk) => match self.held.get(chunk) {
                Some(bytes) => self.say(Message::Data(chunk, bytes)).await,
                None => self.say(Message::Absent(chunk)).await,
            },
            Message::GetBlob(hash) => match self.held.blobs.get(&hash).cloned() {
                Some(bytes) => self.say(Message::Blob(hash, bytes)).await,
                None if self.held.maps_are_here => self.say(Message::NoBlob(hash)).await,
                None => {
                    self.held.asked.push(hash);
                    Ok(())
                }
            },
            // a pipe learns nothing and wants nothing
            _ => Ok(()),
        }
    }

    /// Lets go of what the core has, or has no use for.
    async fn look(&mut self) -> Result<(), Gone> {
        let before = self.held.chunks.len();
        let hashes: Vec<Hash> = self.held.order.iter().copied().collect();
        let places: Vec<(Hash, ChunkRef)> = hashes
            .iter()
            .flat_map(|hash| {
                let places = self.held.places.get(hash).into_iter().flatten();
                places.map(|place| (*hash, *place))
            })
            .collect();
        let asked = places.iter().map(|(_, place)| *place).collect();
        let needed = self.needs(asked).await?;
        let needed = places.iter().zip(needed).filter(|(_, needed)| *needed);
        let needed = needed.map(|((hash, _), _)| *hash).collect();
        self.held.keep(&needed);
        let has_moved = self.held.chunks.len() < before;
        self.held.looks = if has_moved { 0 } else { self.held.looks + 1 };
        if self.held.looks >= LOOKS && !self.held.has_room() {
            self.held.drop_oldest();
        }
        self.tell_drained().await
    }

    async fn tell_drained(&mut self) -> Result<(), Gone> {
        if self.held.ended && self.held.order.is_empty() && !self.held.told_drained {
            self.held.told_drained = true;
            self.tell(FromBundle::Drained(self.key)).await?;
        }
        Ok(())
    }

    /// Whether the core has, or may come to have, a use for each of these.
    async fn needs(&mut self, chunks: Vec<ChunkRef>) -> Result<Vec<bool>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.tell(FromBundle::Look(chunks, reply)).await?;
        answer.await.map_err(|_| Gone)
    }

    async fn say(&self, message: Message<Bytes>) -> Result<(), Gone> {
        self.tell(FromBundle::Message(self.key, message)).await
    }

    async fn tell(&self, message: FromBundle) -> Result<(), Gone> {
        self.outbox.send(message).await.map_err(|_| Gone)
    }
}

impl Window {
    fn has_room(&self) -> bool {
        self.bytes < WINDOW_BYTES
    }

    fn is_idle(&self) -> bool {
        self.order.is_empty()
    }

    fn note_map(&mut self, file: Hash, map: ChunkMap) {
        if self.maps.contains_key(&file) {
            return;
        }
        for (index, chunk) in (0..).zip(&map.chunks) {
            let places = self.places.entry(chunk.hash).or_default();
            places.push(ChunkRef { file, index });
        }
        self.maps.insert(file, map);
    }

    fn put(&mut self, hash: Hash, bytes: Bytes) {
        let length = bytes.len();
        if self.chunks.insert(hash, bytes).is_none() {
            self.bytes += length;
            self.order.push_back(hash);
        }
    }

    fn get(&self, chunk: ChunkRef) -> Option<Bytes> {
        let map = self.maps.get(&chunk.file)?;
        let entry = map.chunks.get(chunk.index as usize)?;
        self.chunks.get(&entry.hash).cloned()
    }

    fn indexes(&self, file: &Hash) -> Vec<u32> {
        let places = self.order.iter().filter_map(|hash| self.places.get(hash));
        let of_file = places.flatten().filter(|place| place.file == *file);
        of_file.map(|place| place.index).collect()
    }

    fn keep(&mut self, needed: &BTreeSet<Hash>) {
        self.chunks.retain(|hash, _| needed.contains(hash));
        self.order.retain(|hash| needed.contains(hash));
        self.bytes = self.chunks.values().map(Bytes::len).sum();
    }

    fn drop_oldest(&mut self) {
        self.looks = 0;
        if let Some(chunk) = self
            .order
            .pop_front()
            .and_then(|hash| self.chunks.remove(&hash))
        {
            self.bytes -= chunk.len();
        }
    }
}
