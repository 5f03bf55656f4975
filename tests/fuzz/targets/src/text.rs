use std::{fmt::Display, str::FromStr};

use weft_keys::{PublicKey, SecretKey};
use weft_record::{Hash, Invitation, MeshId, Name, RecordId};

use crate::mesh::{Mesh, NODE, NOW_S, key, name};

/// Short texts that people and peers hand over: each is refused or says itself again.
pub(crate) fn text(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    says_itself::<Name>(text);
    says_itself::<Hash>(text);
    says_itself::<RecordId>(text);
    says_itself::<MeshId>(text);
    says_itself::<PublicKey>(text);
    if let Ok(invitation) = text.parse::<Invitation>() {
        invitation.check().unwrap();
        // digits may be of either case
        let again = invitation.to_string();
        assert_eq!(again, text.trim().to_ascii_lowercase());
        assert!(again.parse::<Invitation>().unwrap() == invitation);
        let request = invitation.request(node().public());
        assert!(request.is_by_holder(&invitation.secret, &invitation.mesh_id));
        assert!(
            !request.is_by_holder(&[0; 32], &invitation.mesh_id) || invitation.secret == [0; 32]
        );
    }
}

fn says_itself<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

fn node() -> SecretKey {
    key(NODE)
}

pub(crate) fn invitation() -> Invitation {
    Invitation {
        mesh_id: Mesh::fixed().mesh_id(),
        id: [5; 16],
        secret: [6; 32],
        addresses: vec!["/ip4/127.0.0.1/tcp/4001".to_owned()],
        site: name("harbour"),
        labels: Vec::new(),
        expires_s: NOW_S,
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    [
        "stable",
        "..",
        &Hash::of(b"weft").to_string(),
        &node().public().to_string(),
        &invitation().to_string(),
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
