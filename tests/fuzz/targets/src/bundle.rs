use weft_record::{
    Hash, MeshId,
    bundle::{BundleError, Decoder, Encoder, Frame},
};

use crate::mesh::Mesh;

/// A bundle reads the same in whatever pieces it comes, is written again to the same
/// bytes, and holds nothing under a wrong hash. The first byte is the piece's length.
pub(crate) fn bundle(input: &[u8]) {
    let Some((piece, bytes)) = input.split_first() else {
        return;
    };
    let (frames, ended) = read(bytes, usize::MAX);
    let in_pieces = read(bytes, 1 + usize::from(*piece));
    assert_eq!(in_pieces.1.is_ok(), ended.is_ok());
    assert_eq!(in_pieces.0, frames);
    for (index, frame) in frames.iter().enumerate() {
        match frame {
            Frame::Header { .. } => assert_eq!(index, 0),
            Frame::Record(bytes) => assert!(!bytes.is_empty()),
            Frame::Blob { hash, bytes } | Frame::Chunk { hash, bytes } => {
                assert_eq!(*hash, Hash::of(bytes));
            }
            Frame::End { frames: count, .. } => assert_eq!(*count as usize, index - 1),
        }
    }
    if ended.is_ok() {
        assert_eq!(write(&frames), bytes);
    }
}

fn read(mut bytes: &[u8], piece: usize) -> (Vec<Frame>, Result<(), BundleError>) {
    let (mut decoder, mut frames) = (Decoder::new(), Vec::new());
    loop {
        let taken = decoder.push(&bytes[..piece.min(bytes.len())]);
        bytes = &bytes[taken..];
        loop {
            match decoder.poll() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        if bytes.is_empty() {
            return (frames, decoder.finish());
        }
        assert!(taken > 0, "neither takes bytes nor gives a frame");
    }
}

fn write(frames: &[Frame]) -> Vec<u8> {
    let Some((Frame::Header { mesh_id }, rest)) = frames.split_first() else {
        panic!("a whole bundle has a header: {frames:?}");
    };
    let (mut encoder, mut bytes) = Encoder::new(*mesh_id);
    for frame in rest {
        bytes.extend(match frame {
            Frame::Record(envelope) => encoder.record(envelope).unwrap(),
            Frame::Blob { bytes, .. } => encoder.blob(bytes).unwrap(),
            Frame::Chunk { bytes, .. } => encoder.chunk(bytes).unwrap(),
            Frame::Header { .. } | Frame::End { .. } => continue,
        });
    }
    bytes.extend(encoder.finish());
    bytes
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let whole = |piece: u8, fill: &dyn Fn(&mut Encoder, &mut Vec<u8>)| {
        let (mut encoder, header) = Encoder::new(MeshId([7; 32]));
        let mut bytes = vec![piece];
        bytes.extend(header);
        fill(&mut encoder, &mut bytes);
        bytes.extend(encoder.finish());
        bytes
    };
    let records = |encoder: &mut Encoder, bytes: &mut Vec<u8>| {
        for envelope in Mesh::fixed().trust.records() {
            bytes.extend(encoder.record(&envelope.encode()).unwrap());
        }
    };
    let parts = |encoder: &mut Encoder, bytes: &mut Vec<u8>| {
        bytes.extend(encoder.record(b"an envelope").unwrap());
        bytes.extend(encoder.blob(b"a chunk map").unwrap());
        bytes.extend(encoder.chunk(&[9; 300]).unwrap());
    };
    vec![whole(0, &|_, _| {}), whole(3, &parts), whole(255, &records)]
}
