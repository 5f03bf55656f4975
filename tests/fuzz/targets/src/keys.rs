use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use weft_keys::{
    KeyFileError, Passphrase, PublicKey, SecretFile, load_public, parse_public, public_line,
    public_pem, save_encrypted, save_secret, sshsig,
};

use crate::{
    folder::with_folder,
    mesh::{ADMIN, key},
};

/// How a file begins and ends, and how long its lines are, by the first byte.
const ARMORS: [(&str, usize); 5] = [
    ("PRIVATE KEY", 64),
    ("ENCRYPTED PRIVATE KEY", 64),
    ("OPENSSH PRIVATE KEY", 70),
    ("PUBLIC KEY", 64),
    ("SSH SIGNATURE", 70),
];
const PUBLIC: usize = 3;
const SIGNATURE: usize = 4;
/// The armour is the input's, too.
const WHOLE_SECRET: usize = 5;
const WHOLE_PUBLIC: usize = 6;
const WHOLE_SIGNATURE: usize = 7;
const LINE: usize = 8;
/// A public line whose bytes are the input's, before the base64.
const LINE_BYTES: usize = 9;

const NAMESPACE: &str = "weft-fuzz";
const MESSAGE: &[u8] = b"a message";

/// Key files and signatures of OpenSSH and OpenSSL; what is inside the armour is the
/// input's, else the search would stay in the base64. What is read can be written and
/// is read again; no signature is by a key that did not make it.
pub(crate) fn keys(input: &[u8]) {
    let Some((form, bytes)) = input.split_first() else {
        return;
    };
    let form = usize::from(*form);
    match (ARMORS.get(form), std::str::from_utf8(bytes)) {
        (Some((label, width)), _) => read(form, &armored(label, *width, bytes)),
        (None, Ok(text)) if form < LINE => read(form, text),
        (None, Ok(text)) if form == LINE => line(text),
        (None, _) if form == LINE_BYTES => {
            line(&format!("ssh-ed25519 {} a comment", base64(bytes)));
        }
        _ => {}
    }
}

fn read(form: usize, text: &str) {
    match form {
        SIGNATURE | WHOLE_SIGNATURE => {
            let allowed = [key(ADMIN).public()];
            if let Ok(signer) = sshsig::verify(text, &allowed, NAMESPACE, MESSAGE) {
                assert_eq!(signer, allowed[0]);
                assert!(sshsig::verify(text, &[], NAMESPACE, MESSAGE).is_err());
                assert!(sshsig::verify(text, &allowed, NAMESPACE, &b"other"[..]).is_err());
            }
        }
        PUBLIC | WHOLE_PUBLIC => with_folder("keys", |_| (), |folder| public(folder, text)),
        _ => with_folder("keys", |_| (), |folder| secret(folder, text)),
    }
}

fn secret(folder: &Path, text: &str) {
    let path = folder.join("secret");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let Ok(file) = SecretFile::read(&path) else {
        return;
    };
    // a passphrase costs as much as its file asks for, within bounds: too slow for this
    match (file.is_encrypted(), file.open(None)) {
        (true, Err(KeyFileError::NeedsPassphrase { .. })) => {}
        (false, Ok(key)) => assert_eq!(
            load(folder, &public_pem(&key.public()).unwrap()),
            Some(key.public())
        ),
        (_, other) => panic!("{other:?}"),
    }
}

fn public(folder: &Path, text: &str) {
    if let Some(key) = load(folder, text) {
        assert_eq!(load(folder, &public_pem(&key).unwrap()), Some(key));
        line(&public_line(&key, "a comment").unwrap());
    }
}

fn load(folder: &Path, text: &str) -> Option<PublicKey> {
    let path = folder.join("public");
    fs::write(&path, text).unwrap();
    load_public(&path).ok()
}

fn line(text: &str) {
    if let Ok(key) = parse_public(text) {
        let again = public_line(&key, "").unwrap();
        assert_eq!(parse_public(&again).as_ref(), Ok(&key));
    }
}

fn armored(label: &str, width: usize, bytes: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in base64(bytes).as_bytes().chunks(width) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text + "-----END " + label + "-----\n"
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut three = [0; 4];
        three[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(three);
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place > group.len() {
                '='
            } else {
                digit.into()
            });
        }
    }
    text
}

/// What is inside an armour.
fn unarmored(text: &str) -> Vec<u8> {
    let digit = |byte: u8| DIGITS.iter().position(|digit| *digit == byte);
    let digits = text
        .lines()
        .filter(|line| !line.starts_with('-'))
        .flat_map(str::bytes)
        .filter_map(digit);
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for digit in digits {
        bits = bits << 6 | digit as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let admin = key(ADMIN);
    let folder = tempfile::tempdir().unwrap();
    let (plain, encrypted) = (folder.path().join("plain"), folder.path().join("encrypted"));
    save_secret(&plain, &admin).unwrap();
    let passphrase = Passphrase::new("a passphrase".to_owned().into()).unwrap();
    save_encrypted(&encrypted, &admin, &passphrase).unwrap();
    let [plain, encrypted] = [plain, encrypted].map(|path| fs::read_to_string(path).unwrap());
    let public = public_pem(&admin.public()).unwrap();
    let signature = sshsig::sign(&admin, NAMESPACE, MESSAGE).unwrap();
    let line = public_line(&admin.public(), "admin").unwrap();
    let with = |form: usize, bytes: &[u8]| {
        let mut seed = vec![form as u8];
        seed.extend(bytes);
        seed
    };
    vec![
        with(0, &unarmored(&plain)),
        with(1, &unarmored(&encrypted)),
        with(2, &openssh_secret()),
        with(PUBLIC, &unarmored(&public)),
        with(SIGNATURE, &unarmored(&signature)),
        with(WHOLE_SECRET, plain.as_bytes()),
        with(WHOLE_PUBLIC, public.as_bytes()),
        with(WHOLE_SIGNATURE, signature.as_bytes()),
        with(LINE, line.as_bytes()),
        with(LINE_BYTES, &openssh_public()),
    ]
}

fn openssh_public() -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, b"ssh-ed25519");
    put(&mut bytes, key(ADMIN).public().as_bytes());
    bytes
}

/// OpenSSH's own format, not encrypted.
fn openssh_secret() -> Vec<u8> {
    let admin = key(ADMIN);
    let mut private = vec![7; 8];
    private.extend(openssh_public());
    let pair = [&admin.seed()[..], admin.public().as_bytes()].concat();
    put(&mut private, &pair);
    put(&mut private, b"admin");
    for padding in 1..=(8 - private.len() % 8) % 8 {
        private.push(padding as u8);
    }
    let mut bytes = b"openssh-key-v1\0".to_vec();
    for text in ["none", "none", ""] {
        put(&mut bytes, text.as_bytes());
    }
    bytes.extend(1_u32.to_be_bytes());
    put(&mut bytes, &openssh_public());
    put(&mut bytes, &private);
    bytes
}

fn put(bytes: &mut Vec<u8>, field: &[u8]) {
    bytes.extend((field.len() as u32).to_be_bytes());
    bytes.extend(field);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_are_read() {
        for (form, seed) in seeds().iter().enumerate() {
            assert_eq!(usize::from(seed[0]), form);
            keys(seed);
        }
        let (label, width) = ARMORS[2];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, armored(label, width, &openssh_secret())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let read = SecretFile::read(&path).unwrap().open(None).unwrap();
        assert_eq!(read.public(), key(ADMIN).public());
    }
}
