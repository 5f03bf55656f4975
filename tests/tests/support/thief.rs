//! A thief with somebody's keys and a program of their own: nothing that `weft` would
//! refuse to sign stops them.

use std::{fs, path::Path};

use weft_keys::SecretKey;
use weft_record::{
    Envelope, Hash, Kind, Memo, Name, RecordId, Release, Trust,
    bundle::{Decoder, Encoder, Frame},
    codec, next_head, seal,
};

/// Puts the packed release in front of `stable`, signed with these keys, into a bundle
/// with the model; `known` is any bundle of the mesh. The release's id.
pub(crate) fn forge(
    known: &Path,
    packed: &Path,
    release_keys: &[&SecretKey],
    head_keys: &[&SecretKey],
    out: &Path,
) -> RecordId {
    let (known, packed) = (frames(known), frames(packed));
    let Frame::Header { mesh_id } = known[0] else {
        panic!("no header")
    };
    let (mut trust, mut memo) = (Trust::new(mesh_id), Memo::default());
    let (mut encoder, mut bytes) = Encoder::new(mesh_id);
    for frame in &known {
        if let Frame::Record(record) = frame {
            let envelope = Envelope::decode(record).unwrap();
            trust.admit(envelope, now_s(), &mut memo).unwrap();
            bytes.extend(encoder.record(record).unwrap());
        }
    }
    let mut record = packed.iter().find_map(|frame| match frame {
        Frame::Record(record) => Some(Envelope::decode(record).unwrap()),
        _ => None,
    });
    let body = record.take().unwrap().body;
    let release: Release = codec::decode(&body, 1 << 16).unwrap();
    let release_envelope = seal(Kind::Release, mesh_id, body, release_keys);
    let id = release_envelope.record_id();
    // the thief's own verifier takes anything: the head stands where an honest one would
    let channel: Name = "stable".parse().unwrap();
    let newest = trust.head(&channel).unwrap().release;
    let mut head = next_head(&trust, &channel, newest, Hash::ZERO, now_s()).unwrap();
    head.release = id;
    head.counter_floor = release.counter.min(head.counter_floor);
    let head = seal(Kind::Head, mesh_id, codec::encode(&head), head_keys);
    for envelope in [release_envelope, head] {
        bytes.extend(encoder.record(&envelope.encode()).unwrap());
    }
    for frame in &packed {
        bytes.extend(match frame {
            Frame::Blob { bytes, .. } => encoder.blob(bytes).unwrap(),
            Frame::Chunk { bytes, .. } => encoder.chunk(bytes).unwrap(),
            _ => continue,
        });
    }
    bytes.extend(encoder.finish());
    fs::write(out, bytes).unwrap();
    id
}

fn frames(path: &Path) -> Vec<Frame> {
    let bytes = fs::read(path).unwrap();
    let (mut decoder, mut frames, mut rest) = (Decoder::new(), Vec::new(), &bytes[..]);
    loop {
        if let Some(frame) = decoder.poll().unwrap() {
            frames.push(frame);
            continue;
        }
        let taken = decoder.push(rest);
        rest = &rest[taken..];
        if taken == 0 {
            break;
        }
    }
    decoder.finish().unwrap();
    frames
}

fn now_s() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_secs()
}
