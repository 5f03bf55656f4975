//! `weft key new|import|export|show`

use std::path::{Path, PathBuf};

use serde::Serialize;
use weft_keys::{KeyFileError, OpensshError, Passphrase, PublicKey, SecretKey};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    keys,
    output::fields,
    refusals,
    verbs::bundle::into_new_file,
};

/// Make, convert or look at a key file.
#[derive(clap::Subcommand)]
pub(crate) enum Key {
    New(New),
    Import(Import),
    Export(Export),
    Show(Show),
}

/// Make an Ed25519 key in a new file that only you can read.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  weft key new admin.key\n  weft key new root.key --passphrase")]
pub(crate) struct New {
    /// The file to make; an existing one is never overwritten
    file: PathBuf,
    #[command(flatten)]
    encryption: Encryption,
}

/// Take over a key that OpenSSL or OpenSSH made, into a new file.
///
/// Reads PKCS#8, encrypted PKCS#8 and OpenSSH's format, and writes PKCS#8. A key that is
/// encrypted stays so, with its passphrase, unless another is given.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft key import ~/.ssh/id_ed25519 admin.key")]
pub(crate) struct Import {
    /// The key file to read
    from: PathBuf,
    /// The file to make; an existing one is never overwritten
    file: PathBuf,
    #[command(flatten)]
    encryption: Encryption,
    /// Write the key as it is, although it was encrypted
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file"])]
    no_passphrase: bool,
}

/// Write a key in the format of another program.
///
/// The secret half is only ever written to a new file, never to standard output.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft key export admin.key --format openssh-public\n  weft key export admin.key --format allowed-signers --identity admin@site >> allowed_signers"
)]
pub(crate) struct Export {
    /// The key file; a public one does for all formats but pkcs8
    file: PathBuf,
    /// The format
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// The file to make; an existing one is never overwritten [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Whose it is, for the OpenSSH formats [default: the file's name without its ending]
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    #[command(flatten)]
    encryption: Encryption,
    /// Write the key as it is, although it was encrypted
    #[arg(long, conflicts_with_all = ["passphrase", "passphrase_file"])]
    no_passphrase: bool,
}

/// Show the public half of a key file, secret or public.
///
/// A file that others can read is refused with exit code 6, one that holds no key with 5.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  weft key show admin.key")]
pub(crate) struct Show {
    /// The key file
    file: PathBuf,
}

/// What a new file is encrypted with. The passphrase itself is never on the command line.
#[derive(clap::Args)]
struct Encryption {
    /// Encrypt the new file: asks for a passphrase, or takes WEFT_PASSPHRASE or the first
    /// line of the file that WEFT_PASSPHRASE_FILE names
    #[arg(long)]
    passphrase: bool,
    /// Encrypt the new file with the first line of this one
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase")]
    passphrase_file: Option<PathBuf>,
}

/// What other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Format {
    /// The secret key, as OpenSSL reads it
    Pkcs8,
    /// One line, as in authorized_keys
    OpensshPublic,
    /// The public key in SPKI PEM, as OpenSSL reads it
    Public,
    /// One line, by which ssh-keygen -Y verify knows who may sign
    AllowedSigners,
}

#[derive(Serialize)]
struct Report {
    file: PathBuf,
    public_key: String,
    encrypted: bool,
}

impl Key {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::New(verb) => verb.run(context),
            Self::Import(verb) => verb.run(context),
            Self::Export(verb) => verb.run(context),
            Self::Show(verb) => verb.run(context),
        }
    }
}

impl New {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let passphrase = self.encryption.passphrase(&self.file)?;
        let key = generate()?;
        save(&self.file, &key, passphrase.as_ref())?;
        report(context, self.file, &key, passphrase.is_some())
    }
}

impl Import {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let opened = keys::open_key(&self.from)?;
        let passphrase = match self.encryption.passphrase(&self.file)? {
            None if self.no_passphrase => None,
            None => opened.passphrase,
            given => given,
        };
        save(&self.file, &opened.key, passphrase.as_ref())?;
        report(context, self.file, &opened.key, passphrase.is_some())
    }
}

