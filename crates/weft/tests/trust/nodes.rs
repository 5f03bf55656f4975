//! Nodes that are let in, and taken out, by stick.

use std::fs;

use crate::harness::Mesh;

#[test]
fn a_node_that_never_had_a_network_is_enrolled_by_stick() {
    let mesh = Mesh::new();
    mesh.node("admin");
    let home = ["node", "request", "pump.request"];
    mesh.refused_at("pump", &home, 4, "there is no node in");
    let mesh_id = mesh.mesh_id.clone();
    let asked = mesh.object_at("pump", &[&home[..], &["--mesh", &mesh_id]].concat());
    assert_eq!(asked["mesh_id"], mesh_id.as_str());
    let enroll = |more: &[&str]| {
        let words = [
            "node",
            "enroll",
            "pump.request",
            "--key",
            "enroll",
            "--site",
            "north",
        ];
        let labels = ["--label", "ward=icu", "--expires", "30d", "--out"];
        [&words[..], &labels, more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let words = enroll(&["pump.weft"]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let made = mesh.object_at("admin", &words);
    assert_eq!(made["complete"], true);
    assert_eq!(made["known_here"], true);
    assert_eq!(
        made["expires_s"].as_u64().unwrap() - made["issued_at_s"].as_u64().unwrap(),
        30 * 86_400
    );
    mesh.object_at("pump", &["bundle", "import", "pump.weft"]);
    for node in ["pump", "admin"] {
        let listed = mesh.object_at(node, &["node", "list"]);
        assert_eq!(listed["nodes"][0]["standing"], "member", "{node}: {listed}");
        assert_eq!(listed["nodes"][0]["site"], "north");
        assert_eq!(listed["nodes"][0]["peer_id"], asked["peer_id"]);
    }
    // a second enrolment comes after the first
    let again = enroll(&["again.weft"]);
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    assert_eq!(mesh.object_at("admin", &again)["number"], 1);
    // and out again, by the first digits of what people see
    let peer = asked["peer_id"].as_str().unwrap();
    let revoke = ["node", "revoke", &peer[..20], "--reason", "lost", "--key"];
    mesh.refused_at(
        "admin",
        &[&revoke[..], &["head-a"]].concat(),
        6,
        "does not let",
    );
    mesh.object_at("admin", &[&revoke[..], &["enroll"]].concat());
    let listed = mesh.object_at("admin", &["node", "list"]);
    assert_eq!(listed["nodes"][0]["standing"], "revoked");
    let third = enroll(&["third.weft"]);
    let third: Vec<&str> = third.iter().map(String::as_str).collect();
    mesh.refused_at("admin", &third, 6, "its key was revoked");
    let unknown = [
        "node",
        "revoke",
        "12D3KooWnobody",
        "--reason",
        "x",
        "--key",
        "enroll",
    ];
    mesh.refused_at("admin", &unknown, 4, "no node");
}

#[test]
fn a_request_that_was_swapped_or_changed_is_refused() {
    let (mesh, other) = (Mesh::new(), Mesh::new());
    mesh.node("admin");
    let mesh_id = mesh.mesh_id.clone();
    let request = ["node", "request", "n.request", "--mesh", &mesh_id];
    mesh.object_at("n", &request);
    mesh.refused_at("n", &request, 6, "was not written");
    let elsewhere = ["node", "request", "o.request", "--mesh", &other.mesh_id];
    mesh.refused_at("n", &elsewhere, 6, "holds a node of another mesh");
    let enroll = |file: &'static str, key: &'static str| {
        ["node", "enroll", file, "--key", key, "--out", "n.weft"]
    };
    mesh.refused_at("admin", &enroll("n.request", "head-a"), 6, "does not let");
    mesh.refused_at("admin", &enroll("none", "enroll"), 4, "none");
    let text = fs::read_to_string(mesh.path("n.request")).unwrap();
    let changed = text.replace("\"host\": \"", "\"host\": \"x");
    fs::write(mesh.path("changed.request"), changed).unwrap();
    mesh.refused_at(
        "admin",
        &enroll("changed.request", "enroll"),
        5,
        "was changed",
    );
    fs::write(mesh.path("short.request"), &text[..text.len() / 2]).unwrap();
    mesh.refused_at("admin", &enroll("short.request", "enroll"), 5, "no request");
    other.object_at(
        "n",
        &["node", "request", "n.request", "--mesh", &other.mesh_id],
    );
    fs::copy(other.path("n.request"), mesh.path("foreign.request")).unwrap();
    mesh.refused_at(
        "admin",
        &enroll("foreign.request", "enroll"),
        5,
        "of another mesh",
    );
    let invited = [
        &enroll("n.request", "enroll")[..],
        &["--invitation", "weft-invitation-1-00"],
    ];
    mesh.refused_at("admin", &invited.concat(), 2, "invitation cannot be used");
    assert!(!mesh.path("n.weft").exists());
}

#[test]
fn an_invitation_used_by_stick_is_used() {
    let mesh = Mesh::new();
    let listen = ["--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/4001"];
    let root = ["mesh", "init", "--root", "genesis.weft", "--key", "enroll"];
    mesh.object_at("admin", &[&root[..], &listen].concat());
    let made = mesh.object_at("admin", &["mesh", "invite"]);
    let invitation = made["invitation"].as_str().unwrap();
    for node in ["n", "m"] {
        let file = format!("{node}.request");
        let request = ["node", "request", &file, "--invitation", invitation];
        mesh.object_at(node, &request);
    }
    let enroll = |request: &'static str, out: &'static str| {
        let verb = ["node", "enroll", request, "--key", "enroll", "--out", out];
        [&verb[..], &["--invitation", invitation]].concat()
    };
    mesh.object_at("admin", &enroll("n.request", "n.weft"));
    // m has a copy of the text
    let second = enroll("m.request", "m.weft");
    mesh.refused_at("admin", &second, 6, "was used by");
    assert!(!mesh.path("m.weft").exists());
}
