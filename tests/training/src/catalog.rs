//! What can go wrong on a site, and how people write it down: the tables that
//! the generator draws from. Nothing here is random.
//!
//! Every word has spellings that training may use (`known`) and spellings that
//! only held-out lines use (`held_out`). The same holds for devices, for the
//! order of a line's fields, and for the way a reading is written.

/// A word of the log language with its spellings.
#[derive(Debug)]
pub struct Word {
    /// Spellings that training lines use.
    pub known: &'static [&'static str],
    /// Spellings that no training line ever holds.
    pub held_out: &'static [&'static str],
}

/// Which way a reading leaves its safe range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Too much is bad: the limit is a maximum.
    High,
    /// Too little is bad: the limit is a minimum.
    Low,
}

/// Something a sensor measures on a component.
#[derive(Debug)]
pub struct Measure {
    /// How it is called.
    pub word: &'static Word,
    /// Which side of the limit is bad.
    pub direction: Direction,
    /// Smallest and largest limit that occurs.
    pub limit: (f64, f64),
    /// Digits after the decimal point.
    pub decimals: usize,
    /// How its unit may be written.
    pub units: &'static [&'static str],
}

/// What a set of bad readings means, and what mends it.
#[derive(Debug)]
pub struct Fault {
    /// The answer's `cause`.
    pub cause: &'static str,
    /// The stem of the answer's `action`.
    pub remedy: &'static str,
}

/// A part of a machine, with its two measures and the three faults they tell
/// apart: only the first is bad, only the second, both.
#[derive(Debug)]
pub struct Component {
    /// The answer's `component`.
    pub name: &'static str,
    /// How it is called in a line.
    pub word: Word,
    /// The two measures.
    pub measures: [Measure; 2],
    /// Faults by bad measure: first, second, both.
    pub faults: [Fault; 3],
}

macro_rules! word {
    ($($known:literal)+ ; $($held_out:literal)+) => {
        Word { known: &[$($known),+], held_out: &[$($held_out),+] }
    };
}

static TEMPERATURE: Word = word!("temp" "tmp" "temperature" "tmpr"; "tmprtr" "tempr" "temprature");
static VIBRATION: Word = word!("vib" "vibr" "vibration" "vbr"; "vibrtn" "vibn" "vibation");
static CURRENT: Word = word!("curr" "current" "crnt" "amps"; "crrnt" "curnt" "currnt");
static LEAKAGE: Word = word!("leak" "leakage" "lkg"; "leakge" "lekage" "lk");
static PRESSURE: Word = word!("press" "pressure" "prs" "psr"; "presr" "pressur" "prssr");
static DIFFERENTIAL: Word = word!("dp" "diffp" "delta-p"; "dfp" "diff-p" "dltp");
static FLOW: Word = word!("flow" "flw" "flowrate"; "flo" "flwrt" "flow-rt");
static LEVEL: Word = word!("level" "lvl" "lev"; "levl" "lvel" "lvll");
static VOLTAGE: Word = word!("volt" "voltage" "vlt" "volts"; "vltg" "voltge" "vltage");
static DEVIATION: Word = word!("dev" "deviation" "devn"; "deviatn" "dvtn" "deviat");
static SPEED: Word = word!("speed" "spd" "spee"; "sped" "spdd" "speeed");
static TENSION: Word = word!("tension" "tens" "tnsn"; "tensn" "tensin" "tnsion");
static LOSS: Word = word!("loss" "pktloss" "pkt-loss"; "pckloss" "pktlos" "packloss");
static NOISE_RATIO: Word = word!("snr" "sig" "signal"; "sgnl" "signl" "siganl");

const fn measure(
    word: &'static Word,
    direction: Direction,
    limit: (f64, f64),
    decimals: usize,
    units: &'static [&'static str],
) -> Measure {
    Measure {
        word,
        direction,
        limit,
        decimals,
        units,
    }
}

const fn fault(cause: &'static str, remedy: &'static str) -> Fault {
    Fault { cause, remedy }
}

use Direction::{High, Low};

