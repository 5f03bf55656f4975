//! Scenarios as the command line names them: a file, or one that comes with the program;
//! with the keys that are set beside.

use std::{fmt::Write as _, ops::Range, path::Path};

use weft_sim::{
    Options, Progress, rehearse,
    report::Report,
    scenario::{Mistake, READY, Scenario, Setting, Share, Source, ready, set},
};

use super::failure::Failure;

/// A scenario, and how it is rehearsed.
#[derive(Clone, clap::Args)]
pub(crate) struct Chosen {
    /// A scenario file, or a name from `weft-sim scenarios`
    pub(crate) scenario: String,
    #[command(flatten)]
    pub(crate) how: How,
}

/// How it is rehearsed.
#[derive(Clone, clap::Args)]
pub(crate) struct How {
    /// Seed, in place of the scenario's own
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Part of the fleet: fewer places of a kind, or fewer nodes of a single place
    #[arg(long, value_name = "SHARE", default_value = "100 %")]
    pub(crate) scale: Share,
    /// Change a key, such as site.clinic.uplink="5 Mbit/s"; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub(crate) settings: Vec<Setting>,
}

/// A scenario that was read.
pub(crate) struct Loaded {
    /// As it was named.
    pub(crate) name: String,
    text: String,
    pub(crate) scenario: Scenario,
    pub(crate) settings: Vec<Setting>,
    pub(crate) options: Options,
}

impl Loaded {
    /// Reads a scenario and checks it.
    pub(crate) fn read(name: &str, how: &How) -> Result<Self, Failure> {
        let (shown, mut text) = find(name)?;
        for setting in &how.settings {
            let source = Source {
                name: &shown,
                text: &text,
            };
            text = set(source, setting)?;
        }
        let source = Source {
            name: &shown,
            text: &text,
        };
        let scenario = Scenario::read(source)?;
        if how.scale.ppm == 0 {
            return Err(Failure::usage(
                "--scale 0 %",
                "nothing of the fleet is left",
                "write a share above zero, such as 10%",
            ));
        }
        let options = Options {
            seed: how.seed.unwrap_or(scenario.seed),
            scale: how.scale,
            is_one_of_many: false,
        };
        Ok(Self {
            name: name.to_owned(),
            text,
            scenario,
            settings: how.settings.clone(),
            options,
        })
    }

    /// Carries it out.
    pub(crate) fn rehearse(
        &self,
        options: Options,
        watch: &mut dyn FnMut(Progress) -> bool,
    ) -> Result<Report, Failure> {
        let mut report = rehearse(&self.scenario, options, watch)
            .map_err(|error| Failure::unbuildable(self, error))?;
        report.name(&self.name, &self.replay(options.seed));
        Ok(report)
    }

    pub(crate) fn mistake(&self, span: Range<usize>, why: String, next: String) -> Mistake {
        let source = Source {
            name: &self.name,
            text: &self.text,
        };
        source.mistake(span, why, next)
    }

    /// The command that runs it again.
    fn replay(&self, seed: u64) -> String {
        let mut command = format!("weft-sim replay {} --seed {seed}", quoted(&self.name));
        if self.options.scale != Share::ALL {
            let share = self.options.scale.to_string().replace(' ', "");
            let _ = write!(command, " --scale {share}");
        }
        for Setting { path, value } in &self.settings {
            let _ = write!(command, " --set {}", quoted(&format!("{path}={value}")));
        }
        command
    }
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./=:+,@".contains(character);
    if word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The text of a scenario, and how mistakes name it.
fn find(name: &str) -> Result<(String, String), Failure> {
    if let Some(ready) = ready(name) {
        return Ok((format!("{name}.toml"), ready.text.to_owned()));
    }
    let path = Path::new(name);
    if !path.exists() && !name.contains(['/', '.']) {
        let names: Vec<&str> = READY.iter().map(|ready| ready.name).collect();
        return Err(Failure::usage(
            format!("there is no scenario {name:?}"),
            format!(
                "no such file, and none of {} that come with the program",
                names.len()
            ),
            format!("weft-sim scenarios   ({})", names.join(", ")),
        ));
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Ok((name.to_owned(), text)),
        Err(error) => Err(Failure::unread(path, &error)),
    }
}
