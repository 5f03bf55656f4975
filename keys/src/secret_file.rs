//! A secret key as it lies in a file: PKCS#8, encrypted PKCS#8 or OpenSSH.

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, KeypairBytes},
};
use pkcs8::{
    EncodePrivateKey, EncryptedPrivateKeyInfoRef, LineEnding, PrivateKeyInfoRef, SecretDocument,
    der::pem::PemLabel,
    pkcs5::{
        self, EncryptionScheme,
        pbes2::{self, Kdf, ScryptParams},
    },
};
use ssh_key::{PrivateKey as OpensshKey, private::KeypairData};
use zeroize::Zeroizing;

use crate::{Passphrase, SecretKey, openssh};

/// What a passphrase costs to try, when weft writes: 16 MiB for scrypt, five times over,
/// which is what OWASP asks for and the most memory that OpenSSL 3 lends scrypt by default.
const SCRYPT_COST: u64 = 1 << 14;
const SCRYPT_BLOCK_SIZE: u16 = 8;
const SCRYPT_PARALLELIZATION: u16 = 5;

/// What reading may cost at most: a file that asks for more was made to exhaust the reader.
const MAX_SCRYPT_BYTES: u64 = 256 << 20;
/// Over all its parallel lanes, one after the other.
const MAX_SCRYPT_BYTES_WORKED: u64 = 1 << 30;
const MAX_PBKDF2_ITERATIONS: u32 = 10_000_000;
const MAX_BCRYPT_ROUNDS: u32 = 1024;

/// A secret key that may still be locked.
pub(crate) enum Stored {
    /// As it is.
    Open(SecretKey),
    /// Encrypted PKCS#8 in DER.
    Pkcs8(SecretDocument),
    /// Encrypted by `ssh-keygen`.
    Openssh(Box<OpensshKey>),
}

/// Why a passphrase opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// Another passphrase was used, or the file was damaged: the formats cannot tell.
    WrongPassphrase,
    /// It opens, but what it holds is not what it should be; or it cannot be opened at all.
    NotAKey(String),
}

impl Stored {
    /// Reads the text of a key file.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") {
            let key = OpensshKey::from_openssh(text).map_err(|error| error.to_string())?;
            return if key.is_encrypted() {
                affordable_bcrypt(&key)?;
                Ok(Self::Openssh(Box::new(key)))
            } else {
                from_openssh(&key).map(Self::Open)
            };
        }
        if text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") {
            let (label, document) =
                SecretDocument::from_pem(text).map_err(|error| error.to_string())?;
            EncryptedPrivateKeyInfoRef::validate_pem_label(label)
                .map_err(|error| error.to_string())?;
            affordable(&encrypted(&document)?.encryption_algorithm)?;
            return Ok(Self::Pkcs8(document));
        }
        let key = SigningKey::from_pkcs8_pem(text).map_err(|error| error.to_string())?;
        Ok(Self::Open(from_signing_key(&key)))
    }

    pub(crate) fn is_locked(&self) -> bool {
        !matches!(self, Self::Open(_))
    }

    /// Unlocks it; one that is open needs no passphrase.
    pub(crate) fn open(&self, passphrase: &Passphrase) -> Result<SecretKey, Locked> {
        match self {
            Self::Open(key) => Ok(key.clone()),
            Self::Pkcs8(document) => {
                let scheme = encrypted(document).map_err(Locked::NotAKey)?;
                let plain = scheme
                    .decrypt(passphrase.as_bytes())
                    .map_err(|error| match error {
                        pkcs8::Error::EncryptedPrivateKey(pkcs5::Error::DecryptFailed)
                        | pkcs8::Error::Asn1(_) => Locked::WrongPassphrase,
                        error => Locked::NotAKey(error.to_string()),
                    })?;
                let key = SigningKey::from_pkcs8_der(plain.as_bytes())
                    .map_err(|error| Locked::NotAKey(error.to_string()))?;
                Ok(from_signing_key(&key))
            }
            Self::Openssh(key) => {
                let open = key
                    .decrypt(passphrase.as_bytes())
                    .map_err(|error| match error {
                        ssh_key::Error::Crypto => Locked::WrongPassphrase,
                        error => Locked::NotAKey(error.to_string()),
                    })?;
                from_openssh(&open).map_err(Locked::NotAKey)
            }
        }
    }
}

