//! A bundle that comes through standard input. Its records are read first, since they say
//! what is to be done with it; the models behind them are never kept as a whole.

use std::{
    io::{self, Read, Seek as _, Write as _},
    path::Path,
};

use tempfile::NamedTempFile;
use weft_record::bundle::{BundleError, Decoder, Frame};

use crate::{
    context::Context,
    failure::{Exit, Failure},
};

/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// Longest front: the records of a large mesh.
const FRONT_BYTES: u64 = 256 * 1024 * 1024;

/// The records of a bundle in a file of their own, and what comes behind them.
pub(crate) struct Front<R> {
    file: NamedTempFile,
    source: R,
}

impl<R: Read> Front<R> {
    /// Reads up to the first chunk map or chunk.
    pub(crate) fn read(context: &Context, mut source: R) -> Result<Self, Failure> {
        let mut file = tempfile::Builder::new()
            .prefix(".import-")
            .tempfile_in(context.directory())
            .map_err(|error| no_room(context, &error))?;
        let (mut decoder, mut buffer, mut length) = (Decoder::new(), vec![0; READ_BYTES], 0);
        loop {
            let read = match source.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::file("standard input cannot be read", &error)),
            };
            let mut bytes = &buffer[..read];
            file.write_all(bytes)
                .map_err(|error| no_room(context, &error))?;
            length += read as u64;
            let mut is_behind = length > FRONT_BYTES;
            while !bytes.is_empty() && !is_behind {
                bytes = &bytes[decoder.push(bytes)..];
                while let Some(frame) = decoder.poll().map_err(|error| broken(&error))? {
                    is_behind |= !matches!(frame, Frame::Header { .. } | Frame::Record(_));
                }
            }
            if is_behind {
                return Ok(Self { file, source });
            }
            if read == 0 {
                decoder.finish().map_err(|error| broken(&error))?;
                return Ok(Self { file, source });
            }
        }
    }

    /// The file with the records.
    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Puts all that comes behind the records into the file too.
    pub(crate) fn spool(&mut self, context: &Context) -> Result<(), Failure> {
        io::copy(&mut self.source, &mut self.file)
            .map(|_| ())
            .map_err(|error| no_room(context, &error))
    }

    /// All of it again, from its beginning.
    pub(crate) fn into_reader(mut self, context: &Context) -> Result<impl Read + use<R>, Failure> {
        let begin = self.file.rewind();
        begin.map_err(|error| no_room(context, &error))?;
        // the file goes with its last handle
        Ok(self.file.into_file().chain(self.source))
    }
}

fn no_room(context: &Context, error: &io::Error) -> Failure {
    let what = format!(
        "no room for the bundle in {}",
        context.directory().display()
    );
    Failure::file(what, error)
}

fn broken(error: &BundleError) -> Failure {
    let what = "standard input was not taken in";
    match error {
        BundleError::Truncated { .. } => Failure::new(
            Exit::Network,
            what,
            format!("{error}, before any chunk"),
            "see why the command before the pipe ended, and try again",
        ),
        error => Failure::new(
            Exit::Verification,
            what,
            error.to_string(),
            "weft bundle export - | weft bundle import -",
        ),
    }
}
