//! A mesh with one admin, a tiny model to release, and nodes that run in threads.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use weft_keys::SecretKey;
use weft_model::{ModelSource, Quantization};
use weft_node::{Home, Options, Ready, Settings, client::Client, report::StatusReport};
use weft_record::{
    Enroll, Envelope, FileEntry, Hash, Kind, Lineage, Memo, MeshId, Name, PrivacyFloors, Probe,
    ProbeLimits, ProbeSet, Release, Requires, Role, Root, Scope, Trust, Validity, Variant,
    bundle::Encoder, codec, seal,
};

/// Longest wait for anything in these tests; all of it takes a few seconds.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) const CHANNEL: &str = "stable";
pub(crate) const MODEL: &str = "tiny";

/// The time of signing; the roots are valid for a year around it.
fn now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

pub(crate) fn channel() -> Name {
    CHANNEL.parse().unwrap()
}

/// Who signs.
pub(crate) struct Admin {
    key: SecretKey,
    trust: Trust,
    memo: Memo,
}

impl Admin {
    pub(crate) fn new() -> Self {
        let key = SecretKey::generate().unwrap();
        let role = |name: &str, kind: Kind| Role {
            name: name.parse().unwrap(),
            keys: vec![key.public()],
            threshold: 1,
            kinds: vec![kind.number()],
            channels: Scope::All,
            sites: Scope::All,
        };
        let genesis = Root::genesis(
            vec![key.public()],
            1,
            vec![
                role("enroll", Kind::Enroll),
                role("head", Kind::Head),
                role("release", Kind::Release),
            ],
            Validity {
                from_s: now_s() - 1_000,
                until_s: now_s() + 365 * 86_400,
            },
            PrivacyFloors {
                k: 20,
                k_site_bp: 5_000,
                epsilon_milli: 1_000,
            },
        )
        .unwrap();
        let mut admin = Self {
            trust: Trust::new(genesis.mesh_id),
            memo: Memo::default(),
            key,
        };
        admin.sign(Kind::Root, codec::encode(&genesis));
        admin
    }

    pub(crate) fn mesh_id(&self) -> MeshId {
        self.trust.mesh_id()
    }

    fn sign(&mut self, kind: Kind, body: Vec<u8>) -> Envelope {
        let envelope = seal(kind, self.mesh_id(), body, &[&self.key]);
        self.trust
            .admit(envelope.clone(), now_s(), &mut self.memo)
            .unwrap();
        envelope
    }

    /// Signs a release of this model and a head for it.
    pub(crate) fn release(&mut self, model: &Packed, version: &str, probes: Vec<Probe>) {
        let release = Release {
            model: MODEL.parse().unwrap(),
            version: version.to_owned(),
            counter: 1,
            variants: vec![Variant {
                quantization: "q8_0".parse().unwrap(),
                files: vec![model.entry.clone()],
                requires: Requires::default(),
            }],
            tokenizer: None,
            template: None,
            base: None,
            probe_set: ProbeSet {
                probes,
                limits: ProbeLimits {
                    min_match_bp: 10_000,
                    ..ProbeLimits::default()
                },
            },
            lineage: Lineage::default(),
            notes: String::new(),
            licence: "Apache-2.0".to_owned(),
            deltas: Vec::new(),
        };
        let id = self
            .sign(Kind::Release, codec::encode(&release))
            .record_id();
        let policy = Hash::of(&[]);
        let head = weft_record::next_head(&self.trust, &channel(), id, policy, now_s()).unwrap();
        self.sign(Kind::Head, codec::encode(&head));
    }

    /// Everything signed so far, and the chunks of these models that `keep` wants.
    pub(crate) fn bundle(
        &self,
        path: &Path,
        models: &[&Packed],
        keep: impl Fn(usize) -> bool,
    ) -> PathBuf {
        let (mut encoder, mut bytes) = Encoder::new(self.mesh_id());
        for record in self.trust.records() {
            bytes.extend(encoder.record(&record.encode()).unwrap());
        }
        for model in models {
            let map = weft_model::chunk_map(&model.path).unwrap();
            bytes.extend(encoder.blob(&map.encode()).unwrap());
            let file = fs::read(&model.path).unwrap();
            let mut at = 0;
            for (index, chunk) in map.chunks.iter().enumerate() {
                let end = at + chunk.length as usize;
                if keep(index) {
                    bytes.extend(encoder.chunk(&file[at..end]).unwrap());
                }
                at = end;
            }
        }
        bytes.extend(encoder.finish());
        fs::write(path, bytes).unwrap();
        path.to_owned()
    }

