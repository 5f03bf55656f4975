//! What is fuzzed: one function a decoder of foreign bytes, with what must hold for
//! every input. The fuzzer in the folder above finds inputs, the test `corpora`
//! replays those that are kept.
// a broken promise panics here, as it would in a test
#![allow(clippy::unwrap_used)]

mod bodies;
mod bundle;
mod chunk_map;
mod control;
mod delta;
mod folder;
mod gguf_file;
mod keys;
mod mesh;
mod model;
mod model_seeds;
mod record;
mod text;

/// One decoder.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is also that of its corpus.
    pub name: &'static str,
    /// Takes any bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// Bytes that one input may hold at once; nobody's length is believed, so this is
    /// what the format's own limits allow, not what an input asks for.
    pub memory_bytes: usize,
    /// Longest input that is tried.
    pub input_bytes: usize,
    /// Where the search begins.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target {
        name: "envelope",
        run: record::envelope,
        memory_bytes: CODEC_BYTES,
        input_bytes: 8 * KIB,
        seeds: record::envelope_seeds,
    },
    Target {
        name: "body",
        run: record::body,
        memory_bytes: CODEC_BYTES,
        input_bytes: 8 * KIB,
        seeds: record::body_seeds,
    },
    Target {
        name: "bundle",
        run: bundle::bundle,
        memory_bytes: MIB,
        input_bytes: 16 * KIB,
        seeds: bundle::seeds,
    },
    Target {
        name: "chunk_map",
        run: chunk_map::chunk_map,
        memory_bytes: MIB,
        input_bytes: 4 * KIB,
        seeds: chunk_map::seeds,
    },
    Target {
        name: "control",
        run: control::control,
        memory_bytes: CODEC_BYTES,
        input_bytes: 8 * KIB,
        seeds: control::seeds,
    },
    Target {
        name: "delta",
        run: delta::delta,
        // the tables of two groups, and a few times what one input makes
        memory_bytes: 2 * MIB,
        input_bytes: 4 * KIB,
        seeds: delta::seeds,
    },
    Target {
        name: "text",
        run: text::text,
        memory_bytes: MIB,
        input_bytes: 4 * KIB,
        seeds: text::seeds,
    },
    Target {
        name: "keys",
        run: keys::keys,
        memory_bytes: MIB,
        input_bytes: 3 * KIB,
        seeds: keys::seeds,
    },
    Target {
        name: "gguf",
        run: model::gguf,
        memory_bytes: 32 * MIB,
        input_bytes: 16 * KIB,
        seeds: model_seeds::gguf,
    },
    Target {
        name: "safetensors",
        run: model::safetensors,
        memory_bytes: 8 * MIB,
        input_bytes: 8 * KIB,
        seeds: model_seeds::safetensors,
    },
    Target {
        name: "config",
        run: model::config,
        memory_bytes: 8 * MIB,
        input_bytes: 8 * KIB,
        seeds: model_seeds::config,
    },
    Target {
        name: "tokenizer",
        run: model::tokenizer,
        // the library keeps tables for every byte and a cache of words
        memory_bytes: 64 * MIB,
        input_bytes: 8 * KIB,
        seeds: model_seeds::tokenizer,
    },
    Target {
        name: "vocabulary",
        run: model::vocabulary,
        memory_bytes: 64 * MIB,
        input_bytes: 4 * KIB,
        seeds: model_seeds::vocabulary,
    },
    Target {
        name: "template",
        run: model::template,
        // its fuel is worth 64 MB, which may be copied once
        memory_bytes: 192 * MIB,
        input_bytes: 4 * KIB,
        seeds: model_seeds::template,
    },
];

/// What the codec may make room for before it has read an entry: a text is believed up to
/// the codec's own limit, a list up to a mebibyte, and lists lie four deep in each other
/// (the answers of a release's probes).
const CODEC_BYTES: usize = weft_record::codec::MAX_BYTES + 4 * MIB;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
