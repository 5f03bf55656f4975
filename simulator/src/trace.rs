//! What of an input or event goes into the log: enough that two runs that differ in
//! anything differ in their hash.

use std::hash::Hasher;

use weft_core::{ChunkRef, Control, Event, Input, Message};
use weft_record::{Hash, codec};

use crate::{
    fast::{Mixer, prefix},
    payload::Virtual,
};

/// Kind, what it is about, and the rest.
pub(crate) type Trace = (u32, u64, u64);

/// Kinds of entries that are neither an input nor an event.
pub(crate) const OUTAGE: u32 = 1;
pub(crate) const ADMITTED: u32 = 2;

/// The entry of an input.
pub(crate) fn of_input(input: &Input<Virtual>) -> Trace {
    match input {
        Input::Command(command) => (16, 0, text(&format!("{command:?}"))),
        Input::PeerUp(peer, _) => (17, prefix(peer.as_bytes()), 0),
        Input::BundleUp(peer) => (18, prefix(peer.as_bytes()), 0),
        Input::PeerDown(peer) => (19, prefix(peer.as_bytes()), 0),
        Input::Message(peer, message) => {
            let (kind, detail) = of_message(message);
            (kind, prefix(peer.as_bytes()), detail)
        }
        Input::Gossip(envelope) => (20, 0, bytes(envelope)),
        Input::Done(operation, _) => (21, operation.0, 0),
        Input::Tick => (22, 0, 0),
    }
}

/// The entry of what a node told.
pub(crate) fn of_event(event: &Event) -> Trace {
    match event {
        Event::ChunkStored {
            file, index, from, ..
        } => {
            let detail = numbers(&[prefix(&file.0), u64::from(*index)]);
            (64, prefix(from.as_bytes()), detail)
        }
        Event::PeerJoined { peer } => (65, prefix(peer.as_bytes()), 0),
        Event::PeerLeft { peer } => (66, prefix(peer.as_bytes()), 0),
        other => (67, 0, text(&format!("{other:?}"))),
    }
}

/// A line about an input, for people.
pub(crate) fn line(input: &Input<Virtual>) -> String {
    match input {
        Input::Command(_) => "command".to_owned(),
        Input::PeerUp(peer, path) => format!("up {peer} by {path:?}"),
        Input::BundleUp(peer) => format!("bundle {peer}"),
        Input::PeerDown(peer) => format!("down {peer}"),
        Input::Message(peer, Message::Control(Control::Records(envelopes))) => {
            let all = Hash::of(&envelopes.concat());
            format!("from {peer} records {} {all}", envelopes.len())
        }
        Input::Message(peer, Message::Data(chunk, payload)) => {
            format!("from {peer} data {chunk:?} {}", payload.digest)
        }
        Input::Message(peer, Message::Blob(hash, _)) => format!("from {peer} blob {hash}"),
        Input::Message(peer, message) => format!("from {peer} {message:?}"),
        Input::Gossip(envelope) => format!("gossip {}", Hash::of(envelope)),
        Input::Done(operation, _) => format!("done {}", operation.0),
        Input::Tick => "tick".to_owned(),
    }
}

fn of_message(message: &Message<Virtual>) -> (u32, u64) {
    match message {
        Message::Control(Control::Gained { file, indexes }) => {
            let mut mixer = Mixer::default();
            mixer.write_u64(prefix(&file.0));
            for &index in indexes {
                mixer.write_u32(index);
            }
            (32, mixer.finish())
        }
        Message::Control(control) => (33, bytes(&codec::encode(control))),
        Message::Get(chunk) => (34, of_chunk(chunk)),
        Message::Data(chunk, payload) => {
            let detail = [of_chunk(chunk), prefix(&payload.digest.0), payload.length];
            (35, numbers(&detail))
        }
        Message::Absent(chunk) => (36, of_chunk(chunk)),
        Message::GetBlob(hash) => (37, prefix(&hash.0)),
        Message::Blob(hash, payload) => {
            let detail = [prefix(&hash.0), prefix(&payload.digest.0), payload.length];
            (38, numbers(&detail))
        }
        Message::NoBlob(hash) => (39, prefix(&hash.0)),
    }
}

fn of_chunk(chunk: &ChunkRef) -> u64 {
    numbers(&[prefix(&chunk.file.0), u64::from(chunk.index)])
}

fn text(text: &str) -> u64 {
    bytes(text.as_bytes())
}

/// Eight bytes at a time.
fn bytes(bytes: &[u8]) -> u64 {
    let mut mixer = Mixer::default();
    mixer.write_u64(bytes.len() as u64);
    let mut eights = bytes.chunks_exact(8);
    for eight in &mut eights {
        let mut number = [0; 8];
        number.copy_from_slice(eight);
        mixer.write_u64(u64::from_le_bytes(number));
    }
    mixer.write(eights.remainder());
    mixer.finish()
}

fn numbers(numbers: &[u64]) -> u64 {
    let mut mixer = Mixer::default();
    for &number in numbers {
        mixer.write_u64(number);
    }
    mixer.finish()
}
