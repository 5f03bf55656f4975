//! `weft bundle export`

use std::{
    collections::BTreeSet,
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;
use weft_node::Home;
use weft_record::{Hash, Name};

use super::{COPY_BYTES, broke_off, into_new_file, wants};
use crate::{
    bundle_lack::{Has, Lack},
    bundle_part::{self, Part, Written},
    context::{Context, quoted},
    failure::Failure,
    output::{count, size, written},
    progress::Spinner,
    refusals,
};

/// Write this node's release and all records to a file, or to a pipe.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  weft bundle export /mnt/stick/stable.weft\n  weft bundle export - | ssh site weft bundle import -\n  weft bundle export one.weft --max-bytes 4GB\n  weft bundle export two.weft --max-bytes 4GB --without one.weft\n  weft bundle export update.weft --delta-from 1.4.0\n  ssh site weft bundle wants > site.wants && weft bundle export update.weft --for site.wants"
)]
pub(crate) struct Export {
    /// The file to write, or - for standard output
    file: PathBuf,
    /// Whose release
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    channel: Name,
    /// Write no more than this, such as 4GB: the chunks that fit
    #[arg(long, value_name = "SIZE", value_parser = weft_node::parse_bytes)]
    max_bytes: Option<u64>,
    /// Leave out the chunks of this bundle: it is there, or on its way; may be repeated
    #[arg(long, value_name = "BUNDLE")]
    without: Vec<PathBuf>,
    /// Write what a site lacks, by the list that weft bundle wants wrote there
    #[arg(long = "for", value_name = "LIST")]
    site: Option<PathBuf>,
    /// Write what a site lacks that runs this version
    #[arg(long, value_name = "VERSION")]
    delta_from: Option<String>,
}

impl Export {
    pub(super) fn run(&self, context: &Context) -> Result<(), Failure> {
        let home = context.home()?;
        let held = bundle_part::chunks_of(self.without.iter().map(PathBuf::as_path))?;
        let lack = self.lack(context, &home)?;
        let spinner = Spinner::start(context.output, "writing the bundle");
        if self.file == Path::new("-") {
            let mut out = io::stdout().lock();
            self.write(context, &home, (held, lack), &spinner, &mut out)?;
            return out.flush().map_err(|error| written(&error));
        }
        let part = into_new_file(&self.file, |out| {
            self.write(context, &home, (held, lack), &spinner, out)
        })?;
        drop(spinner);
        self.tell(context, part)
    }

    /// What the other side lacks, if it is told what it has.
    fn lack(&self, context: &Context, home: &Home) -> Result<Option<Lack>, Failure> {
        let mut has = Has::default();
        if let Some(path) = &self.site {
            has.add(wants::read(context, home, path)?);
        }
        if let Some(version) = &self.delta_from {
            has.add(wants::list(context, home, Some(version))?);
        }
        let is_told = self.site.is_some() || self.delta_from.is_some();
        Ok(is_told.then(|| Lack::of(has)))
    }

    fn write(
        &self,
        context: &Context,
        home: &Home,
        (held, lack): (BTreeSet<Hash>, Option<Lack>),
        spinner: &Spinner,
        out: &mut dyn Write,
    ) -> Result<Written, Failure> {
        let mut part = Part::new(out, held, lack, self.max_bytes);
        if home.running().is_none() {
            weft_node::export_offline(home, &self.channel, &mut part)
                .map_err(|error| refusals::export(context, &error))?;
            return part.finish();
        }
        let mut reader = context
            .client()?
            .export(&self.channel)
            .map_err(|error| context.client_refused(&error))?;
        copy(&mut reader, &mut part, |bytes| {
            spinner.say(format!("read {}", size(bytes)));
        })?;
        part.finish()
    }

    fn tell(&self, context: &Context, part: Written) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Report<'a> {
            file: &'a Path,
            channel: &'a Name,
            bytes: u64,
            chunks: u64,
            chunks_spared: u64,
            bytes_spared: u64,
            chunks_left: u64,
            bytes_left: u64,
        }
        let report = Report {
            file: &self.file,
            channel: &self.channel,
            bytes: part.bytes,
            chunks: part.chunks,
            chunks_spared: part.chunks_spared,
            bytes_spared: part.bytes_spared,
            chunks_left: part.chunks_left,
            bytes_left: part.bytes_left,
        };
        context.output.result(&report, |_| {
            let spared = match part.chunks_spared {
                0 => String::new(),
                spared => format!(
                    ", without {}, {}, that are not needed there",
                    count(spared as usize, "chunk"),
                    size(part.bytes_spared)
                ),
            };
            let text = format!(
                "{}: {} of channel {}{spared}\n",
                self.file.display(),
                size(part.bytes),
                self.channel
            );
            if part.chunks_left == 0 {
                return text;
            }
            text + &format!(
                "{} more, {}, did not fit; the next bundle takes them with --without {}\n",
                count(part.chunks_left as usize, "chunk"),
                size(part.bytes_left),
                quoted(&self.file)
            )
        })
    }
}

fn copy(
    from: &mut impl Read,
    to: &mut dyn Write,
    mut progress: impl FnMut(u64),
) -> Result<u64, Failure> {
    let (mut buffer, mut total) = (vec![0; COPY_BYTES], 0);
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(total),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(broke_off(&error)),
        };
        to.write_all(&buffer[..read])
            .map_err(|error| written(&error))?;
        total += read as u64;
        progress(total);
    }
}