    /// An enrolled node of this mesh that listens on loopback.
    pub(crate) fn home(&self, directory: &Path, bootstrap: &[String]) -> Home {
        let mut settings = Settings::new(self.mesh_id(), vec![channel()]);
        settings.listen = vec!["/ip4/127.0.0.1/tcp/0".to_owned()];
        settings.bootstrap = bootstrap.to_vec();
        settings.mdns = false;
        let home = Home::init(directory, settings, None).unwrap();
        let enroll = Enroll {
            node: home.key(),
            number: 0,
            site: "here".parse().unwrap(),
            owner: "here".parse().unwrap(),
            labels: Vec::new(),
            class: weft_node::default_class(),
            issued_at_s: now_s(),
            expires_s: now_s() + 86_400,
        };
        let enroll = seal(
            Kind::Enroll,
            self.mesh_id(),
            codec::encode(&enroll),
            &[&self.key],
        );
        let (mut encoder, mut bytes) = Encoder::new(self.mesh_id());
        let root = self.trust.root().unwrap().envelope();
        for record in [root, &enroll] {
            bytes.extend(encoder.record(&record.encode()).unwrap());
        }
        bytes.extend(encoder.finish());
        let path = directory.join("begin.weft");
        fs::write(&path, bytes).unwrap();
        let report = weft_node::import_offline(&home, &path).unwrap();
        assert!(report.refused.is_empty(), "{report:?}");
        home
    }
}

/// A model as it is released.
pub(crate) struct Packed {
    pub(crate) path: PathBuf,
    pub(crate) entry: FileEntry,
}

/// The tiny model of the engine's tests, with a chat template, as a GGUF file.
pub(crate) fn pack(folder: &Path, fixture: &str) -> Packed {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../weft-infer/fixtures")
        .join(fixture);
    let directory = folder.join(fixture);
    fs::create_dir_all(&directory).unwrap();
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        fs::copy(source.join(name), directory.join(name)).unwrap();
    }
    let text = fs::read_to_string(source.join("tokenizer_config.json")).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["chat_template"] =
        "{% for message in messages %}{{ message.content }}\n{% endfor %}".into();
    fs::write(directory.join("tokenizer_config.json"), config.to_string()).unwrap();
    let path = folder.join(format!("{fixture}.gguf"));
    let source = ModelSource::open(&directory).unwrap();
    weft_model::quantize(&source, Quantization::Q8_0, &path).unwrap();
    let bytes = fs::read(&path).unwrap();
    let entry = FileEntry {
        path: "model.gguf".to_owned(),
        length: bytes.len() as u64,
        blake3: Hash::of(&bytes),
        chunk_map: weft_model::chunk_map(&path).unwrap().hash(),
    };
    Packed { path, entry }
}

/// A golden prompt with the answers that this very model gives.
pub(crate) fn probe(model: &Packed, prompt: &str) -> Probe {
    let mut probe = Probe {
        prompt: prompt.to_owned(),
        max_tokens: 8,
        expected: vec![Vec::new()],
    };
    let measured = weft_node::measure_probes(&model.path, std::slice::from_ref(&probe)).unwrap();
    probe.expected = measured.answers;
    probe
}

/// A node that runs in a thread of this process.
pub(crate) struct Running {
    pub(crate) client: Client,
    thread: thread::JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(home: Home) -> Self {
        let (sender, ready) = mpsc::sync_channel::<Ready>(1);
        let directory = home.directory().to_owned();
        let thread = thread::spawn(move || {
            let mut options = Options::default();
            options.on_ready = Some(Box::new(move |ready| sender.send(ready.clone()).unwrap()));
            weft_node::run(&home, options).unwrap();
        });
        ready.recv_timeout(PATIENCE).unwrap();
        Self {
            client: Client::connect(&directory).unwrap(),
            thread,
        }
    }

    /// The first address at which others reach it.
    pub(crate) fn address(&self) -> String {
        let status = self.wait("it listens", |status| !status.listen.is_empty());
        status.listen[0].clone()
    }

    /// Waits until its status is as wanted.
    pub(crate) fn wait(&self, what: &str, wanted: impl Fn(&StatusReport) -> bool) -> StatusReport {
        let start = Instant::now();
        loop {
            let status = self.client.status().unwrap();
            if wanted(&status) {
                return status;
            }
            assert!(
                start.elapsed() < PATIENCE,
                "{what} did not come: {status:#?}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn stop(self) {
        self.client.stop().unwrap();
        self.thread.join().unwrap();
    }
}
