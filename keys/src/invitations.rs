//! Invitations that were given out, and who used them, kept through restarts.

use std::{collections::BTreeMap, fmt, path::Path};

use zeroize::Zeroizing;

use crate::{LedgerError, PublicKey, hex, ledger::Ledger};

/// The first line of the file.
const KIND: &str = "weft-invitations-1";
/// Most invitations that one file remembers, about 150 MiB if every one of them carries
/// as much as it may; [`Invitations::forget_expired`] makes room.
pub const MAX_INVITATIONS: usize = 65_536;
/// Most bytes that are kept for the issuer with an invitation.
pub const MAX_ISSUE_BYTES: usize = 1024;

/// An invitation's name, which is no secret.
pub type InvitationId = [u8; 16];

/// One invitation that was given out.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedInvitation {
    /// What its holder proves to have.
    pub secret: Zeroizing<[u8; 32]>,
    /// When it ends, in seconds since 1970; the caller has the clock.
    pub expires_s: u64,
    /// What the issuer wants to know again: site, labels and the like.
    pub issue: Vec<u8>,
    /// The node that used it.
    pub used_by: Option<PublicKey>,
}

impl fmt::Debug for IssuedInvitation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("IssuedInvitation")
            .field("expires_s", &self.expires_s)
            .field("used_by", &self.used_by)
            .finish_non_exhaustive()
    }
}

/// Why an invitation is not given out or not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationsError {
    /// Never given out here, or expired and forgotten.
    #[error("no such invitation was given out")]
    Unknown,
    /// The name was given to another one.
    #[error("there is an invitation of this name")]
    Exists,
    /// Another node used it.
    #[error("the invitation was used by {by}")]
    AlreadyUsed {
        /// That node.
        by: PublicKey,
    },
    /// More than is kept.
    #[error("an invitation carries at most {MAX_ISSUE_BYTES} bytes for its issuer")]
    TooLong,
    /// Too many are remembered.
    #[error("{MAX_INVITATIONS} invitations are remembered, and no more fit")]
    Full,
    /// The file.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// The open file of invitations; no other process can open it meanwhile.
pub struct Invitations {
    ledger: Ledger,
    known: Known,
}

impl Invitations {
    /// Opens or makes the file, of mode 0600: there are secrets in it.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        let mut known = Known::default();
        let ledger = Ledger::open(path, KIND, |line| known.take(line).is_some())?;
        Ok(Self { ledger, known })
    }

    /// Remembers an invitation before it is given out; nobody has used it yet.
    pub fn issue(
        &mut self,
        id: &InvitationId,
        secret: Zeroizing<[u8; 32]>,
        expires_s: u64,
        issue: Vec<u8>,
    ) -> Result<(), InvitationsError> {
        if issue.len() > MAX_ISSUE_BYTES {
            return Err(InvitationsError::TooLong);
        }
        if self.known.0.contains_key(id) {
            return Err(InvitationsError::Exists);
        }
        if self.known.0.len() >= MAX_INVITATIONS {
            return Err(InvitationsError::Full);
        }
        let invitation = IssuedInvitation {
            secret,
            expires_s,
            issue,
            used_by: None,
        };
        self.ledger.append(&issued_line(id, &invitation))?;
        self.known.0.insert(*id, invitation);
        Ok(())
    }

    /// An invitation that was given out.
    pub fn get(&self, id: &InvitationId) -> Option<&IssuedInvitation> {
        self.known.0.get(id)
    }

    /// All of them, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&InvitationId, &IssuedInvitation)> {
        self.known.0.iter()
    }

    /// Takes an invitation for a node; the same node may take it again. On the disk when
    /// this returns, and not before may the node be let in.
    pub fn mark_used(
        &mut self,
        id: &InvitationId,
        node: &PublicKey,
    ) -> Result<(), InvitationsError> {
        let invitation = self.known.0.get_mut(id).ok_or(InvitationsError::Unknown)?;
        match invitation.used_by {
            Some(by) if by == *node => Ok(()),
            Some(by) => Err(InvitationsError::AlreadyUsed { by }),
            None => {
                self.ledger.append(&used_line(id, node))?;
                invitation.used_by = Some(*node);
                Ok(())
            }
        }
    }

    /// Forgets what ended before `now_s`, used or not: to whoever comes with one of them it
    /// is unknown. Tells how many.
    pub fn forget_expired(&mut self, now_s: u64) -> Result<usize, InvitationsError> {
        let before = self.known.0.len();
        let stays = |invitation: &IssuedInvitation| invitation.expires_s >= now_s;
        let expired = before - self.known.0.values().filter(|one| stays(one)).count();
        if expired > 0 {
            let kept = self.known.0.iter().filter(|(_, one)| stays(one));
            let lines = kept.flat_map(|(id, one)| {
                let used = one.used_by.map(|node| used_line(id, &node));
                [issued_line(id, one)].into_iter().chain(used)
            });
            self.ledger.rewrite(lines)?;
            self.known.0.retain(|_, one| stays(one));
        }
        Ok(expired)
    }
}

