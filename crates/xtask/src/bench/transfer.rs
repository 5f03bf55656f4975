//! One node gives 512 MiB to another over loopback: both real processes, beside what
//! a bare TCP connection and BLAKE3 do in the same run.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use safetensors::{Dtype, tensor::TensorView};

use super::{Figure, median};
use crate::shell;

const MIB: usize = 1 << 20;
/// What is sent.
const BYTES: usize = 512 * MIB;
/// Interleaved rounds.
const ROUNDS: usize = 3;
/// A round that takes longer has failed.
const ROUND_LIMIT: Duration = Duration::from_mins(3);

pub(crate) fn run() -> Result<Vec<Figure>> {
    let weft = shell::weft()?;
    let dir = tempfile::tempdir()?;
    let model = dir.path().join("model");
    random_model(&model, Shape::HALF_GIB, 0)?;
    let bundle = dir.path().join("release.weft");
    let call = |arguments: &[&str]| -> Result<serde_json::Value> {
        let weft = weft.to_str().context("a path that is not UTF-8")?;
        let text = shell::output(weft, &[&["--json"], arguments].concat())?;
        Ok(serde_json::from_str(
            text.lines().last().unwrap_or_default(),
        )?)
    };
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (model, bundle_path) = (path(&model), path(&bundle));
    call(&[
        "release",
        "pack",
        &model,
        "--name",
        "random",
        "--version",
        "1.0.0",
        "--quantization",
        "f16",
        "--no-probe",
        "--out",
        &bundle_path,
    ])?;
    let (mut tcp, mut hash, mut ours, mut cpu) = (vec![], vec![], vec![], vec![]);
    for round in 0..=ROUNDS {
        let (tcp_rate, hash_rate) = (loopback_bytes_per_sec()?, blake3_bytes_per_sec());
        let (rate, cpu_s) = one_to_one(&weft, dir.path(), round, &bundle_path, &call)?;
        // the first round warms the page cache up
        if round > 0 {
            tcp.push(tcp_rate);
            hash.push(hash_rate);
            ours.push(rate);
            cpu.push(cpu_s);
        }
    }
    let (tcp, hash, ours, cpu) = (median(tcp), median(hash), median(ours), median(cpu));
    Ok(vec![
        Figure::new("weft, one to one, 512 MiB", ours / 1e6, "MB/s").against(format!(
            "{:.2} of loopback TCP, {:.2} of BLAKE3",
            ours / tcp,
            ours / hash
        )),
        Figure::new("weft, CPU of both nodes", cpu, "s"),
        Figure::new("loopback TCP, one connection", tcp / 1e6, "MB/s"),
        Figure::new("BLAKE3, one thread", hash / 1e6, "MB/s"),
    ])
}

