//! Records: admitting a chain of heads, beside the bare signature checks in it.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use weft_keys::SecretKey;
use weft_record::{
    Admission, Detail, Envelope, Exchange, FileEntry, Hash, Kind, Lineage, Memo, MeshId, Name,
    PrivacyFloors, ProbeSet, Release, Requires, Role, Root, Scope, Trust, Validity, Variant, codec,
    mesh_id_of, next_head, seal,
};

use super::{Figure, median};

/// Heads in the chain.
const HEADS: usize = 512;
/// Heads that a node missed while it was away.
const BEHIND: usize = 1000;
/// What one message of records may hold: the core's bound.
const BATCH_BYTES: usize = 256 * 1024;
/// Rounds; the first only warms up.
const ROUNDS: usize = 6;
const NOW_S: u64 = 1_800_000_000;

pub(crate) fn run() -> Result<Vec<Figure>> {
    let key = SecretKey::from_seed([7; 32]);
    let (mesh_id, chain) = chain(&key, HEADS)?;
    let encoded: Vec<Vec<u8>> = chain.iter().map(Envelope::encode).collect();
    let (mut bare, mut cold, mut warm, mut decode) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        let count = chain.len() as f64;
        let start = Instant::now();
        for envelope in &chain {
            let (signer, signature) = envelope.sigs.first().context("no signature")?;
            signer.verify_strict(&envelope.signed_bytes(), signature)?;
        }
        let bare_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let decoded = encoded
            .iter()
            .map(|bytes| Envelope::decode(bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let decode_s = start.elapsed().as_secs_f64();
        let mut memo = Memo::default();
        let cold_s = admit(mesh_id, &decoded, &mut memo)?;
        let warm_s = admit(mesh_id, &decoded, &mut memo)?;
        if round > 0 {
            bare.push(count / bare_s);
            decode.push(count / decode_s);
            cold.push(count / cold_s);
            warm.push(count / warm_s);
        }
    }
    let (bare, cold, warm, decode) = (median(bare), median(cold), median(warm), median(decode));
    let mut figures = vec![
        Figure::new("admit, never seen", cold, "records/s").against(format!(
            "{:.2} of the bare strict signature check",
            cold / bare
        )),
        Figure::new("admit, signatures remembered", warm, "records/s").against(format!(
            "{:.1} of the bare strict signature check",
            warm / bare
        )),
        Figure::new("decode, canonical check and all", decode, "records/s"),
        Figure::new("bare strict signature check", bare, "signatures/s"),
        Figure::new(
            "a head, encoded",
            encoded.last().map_or(0, Vec::len) as f64,
            "bytes",
        )
        .at_most(1024.0),
    ];
    figures.extend(catch_up(&key)?);
    Ok(figures)
}

/// A node that missed many heads asks one that has them all, until it lacks nothing;
/// beside it what sending every head would take.
fn catch_up(key: &SecretKey) -> Result<Vec<Figure>> {
    // a root, a release, the head at which it left, and what it missed
    let (mesh_id, chain) = chain(key, 1 + BEHIND)?;
    let mut memo = Memo::default();
    let (mut full, mut left) = (Trust::new(mesh_id), Trust::new(mesh_id));
    for (place, envelope) in chain.iter().enumerate() {
        full.admit(envelope.clone(), NOW_S, &mut memo)?;
        if place < 3 {
            left.admit(envelope.clone(), NOW_S, &mut memo)?;
        }
    }
    let whole_bytes: usize = chain[3..]
        .iter()
        .map(|envelope| envelope.encode().len())
        .sum();
    let (mut seconds, mut bytes, mut trips) = (vec![], 0, 0);
    for _ in 0..ROUNDS {
        let (mut node, mut memo) = (left.clone(), Memo::default());
        (bytes, trips) = (0, 0);
        let start = Instant::now();
        while node.digest() != full.digest() {
            let have = node.have_in(Detail::List);
            bytes += codec::encode(&have).len();
            let batch = full.missing_for(&have, Exchange::All, BATCH_BYTES);
            ensure!(
                !batch.is_empty() && trips < BEHIND,
                "the node never catches up"
            );
            trips += 1;
            for envelope in &batch {
                let encoded = envelope.encode();
                bytes += encoded.len();
                node.admit(Envelope::decode(&encoded)?, NOW_S, &mut memo)?;
            }
        }
        seconds.push(start.elapsed().as_secs_f64());
    }
    let start = Instant::now();
    let (mut node, mut memo) = (left.clone(), Memo::default());
    for envelope in &chain[3..] {
        node.admit(envelope.clone(), NOW_S, &mut memo)?;
    }
    let whole_s = start.elapsed().as_secs_f64();
    let proven_s = median(seconds);
    Ok(vec![
        Figure::new("1,000 heads behind: round trips", trips as f64, "").at_most(2.0),
        Figure::new("1,000 heads behind: bytes both ways", bytes as f64, "bytes").against(format!(
            "{:.4} of all heads",
            bytes as f64 / whole_bytes as f64
        )),
        Figure::new("1,000 heads behind: both sides' work", proven_s * 1e3, "ms")
            .against(format!("{:.3} of checking every head", proven_s / whole_s)),
    ])
}

/// Seconds to admit everything into a fresh verifier.
fn admit(mesh_id: MeshId, records: &[Envelope], memo: &mut Memo) -> Result<f64> {
    let mut trust = Trust::new(mesh_id);
    let copies = records.to_vec();
    let start = Instant::now();
    for envelope in copies {
        let admitted = trust.admit(envelope, NOW_S, memo)?;
        ensure!(
            matches!(admitted, Admission::New(..)),
            "not admitted: {admitted:?}"
        );
    }
    Ok(start.elapsed().as_secs_f64())
}

/// A root, a release and a chain of heads.
fn chain(key: &SecretKey, heads: usize) -> Result<(MeshId, Vec<Envelope>)> {
    let name = |text: &str| text.parse::<Name>();
    let role = |text: &str, kind: Kind| -> Result<Role> {
        let (keys, kinds) = (vec![key.public()], vec![kind.number()]);
        Ok(Role {
            name: name(text)?,
            keys,
            threshold: 1,
            kinds,
            channels: Scope::All,
            sites: Scope::All,
        })
    };
    let roles = vec![role("head", Kind::Head)?, role("release", Kind::Release)?];
    let validity = Validity {
        from_s: NOW_S,
        until_s: u64::MAX,
    };
    let privacy = PrivacyFloors {
        k: 20,
        k_site_bp: 5_000,
        epsilon_milli: 1_000,
    };
    let genesis = Root::genesis(vec![key.public()], 1, roles, validity, privacy)?;
    let mesh_id = mesh_id_of(&genesis);
    let file = FileEntry {
        path: "model.gguf".to_owned(),
        length: 1,
        blake3: Hash::of(b"file"),
        chunk_map: Hash::of(b"map"),
    };
    let variant = Variant {
        quantization: name("q8_0")?,
        files: vec![file],
        requires: Requires::default(),
    };
    let release = Release {
        model: name("bench")?,
        version: "1.0.0".to_owned(),
        counter: 1,
        variants: vec![variant],
        tokenizer: None,
        template: None,
        base: None,
        probe_set: ProbeSet::default(),
        lineage: Lineage::default(),
        notes: String::new(),
        licence: "Apache-2.0".to_owned(),
        deltas: Vec::new(),
    };
    let sign = |kind, body| seal(kind, mesh_id, body, &[key]);
    let mut records = vec![
        sign(Kind::Root, codec::encode(&genesis)),
        sign(Kind::Release, codec::encode(&release)),
    ];
    let (mut trust, mut memo) = (Trust::new(mesh_id), Memo::default());
    for record in &records {
        trust.admit(record.clone(), NOW_S, &mut memo)?;
    }
    let release_id = records[1].record_id();
    for _ in 0..heads {
        let head = next_head(&trust, &name("stable")?, release_id, Hash::ZERO, NOW_S)?;
        let envelope = sign(Kind::Head, codec::encode(&head));
        trust.admit(envelope.clone(), NOW_S, &mut memo)?;
        records.push(envelope);
    }
    Ok((mesh_id, records))
}
