//! Who belongs to a mesh and how a node comes to, over real processes.
#![allow(clippy::unwrap_used)]

use std::{fs, path::PathBuf, time::Duration};

use weft_core::{ChunkRef, Control, Message};
use weft_keys::SecretKey;
use weft_net::NetEvent;
use weft_record::{
    Envelope, Hash, Invitation, JoinRequest, Kind, MeshId, Revoke, RevokeTarget, bundle::Encoder,
    codec, seal,
};
use weft_tests::{Site, free_address};

fn refusal(status: &serde_json::Value) -> &str {
    status["joining"]["refused"].as_str().unwrap_or("")
}

/// Waits until the admin's node has said no for this reason.
fn wait_refused(site: &Site, home: &str, reason: &str) {
    let status = site.wait(home, "it is refused", |status| {
        refusal(status).contains(reason)
    });
    assert_eq!(status["standing"], "joining", "{status}");
    let waited = site.weft(home, &["mesh", "join", "--wait"]).expect(6);
    assert!(waited.stderr.contains(reason), "{}", waited.stderr);
}

#[test]
fn a_node_joins_by_invitation_also_through_a_member_that_enrolls_nobody() {
    let site = Site::new();
    site.init("a");
    let _a = site.up("a", &[]);
    site.join("b", "a", &[]);
    let _b = site.up("b", &[]);
    site.wait_member("b");
    // c knows b alone
    site.join("c", "a", &[site.address("b")]);
    let _c = site.up("c", &[]);
    let joined = site.weft("c", &["mesh", "join", "--wait"]).expect(0);
    assert!(
        joined.stdout.contains("Enrolled at site main."),
        "{}",
        joined.stdout
    );
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("c", "1.0.0");
    let listed = site.json("a", &["mesh", "list"]);
    let nodes = listed["enrolments"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "{listed}");
    assert!(
        nodes.iter().all(|node| node["standing"] == "member"),
        "{listed}"
    );
}

#[test]
fn who_is_not_enrolled_gets_roots_and_nothing_else() {
    let site = Site::new();
    let mesh_id: MeshId = site.init("a").parse().unwrap();
    let _a = site.up("a", &[]);
    site.join("b", "a", &[]);
    let _b = site.up("b", &[]);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("b", "1.0.0");
    let key = SecretKey::from_seed([9; 32]);
    let mut stranger = Stranger::meet(key, mesh_id, &site.address("a"));
    stranger.say(Control::Have(Box::default()));
    stranger.until("the roots come", |event| match event {
        NetEvent::Message(_, Message::Control(Control::Records(_))) => Some(()),
        _ => None,
    });
    // it knows what there is to ask for, as a former member would
    for file in files(&site.path("a").join("store").join("files")) {
        stranger.say(Control::Want(file));
        stranger.send(Message::Get(ChunkRef { file, index: 0 }));
    }
    for blob in files(&site.path("a").join("store").join("blobs")) {
        stranger.send(Message::GetBlob(blob));
    }
    // and it does not make others believe anything
    let forged = seal(Kind::Head, mesh_id, vec![7], &[]);
    stranger.announce(forged.encode());
    stranger.say(Control::Records(vec![forged.encode()]));
    site.publish("a", &site.pack("1.1.0")).expect(0);
    site.wait_active("b", "1.1.0");
    stranger.catch_up();
    for event in &stranger.heard {
        match event {
            NetEvent::Message(_, Message::Control(Control::Records(records))) => {
                for record in records {
                    let kind = Envelope::decode(record).unwrap().kind;
                    let trusted = [Kind::Root, Kind::Revoke, Kind::Enroll, Kind::EnrollRoot];
                    assert!(trusted.map(Kind::number).contains(&kind), "kind {kind}");
                }
            }
            NetEvent::Message(_, Message::Control(Control::Hello { .. }))
            | NetEvent::PeerUp { .. }
            | NetEvent::PeerDown { .. }
            | NetEvent::DialFailed { .. } => {}
            told => panic!("a stranger was told {told:?}"),
        }
    }
    let status = site.status("a").unwrap();
    assert_eq!(status["members"], 1, "{status}");
}

/// The hashes that a folder of the store names.
fn files(folder: &std::path::Path) -> Vec<Hash> {
    let shards = fs::read_dir(folder).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let found: Vec<Hash> = files
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .map(|name| name.parse().unwrap())
        .collect();
    assert!(!found.is_empty(), "nothing in {}", folder.display());
    found
}

#[test]
fn a_request_that_was_heard_lets_nobody_else_in() {
    let site = Site::new();
    let mesh_id: MeshId = site.init("a").parse().unwrap();
    let _a = site.up("a", &[]);
    let text = site.invite("a", &[]);
    let invitation: Invitation = text.parse().unwrap();
    site.join_with("b", &text);
    let node = weft_keys::load_secret(&site.path("b").join("node.key")).unwrap();
    let heard = invitation.request(node.public());
    let thief = SecretKey::from_seed([9; 32]);
    let mut stranger = Stranger::meet(thief, mesh_id, &site.address("a"));
    stranger.say(Control::Join {
        request: JoinRequest {
            node: SecretKey::from_seed([9; 32]).public(),
            ..heard
        },
        hops: 0,
    });
    let reason = stranger.until("an answer", |event| match event {
        NetEvent::Message(_, Message::Control(Control::JoinRefused { reason, .. })) => {
            Some(reason.clone())
        }
        _ => None,
    });
    assert!(reason.contains("no such invitation"), "{reason}");
    // the invitation is as good as before
    let _b = site.up("b", &[]);
    site.wait_member("b");
}

