//! What a scenario says happens: each kind of adversary, device and fault shows.

use weft_sim::{
    Options, rehearse,
    report::Report,
    scenario::{Scenario, Share, Source},
};

const FLEET: &str = r#"
title = "A fleet"
time_limit = "4 h"

[[site]]
name = "office"
nodes = 12

[[release]]
version = "1.0.0"
size = "16 MiB"
"#;

fn run(text: &str) -> Report {
    let source = Source { name: "it", text };
    let scenario = Scenario::read(source).unwrap_or_else(|mistake| panic!("{mistake:?}"));
    let options = Options {
        seed: 1,
        scale: Share::ALL,
        is_one_of_many: false,
    };
    rehearse(&scenario, options, &mut |_| true).unwrap()
}

/// Two of twelve nodes of this kind.
fn with_two(kind: &str) -> Report {
    run(&format!(
        "{FLEET}\n[[adversary]]\nkind = \"{kind}\"\ncount = 2\n"
    ))
}

#[test]
fn each_adversary_does_what_it_is_named_for_and_no_honest_node_is_blamed() {
    let all_run = |report: &Report| report.releases[0].active == 10;
    let corrupt = with_two("corrupt");
    assert!(corrupt.cost.chunks_corrupt > 0 && corrupt.cost.peers_let_go > 0);
    let calm = run(FLEET);
    assert_eq!(calm.cost.peers_let_go, 0);
    // whoever keeps chunks back is waited for
    let (withhold, last) = (with_two("withhold"), |report: &Report| {
        report.releases[0].groups[0].active.max_us.unwrap()
    });
    let timeout_us = weft_core::bounds::REQUEST_TIMEOUT_US;
    assert!(last(&calm) < timeout_us && last(&withhold) > timeout_us);
    let boasts = with_two("fake-have");
    assert!(boasts.head.trace_hash != with_two("stale-head").head.trace_hash);
    for report in [
        &corrupt,
        &withhold,
        &boasts,
        &with_two("stale-head"),
        &with_two("stranger"),
    ] {
        assert!(all_run(report), "{:?}", report.answer);
        assert_eq!(report.cost.honest_let_go, 0);
        assert_eq!(report.fleet.honest, 10);
    }
}

#[test]
fn two_heads_of_one_number_stop_what_is_new_until_keys_are_rotated() {
    let later = "\n[[release]]\nversion = \"1.1.0\"\nat = \"10 min\"\nsize = \"16 MiB\"\n";
    let equivocates = "\n[[adversary]]\nkind = \"equivocate\"\ncount = 1\n";
    let report = run(&format!("{FLEET}{later}{equivocates}"));
    let second = &report.releases[1];
    assert!(second.active < 11, "{:?}", report.answer);
    assert_eq!(report.cost.honest_let_go, 0);
    assert!(run(&format!("{FLEET}{later}")).releases[1].active == 12);
}

#[test]
fn devices_differ_and_stragglers_say_how() {
    let text = format!(
        "{}\nneeds_ram = \"2 GiB\"\n[[class]]\nname = \"small\"\nshare = \"30 %\"\nram = \"1 GiB\"\n",
        FLEET.trim_end()
    );
    let report = run(&text);
    let small = report.releases[0]
        .groups
        .iter()
        .find(|group| group.name == "small")
        .unwrap();
    assert_eq!(small.active.never, small.active.count);
    let listed = report.stragglers.listed.iter();
    let listed: Vec<_> = listed.filter(|one| one.active_us.is_none()).collect();
    assert_eq!(listed.len(), small.active.count);
    assert!(
        listed
            .iter()
            .all(|one| one.class == "small" && one.cause == "it could not"),
        "{listed:?}"
    );
    let slow = "\n[[class]]\nname = \"slow\"\nshare = \"30 %\"\nhash_rate = \"50 kB/s\"\n";
    let report = run(&format!("{FLEET}{slow}"));
    let group = |name: &str| {
        let found = report.releases[0]
            .groups
            .iter()
            .find(|group| group.name == name);
        found.unwrap().active.p50_us.unwrap()
    };
    // five seconds for each chunk
    assert!(group("slow") > 5_000_000 && group("plain") < group("slow") / 2);
}

#[test]
fn a_link_with_hours_waits_for_them_and_invited_nodes_join() {
    let far = "\n[[site]]\nname = \"far\"\nnodes = 4\nopen = [\"09:00-10:00\"]\n";
    let report = run(&format!("{FLEET}{far}"));
    let first = report
        .curves
        .iter()
        .find(|curve| curve.name == "far")
        .unwrap();
    let came = first.points.iter().find(|(_, count)| *count > 0).unwrap().0;
    // it begins at 08:00; and the link is dialled again within a minute
    assert!((3_600_000_000..3_700_000_000).contains(&came), "{came}");
    let late = "\n[[late]]\nshare = \"50 %\"\nat = \"5 min\"\ninvited = true\n";
    let report = run(&format!("{FLEET}{late}"));
    assert_eq!(report.releases[0].active, 12, "{:?}", report.stragglers);
    assert!(report.head.virtual_us > 300_000_000);
}

#[test]
fn a_bad_model_runs_nowhere_and_what_was_before_stays() {
    for bad in ["probe", "soak"] {
        let later = format!(
            "\n[[release]]\nversion = \"1.1.0\"\nat = \"10 min\"\nsize = \"16 MiB\"\nbad = \"{bad}\"\n"
        );
        let report = run(&format!("{FLEET}{later}"));
        assert_eq!(report.releases[0].active, 12, "{bad}: {:?}", report.answer);
        assert_eq!(report.releases[1].active, 0, "{bad}");
        assert_eq!(
            report.releases[1].ever_active,
            if bad == "soak" { 12 } else { 0 }
        );
    }
}
