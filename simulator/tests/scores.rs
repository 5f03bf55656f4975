//! What a peer may cost: floods are ended, honest peers never let go.

use weft_core::{Control, Event, Message, bounds};
use weft_record::{ComparedPart, Comparison, Envelope, JoinRequest, Kind, Says};
use weft_sim::{Admin, NodeSpec, VirtualDisk, VirtualRelease, World, fuzz};

use crate::harness::{
    CHUNK_BYTES, SECOND_US, all_active, hello, mesh, plain, publish, puppet, told,
};

/// Two members at a release, and a third, a puppet, linked to node 0.
fn attacked(seed: u64, enrolled: bool) -> (World, Admin, usize, VirtualRelease) {
    let release = VirtualRelease::new("1.0.0", 8, CHUNK_BYTES, 0);
    let (mut world, mut admin, channel) = mesh(seed, 2, &[&release], plain);
    let flooder = if enrolled {
        world.add_member(&mut admin, puppet(), VirtualDisk::default())
    } else {
        world.add_node(puppet(), VirtualDisk::default())
    };
    world.connect(0, flooder);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(30 * SECOND_US, |world| world.active(1, &channel)
        == Some(id)));
    let shows = enrolled.then(|| admin.enroll(world.key(flooder)));
    hello(&mut world, &admin, flooder, 0, shows);
    world.run(SECOND_US, |_| false);
    (world, admin, flooder, release)
}

fn checks(world: &World) -> u64 {
    world.node(0).unwrap().signature_checks()
}

fn let_go(world: &World, flooder: usize) -> bool {
    let key = world.key(flooder);
    told(world, 0, |_| true)
        .any(|event| matches!(event, Event::PeerLetGo { peer, .. } if *peer == key))
}

fn records(world: &mut World, from: usize, envelopes: Vec<Vec<u8>>) {
    world.say(from, 0, Message::Control(Control::Records(envelopes)));
}

/// A head of the admin's with other bytes under its signature.
fn forged(admin: &Admin, number: u64) -> Vec<u8> {
    let head = admin.trust().head(&admin.channel()).unwrap();
    let mut record = (**head).clone();
    record.issued_at_s += 1 + number;
    let mut envelope: Envelope = head.envelope().clone();
    envelope.body = weft_record::codec::encode(&record);
    envelope.encode()
}

#[test]
fn three_forged_records_end_it() {
    for enrolled in [true, false] {
        let (mut world, admin, flooder, _) = attacked(70, enrolled);
        let before = checks(&world);
        for number in 0..1_000 {
            // at the door only other kinds are looked at
            let bytes = if enrolled {
                forged(&admin, number)
            } else {
                let mut root = admin.trust().root().unwrap().envelope().clone();
                root.sigs[0].1 = world.secret(flooder).sign(&number.to_le_bytes());
                root.encode()
            };
            records(&mut world, flooder, vec![bytes]);
        }
        world.run(5 * SECOND_US, |_| false);
        assert!(let_go(&world, flooder), "enrolled: {enrolled}");
        assert!(checks(&world) - before <= 4, "{}", checks(&world) - before);
        // and it is refused when it comes again
        world.relink();
        world.run(SECOND_US, |_| false);
        assert!(!world.is_linked(0, flooder));
    }
}

#[test]
fn garbage_ends_it_too() {
    let (mut world, _, flooder, _) = attacked(71, true);
    let before = checks(&world);
    records(&mut world, flooder, vec![vec![1; 100]; 4_000]);
    world.run(SECOND_US, |_| false);
    assert!(let_go(&world, flooder));
    assert_eq!(checks(&world), before);
    assert!(world.node(0).unwrap().status().records_refused <= 3);
}

#[test]
fn old_records_without_end_cost_little() {
    let (mut world, admin, flooder, _) = attacked(72, true);
    let old: Vec<Vec<u8>> = admin.trust().records().map(Envelope::encode).collect();
    records(&mut world, flooder, old.clone());
    world.run(SECOND_US, |_| false);
    let before = checks(&world);
    for _ in 0..10_000 {
        records(&mut world, flooder, old.clone());
    }
    world.run(20 * SECOND_US, |_| false);
    assert_eq!(checks(&world), before, "each signature is checked once");
    assert!(!let_go(&world, flooder), "it may only be confused");
}