/// What the lines say.
#[derive(Default)]
struct Known(BTreeMap<InvitationId, IssuedInvitation>);

impl Known {
    /// Takes a line that was written; nothing if no such line is ever written.
    fn take(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(':');
        let (verb, id) = (words.next()?, hex::read(words.next()?)?);
        match verb {
            "issued" => {
                let invitation = IssuedInvitation {
                    secret: Zeroizing::new(hex::read(words.next()?)?),
                    expires_s: words.next()?.parse().ok()?,
                    issue: hex::read_vec(words.next()?, MAX_ISSUE_BYTES)?,
                    used_by: None,
                };
                if self.0.len() >= MAX_INVITATIONS || self.0.insert(id, invitation).is_some() {
                    return None;
                }
            }
            "used" => {
                let node = words.next()?.parse().ok()?;
                let invitation = self.0.get_mut(&id)?;
                if invitation.used_by.replace(node).is_some() {
                    return None;
                }
            }
            _ => return None,
        }
        words.next().is_none().then_some(())
    }
}

fn issued_line(id: &InvitationId, invitation: &IssuedInvitation) -> Zeroizing<String> {
    let secret = Zeroizing::new(hex::text(invitation.secret.as_ref()));
    Zeroizing::new(format!(
        "issued:{}:{}:{}:{}",
        hex::text(id),
        *secret,
        invitation.expires_s,
        hex::text(&invitation.issue)
    ))
}

