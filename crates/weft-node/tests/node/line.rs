//! From a bundle at one node to answers at another.

use weft_node::{
    client::{ChatMessage, ChatOptions, ChatPart, ClientError},
    report::ImportOutcome,
};

use crate::mesh::{Admin, MODEL, Running, channel, pack, probe};

fn user(content: &str) -> Vec<ChatMessage> {
    vec![ChatMessage {
        role: "user".to_owned(),
        content: content.to_owned(),
    }]
}

#[test]
fn a_release_travels_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let model = pack(folder.path(), "llama-tied");
    let mut admin = Admin::new();
    admin.release(&model, "1.0.0", vec![probe(&model, "pump 3 hot")]);
    let bundle = admin.bundle(&path("one.weft"), &[&model], |_| true);

    // the first node has no network peers: the bundle is all it gets
    let first = Running::start(admin.home(&path("first"), &[]));
    let refused = first
        .client
        .chat(MODEL, &user("hello"), &ChatOptions::default());
    assert!(matches!(
        refused.err(),
        Some(ClientError::Refused { status: 404, code, .. }) if code == "model_not_found"
    ));
    let report = first.client.import(&bundle).unwrap();
    assert!(report.succeeded(), "{report:?}");
    assert_eq!(report.channels[0].outcome, ImportOutcome::Activated);
    assert_eq!(report.bytes_taken, model.entry.length);
    let again = first.client.import(&bundle).unwrap();
    assert_eq!(again.channels[0].outcome, ImportOutcome::AlreadyActive);
    assert_eq!(again.bytes_taken, 0);

    // the second knows nothing but the mesh's id and where the first is
    let second = Running::start(admin.home(&path("second"), &[first.address()]));
    let status = second.wait("the model", |status| {
        status.models.iter().any(|model| model.answering)
    });
    let active = status.models[0].active.clone().unwrap();
    assert_eq!(
        (active.model.as_str(), active.version.as_str()),
        (MODEL, "1.0.0")
    );
    let fetch = status.node.channels[0].fetch.clone();
    assert!(fetch.is_none_or(|fetch| fetch.bytes_fetched == model.entry.length));
    let peers = second.client.peers().unwrap().peers;
    assert_eq!(peers.len(), 1);
    assert!(peers[0].member);

    // both answer alike, whole and streamed
    let options = ChatOptions {
        max_tokens: Some(12),
        temperature: Some(0.0),
        ..ChatOptions::default()
    };
    let whole = first
        .client
        .chat(MODEL, &user("pump 3 hot"), &options)
        .unwrap();
    assert!(whole.completion_tokens > 0 && whole.prompt_tokens > 0);
    let mut text = String::new();
    let mut finish = None;
    let mut usage = None;
    for part in second
        .client
        .chat_stream(MODEL, &user("pump 3 hot"), &options)
        .unwrap()
    {
        match part.unwrap() {
            ChatPart::Text(more) => text.push_str(&more),
            ChatPart::Finished(reason) => finish = Some(reason),
            ChatPart::Usage {
                prompt_tokens,
                completion_tokens,
            } => {
                usage = Some((prompt_tokens, completion_tokens));
            }
            _ => {}
        }
    }
    assert!(text == whole.text, "two answers to one prompt");
    assert_eq!(finish, Some(whole.finish_reason));
    assert_eq!(usage, Some((whole.prompt_tokens, whole.completion_tokens)));

    // what happened can be read back, and both hold the same records
    let events = second.client.events(0).unwrap();
    assert_eq!(events.lost, 0);
    let names: Vec<String> = events
        .events
        .iter()
        .map(|entry| {
            serde_json::to_value(entry).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    for name in [
        "peer_joined",
        "head_accepted",
        "fetch_completed",
        "probed",
        "activated",
    ] {
        assert!(
            names.iter().any(|known| known == name),
            "{name} in {names:?}"
        );
    }
    assert_eq!(
        first.client.records().unwrap(),
        second.client.records().unwrap()
    );

    // the limits can be changed live
    let limits = weft_core::Limits::fetching(1_000_000);
    second.client.limit(&limits).unwrap();
    let told = second.client.status().unwrap().node.limits;
    assert_eq!(told, limits);
    second.client.limit(&weft_core::Limits::default()).unwrap();

    // and the second hands on what it has
    let mut exported = Vec::new();
    std::io::Read::read_to_end(
        &mut second.client.export(&channel()).unwrap(),
        &mut exported,
    )
    .unwrap();
    std::fs::write(path("two.weft"), &exported).unwrap();
    let third = admin.home(&path("third"), &[]);
    let report = weft_node::import_offline(&third, &path("two.weft")).unwrap();
    assert_eq!(
        report.channels[0].outcome,
        ImportOutcome::Activated,
        "{report:?}"
    );

    second.stop();
    assert!(!path("second/api.json").exists());
    first.stop();

    // a node that stopped answers again after its start, without any peer
    let second = Running::start(weft_node::Home::open(&path("second")).unwrap());
    second.wait("the model again", |status| {
        status.models.iter().any(|model| model.answering)
    });
    second.stop();
}
