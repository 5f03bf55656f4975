//! Key files as verbs open them: an encrypted one asks for its passphrase.

use std::{io::IsTerminal as _, path::Path};

use weft_keys::{Passphrase, SecretFile, SecretKey};

use crate::{
    context::quoted,
    failure::{Exit, Failure},
    refusals,
};

/// Holds a passphrase. A word of the command line would be seen by every user of the
/// machine; this is seen by the same user only.
const PASSPHRASE: &str = "WEFT_PASSPHRASE";
/// Names a file with a passphrase on its first line.
const PASSPHRASE_FILE: &str = "WEFT_PASSPHRASE_FILE";

/// A key, and the passphrase that opened it if it was encrypted.
pub(crate) struct Opened {
    pub(crate) key: SecretKey,
    pub(crate) passphrase: Option<Passphrase>,
}

/// Reads a key file, encrypted or not.
pub(crate) fn load_key(path: &Path) -> Result<SecretKey, Failure> {
    open_key(path).map(|opened| opened.key)
}

/// Reads a key file, and tells what it was opened with.
pub(crate) fn open_key(path: &Path) -> Result<Opened, Failure> {
    let refused = |error| refusals::key_file(path, &error);
    let file = SecretFile::read(path).map_err(refused)?;
    let passphrase = if file.is_encrypted() {
        let given = given_passphrase()?;
        let passphrase = match given {
            Some(passphrase) => passphrase,
            None => ask(&format!("Passphrase of {}: ", path.display()))
                .unwrap_or_else(|| Err(nobody_to_ask(path)))?,
        };
        Some(passphrase)
    } else {
        None
    };
    let key = file.open(passphrase.as_ref()).map_err(refused)?;
    Ok(Opened { key, passphrase })
}

/// A passphrase for a new key file: from the environment, or typed twice.
pub(crate) fn new_passphrase(path: &Path) -> Result<Passphrase, Failure> {
    if let Some(passphrase) = given_passphrase()? {
        return Ok(passphrase);
    }
    let first = ask(&format!("New passphrase for {}: ", path.display()));
    let first = first.unwrap_or_else(|| {
        Err(Failure::new(
            Exit::Refused,
            format!("{} was not written", path.display()),
            format!(
                "there is nobody to ask for a passphrase: {PASSPHRASE} and {PASSPHRASE_FILE} are not set, and the standard input is no terminal"
            ),
            "give --passphrase-file FILE",
        ))
    })?;
    let again = ask("The same again: ").unwrap_or_else(|| Err(terminal_gone()))?;
    if first == again {
        Ok(first)
    } else {
        Err(Failure::new(
            Exit::Refused,
            format!("{} was not written", path.display()),
            "the two passphrases differ",
            "try again",
        ))
    }
}

/// A passphrase on the first line of a file.
pub(crate) fn passphrase_file(path: &Path) -> Result<Passphrase, Failure> {
    Passphrase::from_file(path).map_err(|error| refusals::passphrase(&error))
}

/// The passphrase in the environment; an empty variable counts as none.
fn given_passphrase() -> Result<Option<Passphrase>, Failure> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(text) = set(PASSPHRASE) {
        let text = text.into_string().map_err(|_| {
            Failure::new(
                Exit::Usage,
                format!("{PASSPHRASE} cannot be used"),
                "it is not UTF-8",
                format!("put the passphrase in a file, and its name in {PASSPHRASE_FILE}"),
            )
        })?;
        let passphrase = Passphrase::new(text.into());
        return passphrase
            .map(Some)
            .map_err(|error| refusals::passphrase(&error));
    }
    set(PASSPHRASE_FILE)
        .map(|path| passphrase_file(Path::new(&path)))
        .transpose()
}

/// Asks on the terminal, without showing what is typed; nothing where there is none.
fn ask(question: &str) -> Option<Result<Passphrase, Failure>> {
    if !std::io::stdin().is_terminal() {
        return None;
    }
    Some(match rpassword::prompt_password(question) {
        Ok(text) => Passphrase::new(text.into()).map_err(|error| refusals::passphrase(&error)),
        Err(error) => Err(Failure::file("no passphrase was read", &error)),
    })
}

fn nobody_to_ask(path: &Path) -> Failure {
    Failure::new(
        Exit::Refused,
        format!("the key file {} cannot be used", path.display()),
        format!(
            "it is encrypted, {PASSPHRASE} and {PASSPHRASE_FILE} are not set, and the standard input is no terminal"
        ),
        format!("{PASSPHRASE_FILE}=FILE weft key show {}", quoted(path)),
    )
}

fn terminal_gone() -> Failure {
    Failure::new(
        Exit::Failed,
        "no passphrase was read",
        "the terminal went away",
        "try again",
    )
}
