//! A member with a program of its own: it says that it has all of a release, and gives what
//! it likes, when it likes.

use std::{
    collections::VecDeque,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use bytes::Bytes;
use weft_core::{ChunkRef, Control, Message};
use weft_keys::{PublicKey, SecretKey};
use weft_net::NetEvent;
use weft_record::{
    ChunkMap, Enroll, Envelope, Hash, Kind, MeshId, Release,
    bundle::{Decoder, Frame},
    codec,
};

use crate::stranger::Stranger;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// At once, with other bytes.
    Garbage,
    /// With the right bytes, each chunk so long after it was asked for or after the one
    /// before.
    Late(Duration),
}

/// It runs until it is ended.
pub(crate) struct FalseMember {
    stop: Arc<AtomicBool>,
    /// Tells how many chunks it was asked for.
    thread: Option<JoinHandle<u32>>,
}

impl FalseMember {
    /// Dials a node; the pack is of the release that it pretends to have, and in the other
    /// bundle is what enrolled it.
    pub(crate) fn meet(
        key: SecretKey,
        mesh_id: MeshId,
        address: &str,
        manner: Manner,
        pack: &str,
        known: &str,
    ) -> Self {
        let held = Held::read(pack);
        let enrolment = enrolment(known, &key.public());
        let mut stranger = Stranger::meet(key, mesh_id, address);
        // whoever belongs knows the root
        let hello = stranger.until("a hello", |event| match event {
            NetEvent::Message(
                _,
                Message::Control(Control::Hello {
                    root_version, root, ..
                }),
            ) => Some(Control::Hello {
                mesh_id,
                root_version: *root_version,
                root: *root,
                enrolment: Some(enrolment.clone()),
            }),
            _ => None,
        });
        stranger.say(hello);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || serve(stranger, &held, manner, &stopped));
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Ends it: how many chunks it was asked for.
    pub(crate) fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for FalseMember {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn serve(mut stranger: Stranger, held: &Held, manner: Manner, stop: &AtomicBool) -> u32 {
    let (mut asked, mut waiting) = (0, VecDeque::new());
    let mut free_at = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        if waiting
            .front()
            .is_some_and(|(due, _)| *due <= Instant::now())
        {
            let (_, chunk) = waiting.pop_front().unwrap();
            stranger.try_send(Message::Data(chunk, held.chunk(chunk)));
            continue;
        }
        let Some(NetEvent::Message(_, message)) = stranger.next() else {
            continue;
        };
        match (message, manner) {
            (Message::Control(Control::Want(file)), _) if file == held.file => {
                let bits = held.all_bits();
                stranger.try_send(Message::Control(Control::Bits { file, bits }));
            }
            (Message::Get(chunk), Manner::Garbage) => {
                asked += 1;
                let garbage = vec![0xa5; held.chunk(chunk).len()];
                stranger.try_send(Message::Data(chunk, garbage.into()));
            }
            (Message::Get(chunk), Manner::Late(pause)) => {
                asked += 1;
                free_at = free_at.max(Instant::now()) + pause;
                waiting.push_back((free_at, chunk));
            }
            (Message::GetBlob(hash), _) => {
                stranger.try_send(Message::NoBlob(hash));
            }
            _ => {}
        }
    }
    asked
}

/// The one file of a packed release.
struct Held {
    file: Hash,
    map: ChunkMap,
    chunks: Vec<Vec<u8>>,
}

impl Held {
    fn read(pack: &str) -> Self {
        let frames = frames(pack);
        let release = frames.iter().find_map(|frame| match frame {
            Frame::Record(record) => {
                let envelope = Envelope::decode(record).unwrap();
                let is_release = envelope.kind == Kind::Release.number();
                is_release.then(|| codec::decode::<Release>(&envelope.body, 1 << 16).unwrap())
            }
            _ => None,
        });
        let file = release.unwrap().variants[0].files[0].clone();
        let map = frames.iter().find_map(|frame| match frame {
            Frame::Blob { hash, bytes } if *hash == file.chunk_map => {
                Some(ChunkMap::decode(bytes, file.length).unwrap())
            }
            _ => None,
        });
        let chunks = frames.into_iter().filter_map(|frame| match frame {
            Frame::Chunk { bytes, .. } => Some(bytes),
            _ => None,
        });
        Self {
            file: file.blake3,
            map: map.unwrap(),
            chunks: chunks.collect(),
        }
    }

    fn all_bits(&self) -> Vec<u8> {
        let mut bits = vec![0; self.map.chunks.len().div_ceil(8)];
        for index in 0..self.map.chunks.len() {
            bits[index / 8] |= 1 << (index % 8);
        }
        bits
    }

    fn chunk(&self, chunk: ChunkRef) -> Bytes {
        let wanted = self.map.chunks[chunk.index as usize].hash;
        let found = self.chunks.iter().find(|bytes| Hash::of(bytes) == wanted);
        Bytes::from(found.unwrap().clone())
    }
}

/// The envelope that enrolled a node, from a bundle of its mesh.
fn enrolment(bundle: &str, node: &PublicKey) -> Vec<u8> {
    let found = frames(bundle).into_iter().find(|frame| {
        let Frame::Record(record) = frame else {
            return false;
        };
        let envelope = Envelope::decode(record).unwrap();
        envelope.kind == Kind::Enroll.number()
            && codec::decode::<Enroll>(&envelope.body, 1 << 16)
                .unwrap()
                .node
                == *node
    });
    match found {
        Some(Frame::Record(record)) => record,
        _ => panic!("{bundle} does not enroll {node:?}"),
    }
}

fn frames(bundle: &str) -> Vec<Frame> {
    let bytes = fs::read(bundle).unwrap();
    let (mut decoder, mut frames, mut rest) = (Decoder::new(), Vec::new(), &bytes[..]);
    loop {
        if let Some(frame) = decoder.poll().unwrap() {
            frames.push(frame);
            continue;
        }
        let taken = decoder.push(rest);
        rest = &rest[taken..];
        if taken == 0 {
            return frames;
        }
    }
}
