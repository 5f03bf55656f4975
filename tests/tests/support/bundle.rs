//! Rewrites a packed release, as an admin with a bad day would have packed it.
// each test binary uses a part
#![allow(dead_code)]

use std::fs;

use weft_record::{
    Envelope, Kind, Release,
    bundle::{Decoder, Encoder, Frame},
    codec,
};

/// Changes the release in a packed bundle; the path of the changed copy.
pub(crate) fn rewrite(bundle: &str, change: impl Fn(&mut Release)) -> String {
    rewrite_records(bundle, |record| {
        changed(record, &change, |envelope| envelope.sigs.clear())
    })
}

/// The same in a signed bundle, which keeps its signatures: they no longer fit.
pub(crate) fn rewrite_signed(bundle: &str, change: impl Fn(&mut Release)) -> String {
    rewrite_records(bundle, |record| changed(record, &change, |_| ()))
}

fn rewrite_records(bundle: &str, change: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    let mut rest = &fs::read(bundle).unwrap()[..];
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
    let Frame::Header { mesh_id } = frames[0] else {
        panic!("no header")
    };
    let (mut encoder, mut bytes) = Encoder::new(mesh_id);
    for frame in &frames[1..] {
        bytes.extend(match frame {
            Frame::Record(record) => encoder.record(&change(record)).unwrap(),
            Frame::Blob { bytes, .. } => encoder.blob(bytes).unwrap(),
            Frame::Chunk { bytes, .. } => encoder.chunk(bytes).unwrap(),
            _ => continue,
        });
    }
    bytes.extend(encoder.finish());
    let path = format!("{bundle}.changed");
    fs::write(&path, bytes).unwrap();
    path
}

fn changed(record: &[u8], change: &impl Fn(&mut Release), sign: impl Fn(&mut Envelope)) -> Vec<u8> {
    let mut envelope = Envelope::decode(record).unwrap();
    if envelope.kind != Kind::Release.number() {
        return record.to_vec();
    }
    let mut release: Release = codec::decode(&envelope.body, 1 << 16).unwrap();
    change(&mut release);
    envelope.body = codec::encode(&release);
    sign(&mut envelope);
    envelope.encode()
}