fn used_line(id: &InvitationId, node: &PublicKey) -> Zeroizing<String> {
    Zeroizing::new(format!("used:{}:{node}", hex::text(id)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::{SecretKey, ledger::tests as cut};

    fn node(seed: u8) -> PublicKey {
        SecretKey::from_seed([seed; 32]).public()
    }

    fn secret(byte: u8) -> Zeroizing<[u8; 32]> {
        Zeroizing::new([byte; 32])
    }

    fn filled(path: &Path) -> Invitations {
        let mut invitations = Invitations::open(path).unwrap();
        for number in 0..3 {
            let issue = vec![number; usize::from(number)];
            invitations
                .issue(
                    &[number; 16],
                    secret(number),
                    u64::from(number) * 100,
                    issue,
                )
                .unwrap();
        }
        invitations.mark_used(&[1; 16], &node(1)).unwrap();
        invitations
    }

    #[test]
    fn what_was_given_out_and_used_is_known_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invitations");
        drop(filled(&path));
        let mut again = Invitations::open(&path).unwrap();
        assert_eq!(again.iter().count(), 3);
        let second = again.get(&[2; 16]).unwrap().clone();
        assert_eq!((second.secret, second.expires_s), (secret(2), 200));
        assert_eq!((second.issue, second.used_by), (vec![2, 2], None));
        assert!(again.get(&[9; 16]).is_none());
        again.mark_used(&[1; 16], &node(1)).unwrap();
        let other = again.mark_used(&[1; 16], &node(2));
        assert!(
            matches!(other, Err(InvitationsError::AlreadyUsed { by }) if by == node(1)),
            "{other:?}"
        );
        let unknown = again.mark_used(&[9; 16], &node(2));
        assert!(
            matches!(unknown, Err(InvitationsError::Unknown)),
            "{unknown:?}"
        );
        let twice = again.issue(&[1; 16], secret(1), 0, Vec::new());
        assert!(matches!(twice, Err(InvitationsError::Exists)), "{twice:?}");
        let long = again.issue(&[8; 16], secret(1), 0, vec![0; MAX_ISSUE_BYTES + 1]);
        assert!(matches!(long, Err(InvitationsError::TooLong)), "{long:?}");
    }

    #[test]
    fn expired_ones_are_forgotten_for_good_and_used_ones_stay_used() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invitations");
        let mut invitations = filled(&path);
        assert_eq!(invitations.forget_expired(100).unwrap(), 1);
        assert_eq!(invitations.forget_expired(100).unwrap(), 0);
        invitations.mark_used(&[2; 16], &node(2)).unwrap();
        drop(invitations);
        let mut again = Invitations::open(&path).unwrap();
        assert!(again.get(&[0; 16]).is_none());
        for number in [1, 2] {
            let other = again.mark_used(&[number; 16], &node(3));
            assert!(matches!(other, Err(InvitationsError::AlreadyUsed { .. })));
        }
    }

    #[test]
    fn no_more_than_the_limit_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invitations");
        let mut invitations = Invitations::open(&path).unwrap();
        for number in 0..MAX_INVITATIONS as u128 {
            let invitation = IssuedInvitation {
                secret: secret(0),
                expires_s: 5,
                issue: Vec::new(),
                used_by: None,
            };
            invitations.known.0.insert(number.to_be_bytes(), invitation);
        }
        let full = invitations.issue(&[255; 16], secret(0), 9, Vec::new());
        assert!(matches!(full, Err(InvitationsError::Full)), "{full:?}");
        assert_eq!(invitations.forget_expired(6).unwrap(), MAX_INVITATIONS);
        invitations
            .issue(&[255; 16], secret(0), 9, Vec::new())
            .unwrap();
    }

    #[test]
    fn a_cut_of_power_loses_nothing_that_was_told() {
        let folder = cut::folder();
        let path = folder.path().join("invitations");
        drop(filled(&path));
        cut::every_cut(&path, |lines| {
            let mut invitations = Invitations::open(&path).unwrap();
            // the first line names the kind, the last one says that an invitation is used
            for number in 0..lines.saturating_sub(1).min(3) as u8 {
                let known = invitations.get(&[number; 16]).unwrap();
                assert_eq!(known.secret, secret(number));
            }
            if lines == 5 {
                assert_eq!(invitations.get(&[1; 16]).unwrap().used_by, Some(node(1)));
            }
            invitations
                .issue(&[7; 16], secret(7), 0, Vec::new())
                .unwrap();
            drop(invitations);
            assert!(Invitations::open(&path).unwrap().get(&[7; 16]).is_some());
        });
    }

    #[test]
    fn no_changed_bit_is_passed_over() {
        let folder = cut::folder();
        let path = folder.path().join("invitations");
        drop(filled(&path));
        cut::every_flip(&path, || {
            let Ok(invitations) = Invitations::open(&path) else {
                return false;
            };
            assert_eq!(invitations.iter().count(), 3);
            assert_eq!(invitations.get(&[1; 16]).unwrap().used_by, Some(node(1)));
            true
        });
    }

    proptest! {
        #[test]
        fn any_line_is_taken_or_refused(line in "(issued|used|other)(:[0-9a-f]{0,64}){0,5}") {
            let _ = Known::default().take(&line);
        }
    }
}