#[test]
fn an_invitation_is_good_for_one_node_and_for_its_time() {
    let site = Site::new();
    site.init("a");
    let _a = site.up("a", &[]);
    let text = site.invite("a", &[]);
    site.join_with("b", &text);
    site.join_with("c", &text);
    let _b = site.up("b", &[]);
    site.wait_member("b");
    let _c = site.up("c", &[]);
    wait_refused(&site, "c", "another node has used this invitation");
    // one that ends between its making and its use
    let made = site.json("a", &["mesh", "invite", "--expires", "2s"]);
    site.join_with("d", made["invitation"].as_str().unwrap());
    std::thread::sleep(Duration::from_secs(4));
    let _d = site.up("d", &[]);
    wait_refused(&site, "d", "the invitation has expired");
    let late = ["mesh", "join", made["invitation"].as_str().unwrap()];
    let late = site.weft("e", &late).expect(6);
    assert!(late.stderr.contains("has expired"), "{}", late.stderr);
}

#[test]
fn another_node_at_a_member_s_address_is_named_and_told_nothing() {
    let site = Site::new();
    site.init("a");
    let place = free_address();
    let a = site.up("a", &["--listen", &place]);
    site.join("b", "a", &[]);
    a.kill();
    site.init("impostor");
    let impostor = site.up("impostor", &["--listen", &place]);
    let _b = site.up("b", &[]);
    let status = site.wait("b", "it tells who answers there", |status| {
        status["places"][0]["problem"] == "other_node"
    });
    let text = status["places"][0]["text"].as_str().unwrap();
    let expected = site.json("a", &["mesh", "list"])["enrolments"][0]["peer_id"].clone();
    for word in [&*place, "another node answers", expected.as_str().unwrap()] {
        assert!(text.contains(word), "{text}");
    }
    assert_eq!(status["standing"], "joining", "{status}");
    impostor.kill();
    let _a = site.up("a", &["--listen", &place]);
    let status = site.wait_member("b");
    assert_eq!(status["places"].as_array().unwrap().len(), 0, "{status}");
}

#[test]
fn a_node_waits_at_the_door_until_the_admin_s_node_comes_back() {
    let site = Site::new();
    site.init("a");
    let place = free_address();
    let a = site.up("a", &["--listen", &place]);
    site.join("b", "a", &[]);
    let _b = site.up("b", &[]);
    site.wait_member("b");
    site.join("c", "a", &[site.address("b")]);
    a.kill();
    let _c = site.up("c", &[]);
    let status = site.wait("c", "it has asked", |status| {
        status["joining"]["asked_peers"].as_u64().unwrap_or(0) > 0
    });
    assert_eq!(status["standing"], "joining", "{status}");
    let told = site.weft("c", &["status"]).expect(0).stdout;
    assert!(told.contains("waiting at the door"), "{told}");
    let _a = site.up("a", &["--listen", &place]);
    site.wait_member("c");
}

#[test]
fn a_node_that_is_revoked_is_let_go() {
    let site = Site::new();
    let mesh_id: MeshId = site.init("a").parse().unwrap();
    let _a = site.up("a", &[]);
    site.join("b", "a", &[]);
    let _b = site.up("b", &[]);
    site.wait_member("b");
    site.wait("a", "both met", |status| status["members"] == 1);
    let node = weft_keys::load_secret(&site.path("b").join("node.key")).unwrap();
    let revoke = Revoke {
        target: RevokeTarget::Key(node.public()),
        reason: "stolen".to_owned(),
        issued_at_s: 1,
    };
    let bundle = revoked(&site, mesh_id, &revoke);
    site.json("a", &["bundle", "import", bundle.to_str().unwrap()]);
    site.wait("a", "it is let go", |status| status["members"] == 0);
    site.publish("a", &site.pack("1.0.0")).expect(0);
    site.wait_active("a", "1.0.0");
    let status = site.wait("b", "it has lost its peers", |status| {
        status["members"] == 0
    });
    assert_ne!(status["channels"][0]["phase"], "active", "{status}");
    let listed = site.json("a", &["mesh", "list"]);
    let standings: Vec<&str> = listed["enrolments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["standing"].as_str().unwrap())
        .collect();
    assert!(standings.contains(&"stranger"), "{listed}");
}

/// A bundle with this revocation, signed by the admin of `a`.
fn revoked(site: &Site, mesh_id: MeshId, revoke: &Revoke) -> PathBuf {
    let admin = weft_keys::load_secret(&site.path("a").join("admin.key")).unwrap();
    let envelope = seal(Kind::Revoke, mesh_id, codec::encode(revoke), &[&admin]);
    let (mut encoder, mut bytes) = Encoder::new(mesh_id);
    bytes.extend(encoder.record(&envelope.encode()).unwrap());
    bytes.extend(encoder.finish());
    let path = site.path("revoke.weft");
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn an_admin_s_node_killed_after_it_took_an_invitation_lets_that_node_in_and_no_other() {
    let site = Site::new();
    site.init("a");
    let place = free_address();
    let mut a = site.up("a", &["--listen", &place]);
    for (first, second) in [("b", "c"), ("d", "e")] {
        let text = site.invite("a", &[]);
        site.join_with(first, &text);
        site.join_with(second, &text);
        let book = site.path("a").join("invitations");
        let before = fs::metadata(&book).unwrap().len();
        let _first = site.start(first, &[]);
        // the line that says who used it is in the file, and perhaps not yet on the disk
        while fs::metadata(&book).unwrap().len() == before {
            std::thread::yield_now();
        }
        a.kill();
        a = site.up("a", &["--listen", &place]);
        site.wait_member(first);
        let _second = site.up(second, &[]);
        wait_refused(&site, second, "another node has used this invitation");
    }
}

#[path = "support/stranger.rs"]
mod stranger;
use stranger::Stranger;
