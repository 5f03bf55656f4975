//! A program that is spoken to in lines, as those are that weft is measured beside.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::interrupt;

/// More lines than any of them says.
const LINES: usize = 16;
/// How often a wait looks whether it should end.
const SLICE: Duration = Duration::from_millis(100);

/// Such a program; its process is killed when it goes.
pub struct Talker {
    child: Child,
    input: ChildStdin,
    lines: Receiver<(Instant, String)>,
}

impl Talker {
    /// Starts it.
    pub fn start(mut command: Command) -> Result<Self> {
        interrupt::watch();
        let spawned = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"));
        let mut child = spawned?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        let (say, lines) = sync_channel(LINES);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if say.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            child,
            input,
            lines,
        })
    }

    /// Says a line to it.
    pub fn tell(&mut self, line: &str) -> Result<()> {
        writeln!(self.input, "{line}")?;
        Ok(())
    }

    /// The next line, and when it came.
    pub fn hear(&self, limit: Duration) -> Result<(Instant, String)> {
        let end = Instant::now() + limit;
        loop {
            match self.lines.recv_timeout(SLICE) {
                Ok(heard) => return Ok(heard),
                Err(RecvTimeoutError::Disconnected) => bail!("it ended"),
                Err(RecvTimeoutError::Timeout) => {
                    ensure!(Instant::now() < end, "it said nothing within {limit:?}");
                    interrupt::sleep_until(Instant::now())?;
                }
            }
        }
    }

    /// When it said this, which must be its next line.
    pub fn hear_line(&self, wanted: &str, limit: Duration) -> Result<Instant> {
        let (at, line) = self.hear(limit)?;
        ensure!(line == wanted, "it said {line:?} in place of {wanted:?}");
        Ok(at)
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