/// PKCS#8 PEM of a key, encrypted if there is a passphrase.
pub(crate) fn to_pem(
    key: &SecretKey,
    passphrase: Option<&Passphrase>,
) -> Result<Zeroizing<String>, String> {
    // version 1 of PKCS#8, without the public key: older OpenSSL reads only this
    let plain = KeypairBytes {
        secret_key: *key.seed(),
        public_key: None,
    };
    let Some(passphrase) = passphrase else {
        return plain
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| error.to_string());
    };
    let (mut salt, mut iv) = ([0; 16], [0; 16]);
    getrandom::fill(&mut salt).map_err(|error| error.to_string())?;
    getrandom::fill(&mut iv).map_err(|error| error.to_string())?;
    let kdf = Kdf::Scrypt(ScryptParams {
        salt: pkcs5_salt(&salt)?,
        cost_parameter: SCRYPT_COST,
        block_size: SCRYPT_BLOCK_SIZE,
        parallelization: SCRYPT_PARALLELIZATION,
        key_length: None,
    });
    let encryption = pbes2::EncryptionScheme::Aes256Cbc { iv };
    let plain = plain.to_pkcs8_der().map_err(|error| error.to_string())?;
    let document = PrivateKeyInfoRef::try_from(plain.as_bytes())
        .and_then(|info| {
            info.encrypt_with_params(pbes2::Parameters { kdf, encryption }, passphrase.as_bytes())
        })
        .map_err(|error| error.to_string())?;
    document
        .to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
        .map_err(|error| error.to_string())
}

fn pkcs5_salt(bytes: &[u8; 16]) -> Result<pbes2::Salt, String> {
    pbes2::Salt::new(bytes).map_err(|error| error.to_string())
}

fn encrypted(document: &SecretDocument) -> Result<EncryptedPrivateKeyInfoRef<'_>, String> {
    EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| error.to_string())
}

/// Refuses parameters that would keep the reader busy, or that the library trips over.
fn affordable(scheme: &EncryptionScheme) -> Result<(), String> {
    let Some(parameters) = scheme.pbes2() else {
        return Err("it is encrypted by PBES1, which is broken; use PBES2".to_owned());
    };
    let fits = match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => (1..=MAX_PBKDF2_ITERATIONS).contains(&pbkdf2.iteration_count),
        Kdf::Scrypt(scrypt) => {
            let bytes = scrypt
                .cost_parameter
                .checked_mul(128)
                .and_then(|bytes| bytes.checked_mul(scrypt.block_size.into()));
            // the library takes the logarithm of a cost of zero
            scrypt.cost_parameter.is_power_of_two()
                && bytes.is_some_and(|bytes| {
                    let worked = bytes.saturating_mul(scrypt.parallelization.into());
                    bytes <= MAX_SCRYPT_BYTES && worked <= MAX_SCRYPT_BYTES_WORKED
                })
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err("its passphrase would cost more to try than weft spends".to_owned())
    }
}

fn affordable_bcrypt(key: &OpensshKey) -> Result<(), String> {
    match key.kdf() {
        ssh_key::Kdf::Bcrypt { rounds, .. } if (1..=MAX_BCRYPT_ROUNDS).contains(rounds) => Ok(()),
        ssh_key::Kdf::Bcrypt { rounds, .. } => Err(format!(
            "it asks for {rounds} rounds of bcrypt; weft takes 1 to {MAX_BCRYPT_ROUNDS}"
        )),
        _ => Err("it is encrypted in a way that weft does not know".to_owned()),
    }
}

fn from_signing_key(key: &SigningKey) -> SecretKey {
    let seed = Zeroizing::new(key.to_bytes());
    SecretKey::from_seed(*seed)
}