/// Publishes at a fresh node, then starts a second: from its first chunk to all bytes
/// held. Bytes a second, and CPU seconds of both meanwhile.
fn one_to_one(
    weft: &Path,
    dir: &Path,
    round: usize,
    bundle: &str,
    call: &dyn Fn(&[&str]) -> Result<serde_json::Value>,
) -> Result<(f64, f64)> {
    let home = |name: &str| {
        dir.join(format!("{name}-{round}"))
            .to_string_lossy()
            .into_owned()
    };
    let (giver, taker) = (home("giver"), home("taker"));
    let made = call(&[
        "--dir",
        &giver,
        "mesh",
        "init",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ])?;
    let key = made["key"].as_str().context("no key")?.to_owned();
    let giver_node = Running::start(weft, &giver)?;
    let wait =
        |home: &str, what: &dyn Fn(&serde_json::Value) -> bool| -> Result<serde_json::Value> {
            let start = Instant::now();
            while start.elapsed() < ROUND_LIMIT {
                if let Ok(status) = call(&["--dir", home, "status"])
                    && what(&status)
                {
                    return Ok(status);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            bail!("{home} did not get there within {ROUND_LIMIT:?}")
        };
    let up = wait(&giver, &|status| {
        status["addresses"]
            .as_array()
            .is_some_and(|a| !a.is_empty())
    })?;
    let address = up["addresses"][0]
        .as_str()
        .context("no address")?
        .to_owned();
    call(&["--dir", &giver, "release", "publish", bundle, "--key", &key])?;
    let invited = call(&["--dir", &giver, "mesh", "invite", "--address", &address])?;
    let invitation = invited["invitation"]
        .as_str()
        .context("no invitation")?
        .to_owned();
    call(&[
        "--dir",
        &taker,
        "mesh",
        "join",
        &invitation,
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ])?;
    let cpu_before = giver_node.cpu_s()?;
    let start = Instant::now();
    let taker_node = Running::start(weft, &taker)?;
    wait(&taker, &|status| {
        let fetch = &status["channels"][0]["fetch"];
        fetch["bytes_total"]
            .as_u64()
            .is_some_and(|total| total > 0 && fetch["bytes_held"].as_u64() == Some(total))
    })?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_s = giver_node.cpu_s()? - cpu_before + taker_node.cpu_s()?;
    drop((giver_node, taker_node));
    std::fs::remove_dir_all(&giver)?;
    std::fs::remove_dir_all(&taker)?;
    Ok((BYTES as f64 / seconds, cpu_s))
}

/// A node process that ends with this value.
struct Running(Child);

impl Running {
    fn start(weft: &Path, home: &str) -> Result<Self> {
        let mut command = Command::new(weft);
        command.args(["--dir", home, "up"]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// User and system time so far, from the kernel.
    fn cpu_s(&self) -> Result<f64> {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let fields: Vec<&str> = text[text.rfind(')').context("no command in stat")? + 2..]
            .split(' ')
            .collect();
        let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
        Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn loopback_bytes_per_sec() -> Result<f64> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let sender = std::thread::spawn(move || -> std::io::Result<()> {
        let (mut stream, _) = listener.accept()?;
        let block = vec![7_u8; MIB];
        for _ in 0..BYTES / MIB {
            stream.write_all(&block)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    let (mut block, mut got, start) = (vec![0_u8; MIB], 0, Instant::now());
    while got < BYTES {
        let read = stream.read(&mut block)?;
        anyhow::ensure!(read > 0, "the sender stopped early");
        got += read;
    }
    let seconds = start.elapsed().as_secs_f64();
    sender
        .join()
        .map_err(|_| anyhow::anyhow!("the sender panicked"))??;
    Ok(BYTES as f64 / seconds)
}

fn blake3_bytes_per_sec() -> f64 {
    let block = vec![7_u8; MIB];
    let start = Instant::now();
    for _ in 0..BYTES / MIB {
        std::hint::black_box(blake3::hash(&block));
    }
    BYTES as f64 / start.elapsed().as_secs_f64()
}

/// Moves the random weights of a changed layer to another place.
const CHANGED: u64 = 0x9e37_79b9_7f4a_7c15;

/// Sizes of a random model.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    hidden: usize,
    intermediate: usize,
    layers: usize,
    heads: usize,
    kv_heads: usize,
}

impl Shape {
    /// The shape of SmolLM2-135M, but for the vocabulary.
    pub(crate) const LLAMA_135M: Self = Self {
        hidden: 576,
        intermediate: 1536,
        layers: 30,
        heads: 9,
        kv_heads: 3,
    };
    /// About 512 MiB in F16.
    const HALF_GIB: Self = Self {
        hidden: 1024,
        intermediate: 4096,
        layers: 17,
        heads: 16,
        kv_heads: 8,
    };

    /// About 7.5 MiB a layer in F16.
    pub(crate) const fn narrow(layers: usize) -> Self {
        Self {
            hidden: 512,
            intermediate: 2048,
            layers,
            heads: 8,
            kv_heads: 4,
        }
    }
}

/// Writes a Hugging Face directory with random F16 weights and the demo's tokenizer. The
/// last `changed` layers are other ones than in a model of which none is changed.
pub(crate) fn random_model(dir: &Path, shape: Shape, changed: usize) -> Result<()> {
    random_weights(dir, shape, changed, 0)
}

/// The same, with another seed for other weights throughout.
pub(crate) fn random_weights(dir: &Path, shape: Shape, changed: usize, seed: u64) -> Result<()> {
    let tensors = all_but_weights(dir, shape)?;
    let layers = shape.layers;
    let first_changed = format!("model.layers.{}.", layers.saturating_sub(changed));
    let mut state = 0x2545_f491_4f6c_dd1d_u64 ^ seed.wrapping_mul(CHANGED);
    let data: HashMap<String, (Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, dims)| {
            let count: usize = dims.iter().product();
            let norm = dims.len() == 1;
            if changed > 0 && name.starts_with(&first_changed) {
                state ^= CHANGED;
            }
            let mut bytes = Vec::with_capacity(count * 2);
            for _ in 0..count {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let uniform = (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
                let value = if norm { 1.0 } else { uniform * 0.1 };
                bytes.extend_from_slice(&half::f16::from_f32(value).to_le_bytes());
            }
            (name, (dims, bytes))
        })
        .collect();
    let views = data
        .iter()
        .map(|(name, (dims, bytes))| Ok((name, TensorView::new(Dtype::F16, dims.clone(), bytes)?)))
        .collect::<Result<Vec<_>>>()?;
    safetensors::serialize_to_file(views, None, &dir.join("model.safetensors"))?;
    Ok(())
}

/// Writes a Hugging Face directory that lacks nothing but its weights; the tensors that these
/// have, with their measures.
pub(crate) fn all_but_weights(dir: &Path, shape: Shape) -> Result<Vec<(String, Vec<usize>)>> {
    std::fs::create_dir_all(dir)?;
    let asset = super::infer::newest_asset()?;
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(asset.join(name), dir.join(name))?;
    }
    let config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(asset.join("config.json"))?)?;
    let vocab = config["vocab_size"].as_u64().context("no vocab_size")? as usize;
    let Shape {
        hidden,
        intermediate,
        layers,
        heads,
        kv_heads,
    } = shape;
    let head_dim = hidden / heads;
    let config = serde_json::json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": intermediate, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "head_dim": head_dim,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "tie_word_embeddings": true, "hidden_act": "silu", "torch_dtype": "float16",
        "bos_token_id": config["bos_token_id"], "eos_token_id": config["eos_token_id"],
    });
    std::fs::write(dir.join("config.json"), serde_json::to_vec(&config)?)?;
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![vocab, hidden]),
        ("model.norm.weight".to_owned(), vec![hidden]),
    ];
    for layer in 0..layers {
        let kv = kv_heads * head_dim;
        for (name, dims) in [
            ("input_layernorm", vec![hidden]),
            ("post_attention_layernorm", vec![hidden]),
            ("self_attn.q_proj", vec![hidden, hidden]),
            ("self_attn.k_proj", vec![kv, hidden]),
            ("self_attn.v_proj", vec![kv, hidden]),
            ("self_attn.o_proj", vec![hidden, hidden]),
            ("mlp.gate_proj", vec![intermediate, hidden]),
            ("mlp.up_proj", vec![intermediate, hidden]),
            ("mlp.down_proj", vec![hidden, intermediate]),
        ] {
            tensors.push((format!("model.layers.{layer}.{name}.weight"), dims));
        }
    }
    Ok(tensors)
}