/// All components the model knows.
pub static COMPONENTS: [Component; 12] = [
    Component {
        name: "bearing",
        word: word!("brg" "bearing" "bear" "brng"; "berng" "bearng" "brgn" "baering"),
        measures: [
            measure(&TEMPERATURE, High, (60.0, 95.0), 0, &["C", "degC", " C"]),
            measure(&VIBRATION, High, (3.0, 8.0), 1, &["mm/s", " mm/s", ""]),
        ],
        faults: [
            fault("lubrication-loss", "regrease"),
            fault("misalignment", "realign"),
            fault("bearing-wear", "replace-bearing"),
        ],
    },
    Component {
        name: "motor",
        word: word!("motor" "mtr" "mot" "motr"; "mtor" "moter" "mottor" "mtrr"),
        measures: [
            measure(&CURRENT, High, (12.0, 60.0), 0, &["A", " A", "amp"]),
            measure(&TEMPERATURE, High, (70.0, 99.0), 0, &["C", "degC", " C"]),
        ],
        faults: [
            fault("overload", "reduce-load"),
            fault("cooling-loss", "clean-cooling"),
            fault("winding-fault", "test-winding"),
        ],
    },
    Component {
        name: "seal",
        word: word!("seal" "sl" "shaftseal" "shaft-seal"; "sael" "seall" "shftseal" "shaftsl"),
        measures: [
            measure(&LEAKAGE, High, (10.0, 60.0), 0, &["ml", "ml/m", " ml"]),
            measure(&PRESSURE, Low, (2.0, 8.0), 1, &["bar", " bar", ""]),
        ],
        faults: [
            fault("seal-wear", "replace-seal"),
            fault("feed-loss", "check-feed"),
            fault("seal-burst", "isolate-line"),
        ],
    },
    Component {
        name: "filter",
        word: word!("filter" "flt" "filt" "fltr"; "filtr" "fiter" "filtter" "fliter"),
        measures: [
            measure(
                &DIFFERENTIAL,
                High,
                (20.0, 90.0),
                0,
                &["kPa", " kPa", "kpa"],
            ),
            measure(&FLOW, Low, (20.0, 80.0), 0, &["l/m", " l/m", "lpm"]),
        ],
        faults: [
            fault("filter-clogged", "change-filter"),
            fault("inlet-blocked", "clear-inlet"),
            fault("filter-collapsed", "replace-housing"),
        ],
    },
    Component {
        name: "gearbox",
        word: word!("gearbox" "gbx" "gear" "grbx"; "gearbx" "gerbox" "gbox" "geabox"),
        measures: [
            measure(&TEMPERATURE, High, (60.0, 98.0), 0, &["C", "degC", " C"]),
            measure(&LEVEL, Low, (20.0, 60.0), 0, &["%", " %", "pct"]),
        ],
        faults: [
            fault("oil-aged", "change-oil"),
            fault("oil-leak", "top-up-oil"),
            fault("gear-scoring", "inspect-gears"),
        ],
    },
    Component {
        name: "battery",
        word: word!("battery" "batt" "bat" "btry"; "battry" "batery" "bttry" "batter"),
        measures: [
            measure(&VOLTAGE, Low, (11.0, 48.0), 1, &["V", " V", "v"]),
            measure(&TEMPERATURE, High, (35.0, 60.0), 0, &["C", "degC", " C"]),
        ],
        faults: [
            fault("discharged", "recharge"),
            fault("thermal-stress", "cool-battery"),
            fault("cell-failure", "replace-cells"),
        ],
    },
    Component {
        name: "valve",
        word: word!("valve" "vlv" "valv" "vv"; "vlve" "vavle" "vallve" "vlav"),
        measures: [
            measure(&DEVIATION, High, (4.0, 20.0), 0, &["%", " %", "pct"]),
            measure(&PRESSURE, High, (6.0, 20.0), 1, &["bar", " bar", ""]),
        ],
        faults: [
            fault("stiction", "stroke-valve"),
            fault("backpressure", "vent-line"),
            fault("seat-jam", "rebuild-valve"),
        ],
    },
    Component {
        name: "belt",
        word: word!("belt" "blt" "vbelt" "v-belt"; "bellt" "belt1" "bvelt" "vblt"),
        measures: [
            measure(&SPEED, Low, (1.0, 4.0), 1, &["m/s", " m/s", ""]),
            measure(&TENSION, Low, (120.0, 480.0), 0, &["N", " N", ""]),
        ],
        faults: [
            fault("belt-slip", "clean-pulley"),
            fault("belt-slack", "tension-belt"),
            fault("belt-tear", "replace-belt"),
        ],
    },
    Component {
        name: "fan",
        word: word!("fan" "blower" "blwr" "fn"; "blowr" "bloer" "blwer" "faan"),
        measures: [
            measure(&SPEED, Low, (600.0, 980.0), 0, &["rpm", " rpm", "rpm"]),
            measure(&VIBRATION, High, (3.0, 8.0), 1, &["mm/s", " mm/s", ""]),
        ],
        faults: [
            fault("blade-drag", "clean-blades"),
            fault("imbalance", "balance-rotor"),
            fault("blade-crack", "replace-blades"),
        ],
    },
    Component {
        name: "tank",
        word: word!("tank" "tnk" "vessel" "vsl"; "tnak" "tankk" "vesel" "vssl"),
        measures: [
            measure(&LEVEL, High, (35.0, 52.0), 0, &["%", " %", "pct"]),
            measure(&FLOW, High, (20.0, 80.0), 0, &["l/m", " l/m", "lpm"]),
        ],
        faults: [
            fault("outlet-blocked", "clear-outlet"),
            fault("inflow-surge", "throttle-inlet"),
            fault("overfill", "divert-flow"),
        ],
    },
    Component {
        name: "link",
        word: word!("link" "lnk" "uplink" "radio"; "lnik" "uplnk" "linkk" "radi0"),
        measures: [
            measure(&LOSS, High, (3.0, 30.0), 0, &["%", " %", "pct"]),
            measure(&NOISE_RATIO, Low, (10.0, 30.0), 0, &["dB", " dB", "db"]),
        ],
        faults: [
            fault("congestion", "limit-traffic"),
            fault("weak-signal", "move-antenna"),
            fault("antenna-fault", "replace-antenna"),
        ],
    },
    Component {
        name: "heater",
        word: word!("heater" "htr" "heat" "heatr"; "hetr" "heeter" "hearer" "hteater"),
        measures: [
            measure(&CURRENT, Low, (12.0, 60.0), 0, &["A", " A", "amp"]),
            measure(&TEMPERATURE, Low, (40.0, 90.0), 0, &["C", "degC", " C"]),
        ],
        faults: [
            fault("element-ageing", "renew-element"),
            fault("heat-loss", "check-insulation"),
            fault("element-broken", "replace-element"),
        ],
    },
];

