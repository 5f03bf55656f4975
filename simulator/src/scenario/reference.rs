//! Every key of the format: unit, default, meaning. The table in `docs/simulator.md` is
//! this one, and a test holds it against what the reader accepts.

use std::fmt::Write as _;

/// A table of the file, and its keys: key, kind of value, default, meaning.
pub(crate) type Table = (&'static str, &'static [[&'static str; 4]]);

pub(crate) const TABLES: &[Table] = &[
    (
        "",
        &[
            ["title", "text", "", "a headline"],
            ["question", "text", "none", "what one wants to know"],
            ["seed", "whole number", "1", "seeds every draw"],
            [
                "time_limit",
                "time, above 0",
                "",
                "virtual time after which the run ends",
            ],
            [
                "until",
                "`settled`, `time-limit`",
                "`settled`",
                "whether it ends as soon as nothing is planned any more and every honest node has what it should",
            ],
            [
                "network",
                "`quantum`, `fluid`",
                "`quantum`",
                "how links share their rate, see below",
            ],
            [
                "begins_at",
                "time of day",
                "`08:00`",
                "time of day at the beginning; it matters where links have hours",
            ],
            ["mesh", "table", "", "how nodes find each other"],
            ["site", "tables, 1 to 1,000,000 places", "", "places"],
            ["class", "tables", "none", "kinds of device"],
            [
                "release",
                "tables, at least 1",
                "",
                "what is published, in order of time",
            ],
            ["outage", "tables", "none", "links that fall or slow down"],
            [
                "partition",
                "tables",
                "none",
                "sites cut off from all others",
            ],
            [
                "courier",
                "tables",
                "none",
                "releases that somebody carries",
            ],
            [
                "churn",
                "tables",
                "none",
                "nodes that go down and come back",
            ],
            ["late", "tables", "none", "nodes that are switched on later"],
            [
                "adversary",
                "tables",
                "none",
                "nodes that do not play by the rules",
            ],
            ["theft", "tables", "none", "keys that are stolen"],
            [
                "assert",
                "tables",
                "none",
                "what must hold; one that does not makes the exit code 1",
            ],
        ],
    ),
    (
        "mesh",
        &[
            [
                "publisher",
                "a site",
                "the first",
                "the admin publishes at the first node of its first place; that node is always honest and up",
            ],
            [
                "lan_neighbours",
                "1 to 256",
                "8",
                "neighbours that a node has on its LAN",
            ],
            [
                "gossip",
                "true, false",
                "true",
                "announcements spread by gossip; without it by catch-up alone",
            ],
            [
                "threshold",
                "1 to 8",
                "1",
                "keys that must sign each release and each head",
            ],
        ],
    ),
    (
        "site",
        &[
            [
                "name",
                "text",
                "",
                "its name; with a count above 1 the places are NAME-1, NAME-2, …",
            ],
            ["count", "1 to 1,000,000", "1", "places of this kind"],
            [
                "nodes",
                "1 to 1,000,000",
                "",
                "nodes at each; at most 1,000,000 in all",
            ],
            ["uplink", "rate", "unlimited", "from the site to the world"],
            [
                "downlink",
                "rate",
                "as `uplink`",
                "from the world to the site",
            ],
            [
                "lan",
                "rate",
                "1 Gbit/s",
                "a node's network card, both ways",
            ],
            [
                "lan_round_trip",
                "time",
                "1 ms",
                "between two nodes of the site",
            ],
            [
                "wan_round_trip",
                "time",
                "20 ms",
                "to the middle of the network; between two sites it is the sum of theirs",
            ],
            ["loss", "share", "0 %", "packets lost on the uplink"],
            [
                "dials_only",
                "true, false",
                "false",
                "nobody can dial in (NAT)",
            ],
            [
                "gateways",
                "1 to `nodes`",
                "1",
                "nodes of each place that have bootstrap addresses; the others know their LAN only",
            ],
            [
                "dials",
                "sites",
                "the publisher's and this kind",
                "whose gateways these gateways dial",
            ],
            [
                "dial_count",
                "1 to 16",
                "2",
                "how many of them each gateway dials",
            ],
            [
                "open",
                "hours, a list",
                "always",
                "hours of the day at which the link is open, such as `[\"22:00-06:00\"]`",
            ],
        ],
    ),
    (
        "class",
        &[
            [
                "name",
                "text",
                "",
                "its name; nodes of no class are `plain`",
            ],
            ["share", "share", "", "of the nodes of its sites"],
            ["sites", "sites", "all", "where it is found"],
            [
                "nic",
                "rate",
                "the site's `lan`",
                "its network card, both ways",
            ],
            [
                "fetch_cap",
                "rate",
                "none",
                "most that it fetches a second: the node's own cap",
            ],
            [
                "uplink_hours",
                "list of hours",
                "always",
                "when its chunks may cross the uplink: the node's own timetable",
            ],
            [
                "hash_rate",
                "rate",
                "1 GB/s",
                "how fast it hashes a chunk; several are hashed side by side",
            ],
            ["ram", "amount", "8 GiB", "its memory"],
            ["disk", "amount", "64 GiB", "its free space for models"],
            [
                "clock_skew",
                "time, may be negative",
                "0 s",
                "how far its clock is ahead",
            ],
            [
                "refuse_new_when_stale",
                "true, false",
                "false",
                "it activates nothing new while the root has run out by its clock",
            ],
        ],
    ),
    (
        "release",
        &[
            ["version", "text", "", "its name in asserts and reports"],
            [
                "at",
                "time, up to `time_limit`",
                "0 s",
                "when it is published",
            ],
            [
                "size",
                "amount, above 0",
                "",
                "its model file, at most 65,536 chunks",
            ],
            [
                "chunk",
                "amount, up to 1 MiB",
                "as weft cuts a file of that size",
                "a chunk",
            ],
            [
                "shared",
                "share",
                "0 %",
                "chunks that the release before it holds too: not fetched again by who has them",
            ],
            [
                "needs_ram",
                "amount",
                "0 B",
                "memory that a device must have to run it",
            ],
            [
                "needs_disk",
                "amount",
                "0 B",
                "free space that a device must have",
            ],
            [
                "bad",
                "`no`, `probe`, `soak`",
                "`no`",
                "its model fails its probe everywhere, or only once it is active",
            ],
        ],
    ),
    (
        "outage",
        &[
            [
                "sites",
                "sites",
                "",
                "which; a kind means every place of it, `clinic-3` one place",
            ],
            [
                "share",
                "share",
                "100 %",
                "of these places, drawn by the seed",
            ],
            ["at", "time, up to `time_limit`", "", "when it begins"],
            ["for", "time", "", "how long it lasts"],
            [
                "slowed_to",
                "rate",
                "the link is dead",
                "what the link still carries, both ways",
            ],
        ],
    ),
    (
        "partition",
        &[
            ["sites", "sites", "", "which; they still reach each other"],
            ["at", "time, up to `time_limit`", "", "when it begins"],
            ["for", "time", "", "how long it lasts"],
        ],
    ),
    (
        "churn",
        &[
            ["sites", "sites", "all", "where"],
            [
                "share",
                "share",
                "100 %",
                "of the nodes there, but never the publisher's",
            ],
            [
                "mean_up",
                "time, 1 s or more",
                "",
                "mean time that a node stays up (exponential)",
            ],
            [
                "mean_down",
                "time, 1 s or more",
                "",
                "mean time that it stays down (exponential)",
            ],
            [
                "kind",
                "`kill`, `power-cut`",
                "`kill`",
                "a power cut loses what was not synced",
            ],
            ["from", "time, up to `time_limit`", "0 s", "when it begins"],
            [
                "until",
                "time",
                "never",
                "when it ends; all nodes come back",
            ],
        ],
    ),
    (
        "courier",
        &[
            ["sites", "sites", "", "which places; to one node of each"],
            [
                "version",
                "text",
                "",
                "the release that it brings, with all records that are out then",
            ],
            [
                "at",
                "time, up to `time_limit`",
                "never",
                "when it arrives; it reads 30 MB a second from its stick",
            ],
            [
                "expected_by",
                "time, up to `time_limit`",
                "nobody knows of it",
                "until when the nodes there leave to it what would come later over the uplink",
            ],
            [
                "told",
                "time, up to `time_limit`",
                "0 s",
                "when they are told; a node that is down then, or starts again, does not know",
            ],
        ],
    ),
    (
        "late",
        &[
            ["sites", "sites", "all", "where"],
            [
                "share",
                "share",
                "",
                "of the nodes there, but never the publisher's",
            ],
            [
                "at",
                "time, up to `time_limit`",
                "",
                "when the first is switched on",
            ],
            ["over", "time", "0 s", "over which time the others follow"],
            [
                "invited",
                "true, false",
                "false",
                "they are not enrolled yet and join by invitation, answered at the publisher",
            ],
        ],
    ),
    (
        "adversary",
        &[
            [
                "kind",
                "see below",
                "",
                "`corrupt`, `withhold`, `fake-have`, `stale-head`, `equivocate`, `stranger`",
            ],
            ["sites", "sites", "all", "where"],
            [
                "share",
                "share",
                "",
                "of the nodes there, but never the publisher's; this or `count`",
            ],
            ["count", "whole number", "", "how many; this or `share`"],
        ],
    ),
    (
        "theft",
        &[
            [
                "version",
                "text",
                "",
                "what the thief signs: its name in asserts",
            ],
            ["at", "time, up to `time_limit`", "", "when"],
            [
                "site",
                "a site",
                "the last",
                "at whose first node it is published",
            ],
            [
                "keys",
                "`head`, `release`",
                "both",
                "which keys, one of each",
            ],
            [
                "rotated",
                "time, up to `time_limit`",
                "never",
                "when the admin has new keys and says which heads still count",
            ],
        ],
    ),
    (
        "assert",
        &[
            [
                "coverage",
                "share",
                "",
                "at least so many honest nodes run the release",
            ],
            [
                "complete",
                "share",
                "",
                "at least so many honest nodes hold all its bytes",
            ],
            [
                "uplink_bytes_per_site",
                "multiple",
                "",
                "no link carried in more than so many times the bytes of the releases",
            ],
            [
                "no_blame",
                "true",
                "",
                "no honest node was let go by another",
            ],
            [
                "never_active",
                "a version",
                "",
                "no honest node ever ran it",
            ],
            ["gone", "a version", "", "no honest node runs it at the end"],
            [
                "duplicate_bytes",
                "share",
                "",
                "at most so much of all that was fetched was held already",
            ],
            [
                "of",
                "a version",
                "the last good release",
                "whose `coverage` or `complete`",
            ],
            ["by", "time", "the end", "how long after it was published"],
            ["sites", "sites", "all", "which nodes are counted"],
        ],
    ),
];

/// The reference as Markdown.
pub fn reference() -> String {
    let mut text = String::new();
    for (table, keys) in TABLES {
        let title = match *table {
            "" => "At the top of the file".to_owned(),
            "mesh" => "`[mesh]`".to_owned(),
            name => format!("`[[{name}]]`"),
        };
        let _ = write!(
            text,
            "#### {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
        );
        for [key, value, default, meaning] in *keys {
            let default = match *default {
                "" if *value == "table" => "see below",
                "" if matches!(*table, "assert")
                    || matches!(*key, "share" | "count") && *table == "adversary" =>
                {
                    "—"
                }
                "" => "must be given",
                other => other,
            };
            let _ = writeln!(text, "| `{key}` | {value} | {default} | {meaning} |");
        }
        text.push('\n');
    }
    text
}
