//! New roots, and what is revoked.

use weft_core::Command;
use weft_keys::{PublicKey, SecretKey};
use weft_record::{
    Kind, RecordId, Reset, Revoke, RevokeTarget, Root, Validity, codec, next_root, seal,
};

use super::{Admin, NOW_S, make_key, public_keys};

/// What a rotation trusts of the channel's heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// No reset: signers stay, or what they signed no longer counts.
    Keep,
    /// All heads up to the newest.
    Newest,
    /// Those up to this one.
    Head(RecordId),
}

impl Admin {
    /// A root with new keys for these roles.
    pub fn rotate(&mut self, roles: &[&'static str], base: Base) -> Command {
        let mut root = next_root(&self.trust).expect("a root is known");
        for name in roles {
            let count = self.keys[name].len().max(1);
            let fresh: Vec<SecretKey> = (0..count)
                .map(|_| make_key(self.seed, &mut self.made))
                .collect();
            let role = root
                .roles
                .iter_mut()
                .find(|role| role.name.as_str() == *name);
            role.expect("a known role").keys = public_keys(&fresh);
            self.keys.insert(name, fresh);
        }
        match base {
            Base::Keep => root.resets = self.standing_resets(),
            Base::Newest => {}
            Base::Head(head) => {
                let channel = self.channel();
                let epoch = self.trust.epoch(&channel) + 1;
                root.resets = vec![Reset {
                    channel,
                    epoch,
                    base: Some(head),
                }];
            }
        }
        let mut command = self.renew(root);
        // the base may have lost its signer, and with it its place everywhere
        if let (Base::Head(head), Command::Import(records)) = (base, &mut command)
            && let Some(pair) = self.archive.get(&head).cloned()
        {
            for envelope in pair {
                let admitted = self.trust.admit(envelope.clone(), NOW_S, &mut self.memo);
                assert!(admitted.is_ok(), "what a reset names: {admitted:?}");
                records.push(envelope.encode());
            }
        }
        command
    }

    /// A root that is valid between these seconds.
    pub fn renew_for(&mut self, from_s: u64, until_s: u64) -> Command {
        let mut root = next_root(&self.trust).expect("a root is known");
        root.resets = self.standing_resets();
        root.validity = Validity { from_s, until_s };
        self.renew(root)
    }

    /// Revokes a key, signed by the key of the root.
    pub fn revoke_key(&mut self, key: PublicKey) -> Command {
        let signed = Self::revocation(RevokeTarget::Key(key));
        let envelope = seal(Kind::Revoke, self.mesh_id, signed, &[&self.root_key]);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// Revokes a key of a role, signed by itself.
    pub fn revoke_itself(&mut self, role: &'static str) -> Command {
        let signed = Self::revocation(RevokeTarget::Key(self.key(role)));
        let own = &self.keys[role][0];
        let envelope = seal(Kind::Revoke, self.mesh_id, signed, &[own]);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// Revokes a release.
    pub fn revoke_release(&mut self, release: RecordId) -> Command {
        let signed = Self::revocation(RevokeTarget::Release(release));
        let envelope = self.sign("release", Kind::Revoke, signed);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    /// Resets that the newest root names: to name them again changes nothing.
    fn standing_resets(&self) -> Vec<Reset> {
        let root = self.trust.root().expect("a root is known");
        root.resets.clone()
    }

    fn renew(&mut self, root: Root) -> Command {
        let envelope = self.sign_root(&root);
        self.admit(&envelope);
        Command::Import(vec![envelope.encode()])
    }

    fn revocation(target: RevokeTarget) -> Vec<u8> {
        codec::encode(&Revoke {
            target,
            reason: "lost".to_owned(),
            issued_at_s: NOW_S,
        })
    }
}