fn from_openssh(key: &OpensshKey) -> Result<SecretKey, String> {
    let KeypairData::Ed25519(pair) = key.key_data() else {
        return Err(format!("it is of kind {}", key.algorithm()));
    };
    let seed = Zeroizing::new(pair.private.to_bytes());
    let secret = SecretKey::from_seed(*seed);
    let public =
        openssh::from_key_data(key.public_key().key_data()).map_err(|error| error.to_string())?;
    if secret.public() == public {
        Ok(secret)
    } else {
        Err("its public half belongs to another key".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use pkcs8::der::pem;
    use proptest::prelude::*;

    use super::*;

    fn key() -> SecretKey {
        SecretKey::from_seed([9; 32])
    }

    fn word(text: &str) -> Passphrase {
        Passphrase::new(Zeroizing::new(text.to_owned())).unwrap()
    }

    /// Encrypted with parameters that cost nothing, so that many cases can be tried.
    fn cheap(kdf: Kdf) -> String {
        let parameters = pbes2::Parameters {
            kdf,
            encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: [5; 16] },
        };
        let pair = KeypairBytes {
            secret_key: *key().seed(),
            public_key: None,
        };
        let plain = pair.to_pkcs8_der().unwrap();
        let info = PrivateKeyInfoRef::try_from(plain.as_bytes()).unwrap();
        let document = info.encrypt_with_params(parameters, b"word").unwrap();
        let label = EncryptedPrivateKeyInfoRef::PEM_LABEL;
        document.to_pem(label, LineEnding::LF).unwrap().to_string()
    }

    fn pbkdf2(iterations: u32) -> String {
        cheap(
            pbes2::Pbkdf2Params::hmac_sha256(iterations, &[3; 16])
                .unwrap()
                .into(),
        )
    }

    fn scrypt(cost_parameter: u64) -> String {
        cheap(Kdf::Scrypt(ScryptParams {
            salt: pkcs5_salt(&[3; 16]).unwrap(),
            cost_parameter,
            block_size: 1,
            parallelization: 1,
            key_length: None,
        }))
    }

    fn openssh(rounds: Option<u32>) -> String {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(key().seed().as_ref());
        bytes[32..].copy_from_slice(key().public().as_bytes());
        openssh_of(&bytes, rounds)
    }

    fn openssh_of(bytes: &[u8; 64], rounds: Option<u32>) -> String {
        let pair = ssh_key::private::Ed25519Keypair::from_bytes(bytes).unwrap();
        let mut file = OpensshKey::new(KeypairData::Ed25519(pair), "me").unwrap();
        if let Some(rounds) = rounds {
            let salt = vec![3; 16];
            let kdf = ssh_key::Kdf::Bcrypt { salt, rounds };
            let cipher = ssh_key::Cipher::Aes256Ctr;
            file = file.encrypt_with(cipher, kdf, 1, b"word").unwrap();
        }
        file.to_openssh(ssh_key::LineEnding::LF)
            .unwrap()
            .to_string()
    }

    /// The bytes in a PEM text, however long its lines are.
    fn unwrap(text: &str) -> (String, Vec<u8>) {
        let text = lines_of(text, 64);
        let (label, bytes) = pem::decode_vec(text.as_bytes()).unwrap();
        (label.to_owned(), bytes)
    }

    fn wrap(label: &str, bytes: &[u8]) -> String {
        let text = pem::encode_string(label, LineEnding::LF, bytes).unwrap();
        lines_of(&text, if label.starts_with("OPENSSH") { 70 } else { 64 })
    }

    fn lines_of(text: &str, width: usize) -> String {
        let lines: Vec<&str> = text.lines().collect();
        let [first, body @ .., last] = &lines[..] else {
            panic!("no PEM: {text}");
        };
        let body = body.concat().into_bytes();
        let body = body.chunks(width).map(|line| str::from_utf8(line).unwrap());
        let lines: Vec<&str> = [*first].into_iter().chain(body).chain([*last]).collect();
        lines.join("\n") + "\n"
    }

    fn every_form() -> Vec<String> {
        let plain = to_pem(&key(), None).unwrap().to_string();
        vec![plain, pbkdf2(2), scrypt(2), openssh(None), openssh(Some(1))]
    }

    /// Whether a changed file still asks for so little that it can be tried.
    fn costs_little(stored: &Stored) -> bool {
        match stored {
            Stored::Open(_) => true,
            Stored::Pkcs8(document) => {
                let scheme = encrypted(document).unwrap().encryption_algorithm;
                match &scheme.pbes2().unwrap().kdf {
                    Kdf::Scrypt(scrypt) => {
                        let lanes =
                            u64::from(scrypt.block_size) * u64::from(scrypt.parallelization);
                        scrypt.cost_parameter * lanes < 1 << 12
                    }
                    kdf => kdf.pbkdf2().unwrap().iteration_count < 1 << 12,
                }
            }
            Stored::Openssh(key) => {
                matches!(key.kdf(), ssh_key::Kdf::Bcrypt { rounds, .. } if *rounds < 4)
            }
        }
    }

    #[test]
    fn every_form_opens_to_the_same_key_and_only_with_its_passphrase() {
        for text in every_form() {
            let stored = Stored::parse(&text).unwrap();
            let opened = stored.open(&word("word")).unwrap();
            assert_eq!(opened.public(), key().public(), "{text}");
            if stored.is_locked() {
                for wrong in 0..20 {
                    let refused = stored.open(&word(&format!("wrong {wrong}"))).unwrap_err();
                    assert_eq!(refused, Locked::WrongPassphrase, "{text}");
                }
            }
        }
    }
    #[test]
    fn what_weft_encrypts_it_reads_itself() {
        let text = to_pem(&key(), Some(&word("word"))).unwrap();
        let stored = Stored::parse(&text).unwrap();
        assert!(stored.is_locked());
        assert_eq!(stored.open(&word("word")).unwrap().public(), key().public());
        let again = to_pem(&key(), Some(&word("word"))).unwrap();
        assert_ne!(text, again, "salt and vector are new each time");
    }

    #[test]
    fn refuses_costs_that_exhaust_the_reader() {
        for text in [scrypt(2), pbkdf2(2), openssh(Some(1))] {
            assert!(Stored::parse(&text).is_ok());
        }
        let with = |kdf| {
            affordable(&EncryptionScheme::Pbes2(pbes2::Parameters {
                kdf,
                encryption: pbes2::EncryptionScheme::Aes256Cbc { iv: [5; 16] },
            }))
        };
        let scrypt = |cost_parameter, block_size, parallelization| {
            with(Kdf::Scrypt(ScryptParams {
                salt: pkcs5_salt(&[3; 16]).unwrap(),
                cost_parameter,
                block_size,
                parallelization,
                key_length: None,
            }))
        };
        assert!(scrypt(SCRYPT_COST, SCRYPT_BLOCK_SIZE, SCRYPT_PARALLELIZATION).is_ok());
        assert!(scrypt(1 << 17, 8, 1).is_ok());
        for (cost, block, lanes) in [
            (0, 8, 1),
            (3, 8, 1),
            (u64::MAX, 8, 1),
            (1 << 63, u16::MAX, 1),
            (1 << 22, 8, 1),
            (1 << 17, 8, 64),
            (2, u16::MAX, u16::MAX),
        ] {
            assert!(
                scrypt(cost, block, lanes).is_err(),
                "{cost} {block} {lanes}"
            );
        }
        for iterations in [0, MAX_PBKDF2_ITERATIONS + 1] {
            let salt = &[3; 16];
            let parameters = pbes2::Pbkdf2Params::hmac_sha256(iterations, salt).unwrap();
            assert!(with(parameters.into()).is_err());
        }
        // the rounds stand in the clear, behind the salt
        let text = openssh(Some(1));
        let (label, mut bytes) = unwrap(&text);
        let at = bytes
            .windows(20)
            .position(|window| window[..16] == [3; 16] && window[16..] == 1_u32.to_be_bytes());
        let at = at.unwrap() + 16;
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let text = wrap(&label, &bytes);
        let refused = Stored::parse(&text).err().unwrap();
        assert!(refused.contains("rounds"), "{refused}");
    }

    #[test]
    fn refuses_an_openssh_key_whose_halves_do_not_belong_together() {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(key().seed().as_ref());
        let other = SecretKey::from_seed([8; 32]).public();
        bytes[32..].copy_from_slice(other.as_bytes());
        let refused = Stored::parse(&openssh_of(&bytes, None)).err().unwrap();
        assert!(refused.contains("another key"), "{refused}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,300}") {
            prop_assert!(Stored::parse(&text).is_err());
        }

        #[test]
        fn a_file_cut_short_is_refused(form in 0_usize..5, share in 0.0_f64..1.0) {
            let text = &every_form()[form];
            // the end of the last line may be missing
            let length = (share * (text.len() - 2) as f64) as usize;
            prop_assert!(Stored::parse(&text[..length]).is_err());
        }

        #[test]
        fn flipped_bits_never_panic_and_never_give_another_key(
            form in 0_usize..5, flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8), 1..4),
        ) {
            let text = &every_form()[form];
            let (label, mut bytes) = unwrap(text);
            for (at, bit) in flips {
                let at = at.index(bytes.len());
                bytes[at] ^= 1_u8 << bit;
            }
            let text = wrap(&label, &bytes);
            if let Ok(stored) = Stored::parse(&text)
                && costs_little(&stored)
                && let Ok(opened) = stored.open(&word("word"))
                // PKCS#8 has nothing that notices a changed seed; OpenSSH has the public half
                && form >= 3
            {
                prop_assert_eq!(opened.public(), key().public());
            }
        }
    }
}