/// "Above the limit".
pub static HIGH: Word = word!("hi" "high" "over" "abv"; "hgh" "ovr" "hii");
/// "Below the limit".
pub static LOW: Word = word!("lo" "low" "under" "blw"; "lw" "undr" "loww");
/// "Within the limit".
pub static NORMAL: Word = word!("ok" "norm" "normal" "nml"; "nrml" "okk" "norml");
/// "Within the limit, but on its way to it".
pub static DRIFTING: Word =
    word!("creeping" "drifting" "drift" "trending" "trend"; "creepng" "drftng" "trnding" "dirft");
/// Names a maximum.
pub static MAXIMUM: Word = word!("max" "lim" "maximum" "limit"; "mx" "limt" "maxm");
/// Names a minimum.
pub static MINIMUM: Word = word!("min" "minimum" "mnm"; "mn" "minm" "minum");
/// The machine's guard has seen it: severity is at least `high`.
pub static ALARM: Word = word!("alarm" "alm" "ALM" "alrm"; "alram" "alam" "alarrm");
/// The machine has stopped itself: severity is `critical`.
pub static TRIP: Word =
    word!("trip" "tripped" "trp" "shutdown" "shutdn"; "tripd" "trippd" "shtdwn" "shutdwn");
/// Says nothing that the readings do not say.
pub static WARNING: Word = word!("warn" "wrn" "warning"; "wanr" "warng" "wrning");

/// Every word of the language, for checks over all spellings.
pub fn all_words() -> Vec<&'static Word> {
    let mut words = vec![
        &HIGH, &LOW, &NORMAL, &DRIFTING, &MAXIMUM, &MINIMUM, &ALARM, &TRIP, &WARNING,
    ];
    for component in &COMPONENTS {
        words.push(&component.word);
        words.extend(component.measures.iter().map(|measure| measure.word));
    }
    words
}

/// Devices: a tag's prefix and a name. Training and held-out lines share none.
pub static KNOWN_DEVICES: [(&str, &str); 9] = [
    ("PMP", "pump"),
    ("CMP", "compressor"),
    ("CNV", "conveyor"),
    ("GEN", "generator"),
    ("TRB", "turbine"),
    ("EXT", "extruder"),
    ("LFT", "lift"),
    ("AHU", "airhandler"),
    ("AGV", "shuttle"),
];
/// Devices that only held-out lines name.
pub static HELD_OUT_DEVICES: [(&str, &str); 7] = [
    ("CHL", "chiller"),
    ("MIX", "mixer"),
    ("CRN", "crane"),
    ("OVN", "oven"),
    ("RBT", "robot"),
    ("DRY", "dryer"),
    ("MIL", "mill"),
];

/// Orders of a line's fields: time, device, component, readings, status. The
/// first ones are all that 1.0.0 sees.
pub static PLAIN_ORDERS: [&str; 4] = ["TDCRS", "DTCRS", "TDSCR", "TCRSD"];
/// Further orders, which only the fine-tuning of 1.1.0 adds.
pub static VARIED_ORDERS: [&str; 14] = [
    "DCRTS", "CRSTD", "STDCR", "SDCRT", "TSCRD", "CRDTS", "DSTCR", "CTDRS", "TCDRS", "DRCTS",
    "TRCSD", "RCSTD", "DTRCS", "TSRCD",
];
/// Orders that only held-out lines have.
pub static HELD_OUT_ORDERS: [&str; 10] = [
    "TDRSC", "RDTCS", "SRDCT", "RTCDS", "DRSCT", "CSRTD", "RSTDC", "SCDTR", "CDTSR", "TRDCS",
];
