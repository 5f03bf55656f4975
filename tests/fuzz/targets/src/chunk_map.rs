use weft_record::{ChunkEntry, ChunkMap, ChunkMapError, Hash, MAX_CHUNK_BYTES, MAX_CHUNKS};

/// A chunk map is taken whole or refused, and has one encoding.
pub(crate) fn chunk_map(input: &[u8]) {
    // the length comes from the release; the map's own sum lets it pass
    let length = match ChunkMap::decode(input, 0) {
        Err(ChunkMapError::FileLength { found, expected: 0 }) => found,
        Err(_) => return,
        Ok(map) => panic!("a map of no bytes: {map:?}"),
    };
    let map = ChunkMap::decode(input, length).unwrap();
    assert_eq!(map.encode(), input);
    assert_eq!(map.file_length(), length);
    assert!((1..=MAX_CHUNKS).contains(&map.len()));
    let mut end = 0;
    for (offset, chunk) in map.offsets().zip(&map.chunks) {
        assert_eq!(offset, end);
        assert!((1..=MAX_CHUNK_BYTES).contains(&chunk.length));
        end += u64::from(chunk.length);
    }
    assert_eq!(end, length);
    assert!(ChunkMap::decode(input, length + 1).is_err());
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let map = |lengths: &[u32]| {
        let chunk = |length: &u32| ChunkEntry {
            length: *length,
            hash: Hash::of(&length.to_le_bytes()),
        };
        let chunks = lengths.iter().map(chunk).collect();
        ChunkMap { chunks }.encode()
    };
    vec![
        map(&[1]),
        map(&[4, 13]),
        map(&[MAX_CHUNK_BYTES; 16]),
        map(&[]),
        map(&[0, 1, MAX_CHUNK_BYTES + 1]),
    ]
}
