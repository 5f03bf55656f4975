//! `weft release manifest`

use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use weft_keys::sshsig;
use weft_record::Name;

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    pack::Pack,
    progress::Spinner,
    signing::{self, Signer, words::hex},
    verbs::bundle::into_new_file,
};

/// What the detached signature is for.
const NAMESPACE: &str = "weft-release@weft";

/// Write an OpenSSF model-signing manifest of a release, and on wish sign it for ssh-keygen.
///
/// For those who have no weft: the manifest lists every file with its SHA-256, as the tools of
/// the OpenSSF model-signing specification do. The signature can be checked with
/// `ssh-keygen -Y verify -n weft-release@weft`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft release manifest incident.weft --out incident.json\n  weft release manifest incident.weft --out incident.json --key release.key --ssh-signature incident.json.sig"
)]
pub(crate) struct Manifest {
    /// A pack, or a bundle with a release
    file: PathBuf,
    /// Only this variant, its files not in a folder of their own
    #[arg(long, value_name = "QUANTIZATION")]
    variant: Option<Name>,
    /// The file to write; an existing one is never overwritten
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Sign the manifest with this key
    #[arg(long, value_name = "FILE", requires = "ssh_signature")]
    key: Option<PathBuf>,
    /// Where to write the signature
    #[arg(long, value_name = "FILE", requires = "key")]
    ssh_signature: Option<PathBuf>,
}

/// An in-toto statement about a model, as the model-signing specification has it.
#[derive(Serialize)]
struct Statement {
    #[serde(rename = "_type")]
    kind: &'static str,
    subject: [Subject; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'static str,
    predicate: Predicate,
}

#[derive(Serialize)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize)]
struct SubjectDigest {
    sha256: String,
}

#[derive(Serialize)]
struct Predicate {
    serialization: Serialization,
    resources: Vec<Resource>,
}

#[derive(Serialize)]
struct Serialization {
    method: &'static str,
    hash_type: &'static str,
    allow_symlinks: bool,
}

#[derive(Serialize)]
struct Resource {
    name: String,
    algorithm: &'static str,
    digest: String,
}

#[derive(Serialize)]
struct Report<'a> {
    file: &'a Path,
    model: &'a str,
    sha256: &'a str,
    files: usize,
    ssh_signature: Option<&'a Path>,
    verify: Option<String>,
}

impl Manifest {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        signing::refuse_existing(Some(&self.out))?;
        signing::refuse_existing(self.ssh_signature.as_deref())?;
        let signer = self.key.as_deref().map(Signer::open).transpose()?;
        let pack = Pack::open(&self.file)?;
        let variants = pack.release.variants.iter().map(|one| &one.quantization);
        if let Some(name) = &self.variant
            && !variants.clone().any(|one| one == name)
        {
            let known: Vec<&str> = variants.map(Name::as_str).collect();
            return Err(Failure::new(
                Exit::NotFound,
                format!("{} has no variant {name}", self.file.display()),
                format!("its variants are {}", known.join(", ")),
                format!("weft release inspect {}", quoted(&self.file)),
            ));
        }
        let spinner = Spinner::start(context.output, "hashing the files");
        let statement = statement(&pack, self.variant.as_ref())?;
        drop(spinner);
        let failed = |why: String| Failure::new(Exit::Failed, "no manifest was written", why, "");
        let mut text =
            serde_json::to_vec_pretty(&statement).map_err(|error| failed(error.to_string()))?;
        text.push(b'\n');
        let write = |path: &Path, bytes: &[u8]| {
            into_new_file(path, |out| {
                out.write_all(bytes).map_err(|error| {
                    Failure::file(format!("{} cannot be written", path.display()), &error)
                })
            })
        };
        let signature = match &signer {
            None => None,
            Some(signer) => Some(
                sshsig::sign(signer.secret(), NAMESPACE, text.as_slice())
                    .map_err(|error| failed(error.to_string()))?,
            ),
        };
        write(&self.out, &text)?;
        if let (Some(path), Some(signature)) = (&self.ssh_signature, &signature) {
            write(path, signature.as_bytes())?;
        }
        let verify = self.ssh_signature.as_ref().map(|path| {
            format!(
                "ssh-keygen -Y verify -f allowed_signers -I SIGNER -n {NAMESPACE} -s {} < {}",
                quoted(path),
                quoted(&self.out)
            )
        });
        let [subject] = &statement.subject;
        let report = Report {
            file: &self.out,
            model: &subject.name,
            sha256: &subject.digest.sha256,
            files: statement.predicate.resources.len(),
            ssh_signature: self.ssh_signature.as_deref(),
            verify,
        };
        context.output.result(&report, |style| {
            let next = match &report.verify {
                Some(verify) => format!("Next: {}\n", style.bold(verify)),
                None => String::new(),
            };
            format!(
                "{}: {} files of {}, SHA-256 {}\n{next}",
                report.file.display(),
                report.files,
                report.model,
                report.sha256
            )
        })
    }
}

fn statement(pack: &Pack, variant: Option<&Name>) -> Result<Statement, Failure> {
    let mut hashers: Vec<(String, Sha256)> = Vec::new();
    let single = variant.is_some() || pack.release.variants.len() == 1;
    pack.read_files(
        |one| variant.is_none_or(|name| one.quantization == *name),
        |one, file, bytes| {
            // several variants hold files of one name
            let name = if single {
                file.path.clone()
            } else {
                format!("{}/{}", one.quantization, file.path)
            };
            match hashers.last_mut() {
                Some((last, hasher)) if *last == name => hasher.update(bytes),
                _ => hashers.push((name, Sha256::new_with_prefix(bytes))),
            }
            Ok(())
        },
    )?;
    hashers.sort_by(|a, b| a.0.cmp(&b.0));
    let mut whole = Sha256::new();
    let resources = hashers.into_iter().map(|(name, hasher)| {
        let digest = hasher.finalize();
        whole.update(digest);
        Resource {
            name,
            algorithm: "sha256",
            digest: hex(&digest),
        }
    });
    let resources = resources.collect();
    let release = &pack.release;
    Ok(Statement {
        kind: "https://in-toto.io/Statement/v1",
        subject: [Subject {
            name: format!("{}-{}", release.model, release.version),
            digest: SubjectDigest {
                sha256: hex(&whole.finalize()),
            },
        }],
        predicate_type: "https://model_signing/signature/v1.0",
        predicate: Predicate {
            serialization: Serialization {
                method: "files",
                hash_type: "sha256",
                allow_symlinks: false,
            },
            resources,
        },
    })
}
