//! `weft mesh invite`

use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_node::{
    InviteError,
    client::{Client, ClientError},
    report::{InviteReport, InviteRequest},
};
use weft_record::{Label, Name};

use crate::{
    context::{Context, quoted},
    failure::{Exit, Failure},
    output::fields,
    signing,
};

/// Make an invitation with which one node can join.
///
/// It is made in the folder of the admin's node and holds a secret: who has the text can join
/// once. It is shown only now.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft mesh invite --site ward-3\n  weft mesh invite --site plant --label line=2 --expires 24h --out ./line-2.invitation"
)]
pub(crate) struct Invite {
    /// The site that the node will be at
    #[arg(long, value_name = "SITE", default_value = "main")]
    site: Name,
    /// What is said of it, a name and a value; may be given more than once
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<Label>,
    /// For how long the invitation can be used, such as 7d, 12h or 30min
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    expires: u64,
    /// Where the node finds a member, a multiaddress that ends in /p2p/…; may be given more than
    /// once [default: where this node listens, if it runs or its port is fixed]
    #[arg(long, value_name = "ADDRESS")]
    address: Vec<String>,
    /// Write the invitation into this new file, which only you can read, instead of showing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    /// The text; null where it went into a file.
    invitation: Option<String>,
    file: Option<PathBuf>,
    site: Name,
    addresses: Vec<String>,
    expires_s: u64,
    /// The command that the new node's owner runs.
    join: String,
}

impl Invite {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let request = InviteRequest {
            site: self.site.clone(),
            labels: self.label,
            expires_in_s: self.expires,
            addresses: self.address,
        };
        let made = match Client::connect(context.directory()) {
            Ok(client) => client
                .invite(&request)
                .map_err(|error| refused(context, &error))?,
            Err(ClientError::NotRunning(_)) => weft_node::invite_offline(&context.home()?, request)
                .map_err(|error| refused_offline(context, &error))?,
            Err(error) => return Err(context.client_refused(&error)),
        };
        if let Some(path) = &self.out {
            write(path, &made)?;
        }
        let join = match &self.out {
            Some(path) => format!("weft mesh join {}", quoted(path)),
            None => format!("weft mesh join {}", made.invitation),
        };
        let report = Report {
            invitation: self.out.is_none().then_some(made.invitation),
            file: self.out,
            site: self.site,
            addresses: made.addresses,
            expires_s: made.expires_s,
            join,
        };
        context.output.result(&report, |style| {
            let left_s = report.expires_s.saturating_sub(signing::now_s());
            let members = if report.addresses.is_empty() {
                "none named: they are looked for on the LAN, or given with --peer".to_owned()
            } else {
                report.addresses.join("\n         ")
            };
            let rows = [
                ("site", report.site.to_string()),
                ("members", members),
                ("expires", format!("in {}", days(left_s))),
            ];
            let mut text = fields(style, &rows);
            text.push_str(
                "\nWho has it can join once; it is not shown again. On the new machine:\n\n",
            );
            let _ = writeln!(text, "{}", style.bold(&report.join));
            text
        })
    }
}

fn write(path: &Path, made: &InviteReport) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let written = options
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", made.invitation).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::file(format!("{} was not written", path.display()), &error))
}

fn refused(context: &Context, error: &ClientError) -> Failure {
    match error {
        ClientError::Refused { code, message, .. } if code == "no_registrar" => {
            no_registrar(message)
        }
        ClientError::Refused { code, message, .. } if code == "bad_request" => asked(message),
        error => context.client_refused(error),
    }
}

fn refused_offline(context: &Context, error: &InviteError) -> Failure {
    match error {
        InviteError::NoRegistrar => no_registrar(&error.to_string()),
        InviteError::Asked(why) => asked(why),
        error => Failure::new(
            Exit::Failed,
            "no invitation was made",
            error.to_string(),
            context.command("status"),
        ),
    }
}

fn no_registrar(why: &str) -> Failure {
    let next = "run it in the folder in which `weft mesh init` was run";
    Failure::new(Exit::Refused, "no invitation was made", why, next)
}

fn asked(why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        "no invitation was made",
        why,
        "weft mesh invite --help",
    )
}

/// `7 days`, `3 h 20 min`.
pub(crate) fn days(seconds: u64) -> String {
    const DAY_S: u64 = 24 * 3600;
    if seconds >= 2 * DAY_S {
        // what is left of a week a moment later is still called a week
        format!("{} days", (seconds + DAY_S / 24) / DAY_S)
    } else {
        crate::output::duration(seconds as f64)
    }
}

fn label(text: &str) -> Result<Label, String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("a label is a name and a value, such as ward=icu")?;
    let read = |part: &str| part.parse::<Name>().map_err(|error| error.to_string());
    Ok(Label {
        name: read(name)?,
        value: read(value)?,
    })
}

pub(crate) fn seconds(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let factor: u64 = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("a time is a number and s, min, h or d, such as 7d".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "it begins with no number")?;
    match number.checked_mul(factor) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err("it is out of range".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_labels_are_read() {
        assert_eq!(seconds("7d"), Ok(604_800));
        assert_eq!(seconds("30min"), Ok(1800));
        for wrong in ["", "7", "d", "0s", "7w", "-1d", "99999999999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
        assert_eq!(days(604_799), "7 days");
        assert!(label("ward=icu").is_ok());
        for wrong in ["ward", "=icu", "ward=", "Ward=icu"] {
            assert!(label(wrong).is_err(), "{wrong}");
        }
    }
}