impl Export {
    fn run(self, context: &Context) -> Result<(), Failure> {
        if self.format == Format::Pkcs8 {
            return self.secret(context);
        }
        if self.encryption.is_asked() || self.no_passphrase {
            return Err(Failure::new(
                Exit::Usage,
                "a public key is not encrypted",
                "only --format pkcs8 writes the secret half",
                format!("weft key export {} --format pkcs8", quoted(&self.file)),
            ));
        }
        let (key, _) = read_public(&self.file)?;
        let text = self.text(&key)?;
        #[derive(Serialize)]
        struct Exported<'a> {
            file: &'a Path,
            format: Format,
            out: Option<&'a Path>,
            text: &'a str,
        }
        if let Some(out) = &self.out {
            into_new_file(out, |file| {
                let what = || format!("{} cannot be written", out.display());
                file.write_all(text.as_bytes())
                    .map_err(|error| Failure::file(what(), &error))
            })?;
        }
        let exported = Exported {
            file: &self.file,
            format: self.format,
            out: self.out.as_deref(),
            text: &text,
        };
        context.output.result(&exported, |style| match &self.out {
            Some(out) => fields(style, &[("written", out.display().to_string())]),
            None => text.clone(),
        })
    }

    fn secret(self, context: &Context) -> Result<(), Failure> {
        let Some(out) = &self.out else {
            return Err(Failure::new(
                Exit::Usage,
                "the secret key is not written to standard output",
                "it would stay in the terminal's memory, or in a file that others can read",
                format!(
                    "weft key export {} --format pkcs8 --out NEW_FILE",
                    quoted(&self.file)
                ),
            ));
        };
        let import = Import {
            from: self.file.clone(),
            file: out.clone(),
            encryption: self.encryption,
            no_passphrase: self.no_passphrase,
        };
        import.run(context)
    }

    /// The public half, with the end of its last line.
    fn text(&self, key: &PublicKey) -> Result<String, Failure> {
        let identity = self.identity.clone().unwrap_or_else(|| {
            let stem = self.file.file_stem().unwrap_or_default();
            stem.to_string_lossy().into_owned()
        });
        let refused = |error: OpensshError| {
            Failure::new(
                Exit::Usage,
                format!("`{identity}` cannot be written"),
                error.to_string(),
                "give --identity NAME",
            )
        };
        match self.format {
            Format::OpensshPublic => weft_keys::public_line(key, &identity)
                .map(|line| line + "\n")
                .map_err(refused),
            Format::AllowedSigners => weft_keys::allowed_signer_line(key, &identity)
                .map(|line| line + "\n")
                .map_err(refused),
            Format::Public | Format::Pkcs8 => weft_keys::public_pem(key).map_err(|error| {
                Failure::new(
                    Exit::Verification,
                    format!("{} cannot be exported", self.file.display()),
                    error.to_string(),
                    format!("weft key show {}", quoted(&self.file)),
                )
            }),
        }
    }
}

impl Show {
    fn run(self, context: &Context) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Shown {
            file: PathBuf,
            public_key: String,
            openssh: String,
            secret: bool,
            encrypted: bool,
        }
        let (key, half) = read_public(&self.file)?;
        let openssh = weft_keys::public_line(&key, "").map_err(|error| {
            let what = format!("{} cannot be shown", self.file.display());
            Failure::new(Exit::Verification, what, error.to_string(), "")
        })?;
        let shown = Shown {
            file: self.file,
            public_key: key.to_string(),
            openssh,
            secret: half != Half::Public,
            encrypted: half == Half::Encrypted,
        };
        context.output.result(&shown, |style| {
            let holds = match half {
                Half::Public => "a public key",
                Half::Secret => "a secret key",
                Half::Encrypted => "a secret key, encrypted",
            };
            fields(
                style,
                &[
                    ("file", shown.file.display().to_string()),
                    ("holds", holds.to_owned()),
                    ("public key", shown.public_key.clone()),
                    ("openssh", shown.openssh.clone()),
                ],
            )
        })
    }
}

impl Encryption {
    fn is_asked(&self) -> bool {
        self.passphrase || self.passphrase_file.is_some()
    }

    /// What a new file is to be encrypted with, if it is.
    fn passphrase(&self, file: &Path) -> Result<Option<Passphrase>, Failure> {
        match &self.passphrase_file {
            Some(path) => keys::passphrase_file(path).map(Some),
            None if self.passphrase => keys::new_passphrase(file).map(Some),
            None => Ok(None),
        }
    }
}

/// What a key file holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Public,
    Secret,
    Encrypted,
}

/// The public key of a file, be it the public or the secret half.
fn read_public(file: &Path) -> Result<(PublicKey, Half), Failure> {
    match weft_keys::load_public(file) {
        Ok(key) => return Ok((key, Half::Public)),
        Err(error @ KeyFileError::Refused { .. }) => {
            return Err(refusals::key_file(file, &error));
        }
        // most likely a secret key: what is wrong with that is what counts
        Err(_) => {}
    }
    let opened = keys::open_key(file)?;
    let half = match opened.passphrase {
        Some(_) => Half::Encrypted,
        None => Half::Secret,
    };
    Ok((opened.key.public(), half))
}

/// Makes a key and keeps it in a new file.
pub(crate) fn new_key(file: &Path) -> Result<SecretKey, Failure> {
    let key = generate()?;
    save(file, &key, None)?;
    Ok(key)
}

fn generate() -> Result<SecretKey, Failure> {
    SecretKey::generate().map_err(|error| {
        Failure::new(
            Exit::Failed,
            "no key could be made",
            error.to_string(),
            "try again",
        )
    })
}

fn save(file: &Path, key: &SecretKey, passphrase: Option<&Passphrase>) -> Result<(), Failure> {
    match passphrase {
        Some(passphrase) => weft_keys::save_encrypted(file, key, passphrase),
        None => weft_keys::save_secret(file, key),
    }
    .map_err(|error| refusals::key_file(file, &error))
}

fn report(
    context: &Context,
    file: PathBuf,
    key: &SecretKey,
    encrypted: bool,
) -> Result<(), Failure> {
    let report = Report {
        file,
        public_key: key.public().to_string(),
        encrypted,
    };
    context.output.result(&report, |style| {
        fields(
            style,
            &[
                ("file", report.file.display().to_string()),
                ("public key", report.public_key.clone()),
                ("encrypted", if encrypted { "yes" } else { "no" }.to_owned()),
            ],
        )
    })
}