#[test]
fn records_that_wait_for_what_does_not_come_are_not_asked_for_without_end() {
    let (mut world, admin, flooder, _) = attacked(73, true);
    let before = (checks(&world), world.traffic.clone());
    for number in 0..5_000_u64 {
        // anyone can make a key and revoke it
        let mut seed = [9; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let key = weft_keys::SecretKey::from_seed(seed);
        let revoke = weft_record::Revoke {
            target: weft_record::RevokeTarget::Key(key.public()),
            reason: String::new(),
            issued_at_s: number,
        };
        let body = weft_record::codec::encode(&revoke);
        let envelope = weft_record::seal(Kind::Revoke, admin.mesh_id(), body, &[&key]);
        records(&mut world, flooder, vec![envelope.encode()]);
    }
    world.run(10 * SECOND_US, |_| false);
    let spent = checks(&world) - before.0;
    // the burst, and what ten seconds give back
    assert!(spent <= 2_000 + 10 * 200 + 1, "{spent} signatures checked");
    let sent = world.traffic.since(&before.1);
    assert!(sent.messages("have") < 60, "{sent:?}");
}

#[test]
fn questions_without_end_are_answered_a_few_times_a_minute() {
    for enrolled in [true, false] {
        let (mut world, _, flooder, _) = attacked(74, enrolled);
        let before = world.heard.len();
        for _ in 0..50 {
            world.say(flooder, 0, Message::Control(Control::Have(Box::default())));
        }
        world.run(5 * SECOND_US, |_| false);
        let answers = world.heard[before..]
            .iter()
            .filter(|(_, _, message)| matches!(message, Message::Control(Control::Records(_))));
        let most = if enrolled {
            60
        } else {
            bounds::DOOR_ANSWERS as usize
        };
        assert!(answers.count() <= most);
        for _ in 0..500 {
            world.say(flooder, 0, Message::Control(Control::Have(Box::default())));
        }
        world.run(5 * SECOND_US, |_| false);
        assert!(let_go(&world, flooder), "enrolled: {enrolled}");
    }
}

#[test]
fn comparisons_without_end_are_answered_a_few_times_a_minute() {
    let (mut world, admin, flooder, _) = attacked(76, true);
    let all = Comparison {
        parts: vec![ComparedPart {
            from: 0,
            to: u64::MAX,
            says: Says::Again,
        }],
        ..admin.trust().open_comparison(1)
    };
    let before = world.heard.len();
    for _ in 0..50 {
        world.say(
            flooder,
            0,
            Message::Control(Control::Compare(Box::new(all.clone()))),
        );
    }
    world.run(5 * SECOND_US, |_| false);
    let answers = world.heard[before..].iter();
    let answers =
        answers.filter(|(_, _, message)| matches!(message, Message::Control(Control::Compared(_))));
    assert!((1..=60).contains(&answers.count()));
    for _ in 0..500 {
        world.say(
            flooder,
            0,
            Message::Control(Control::Compare(Box::new(all.clone()))),
        );
    }
    world.run(5 * SECOND_US, |_| false);
    assert!(let_go(&world, flooder));
}

#[test]
fn requests_to_join_without_end_are_not_passed_on() {
    let (mut world, _, flooder, _) = attacked(75, false);
    let before = world.traffic.clone();
    let node = world.key(flooder);
    for number in 0..1_000_u64 {
        let mut invitation = [0; 16];
        invitation[..8].copy_from_slice(&number.to_le_bytes());
        let request = JoinRequest {
            node,
            invitation,
            code: [0; 32],
        };
        world.say(
            flooder,
            0,
            Message::Control(Control::Join { request, hops: 0 }),
        );
    }
    world.run(5 * SECOND_US, |_| false);
    assert!(let_go(&world, flooder));
    let sent = world.traffic.since(&before);
    let passed_on = sent.messages("join") - 1_000;
    assert!(passed_on <= 20, "{passed_on} passed on");
}

#[test]
fn one_that_withholds_what_it_offers_does_not_hold_up_the_rest() {
    let release = VirtualRelease::new("1.0.0", 32, CHUNK_BYTES, 0);
    let withholding = |index| NodeSpec {
        withholds: index == 1,
        ..NodeSpec::default()
    };
    let (mut world, mut admin, channel) = mesh(76, 3, &[&release], withholding);
    world.disk(1).preload(&release);
    let id = publish(&mut world, &mut admin, &release);
    assert!(world.run(120 * SECOND_US, |world| all_active(world, &channel, id)));
}

#[test]
fn honest_peers_are_never_let_go() {
    // the fuzz run itself looks for it, among rotations, thefts, cuts and full disks
    for seed in 5_000..5_200 {
        let verdict = fuzz::run(seed);
        assert_eq!(verdict.violations, Vec::new(), "seed {seed}");
    }
}
