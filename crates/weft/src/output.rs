//! What goes to standard output: lines for people, or one object a result for programs.

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _, Write as _},
};

use serde::Serialize;

use crate::{
    failure::Failure,
    style::{ColorChoice, Style},
};

/// Version of every object that `--json` prints.
pub(crate) const SCHEMA: u32 = 1;

/// How the user wants to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Objects instead of lines.
    pub(crate) json: bool,
    /// Nothing but results and errors.
    pub(crate) quiet: bool,
    /// Colour of standard output.
    pub(crate) style: Style,
    /// Colour of standard error.
    pub(crate) error_style: Style,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, color: ColorChoice) -> Self {
        Self {
            json,
            quiet,
            style: Style::stdout(color),
            error_style: Style::stderr(color),
        }
    }

    /// The result of a verb: an object with `--json`, else lines.
    pub(crate) fn result(
        self,
        object: &impl Serialize,
        text: impl FnOnce(Style) -> String,
    ) -> Result<(), Failure> {
        if self.json {
            self.object(object)
        } else {
            self.text(&text(self.style))
        }
    }

    /// An object with its schema number, on one line.
    pub(crate) fn object(self, object: &impl Serialize) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Versioned<'a, T> {
            schema: u32,
            #[serde(flatten)]
            object: &'a T,
        }
        self.bare_object(&Versioned {
            schema: SCHEMA,
            object,
        })
    }

    /// An object exactly as it is: for outputs whose keys other programs fixed.
    pub(crate) fn bare_object(self, object: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(object).map_err(|error| {
            let exit = crate::failure::Exit::Failed;
            Failure::new(
                exit,
                "the result cannot be written as JSON",
                error.to_string(),
                "",
            )
        })?;
        self.text(&(text + "\n"))
    }

    /// Text as it is.
    // of all outputs the one that looks the same everywhere
    #[allow(clippy::unused_self)]
    pub(crate) fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(|error| written(&error))
    }

    /// A line of a story that is told while a verb works: for people, not with `--json`
    /// or `-q`.
    pub(crate) fn story(self, text: &str) -> Result<(), Failure> {
        if self.json || self.quiet {
            Ok(())
        } else {
            self.text(&format!("{text}\n"))
        }
    }

    /// A remark for people on standard error: not with `--json` or `-q`.
    pub(crate) fn note(self, text: &str) {
        if !self.json && !self.quiet {
            // who closed standard error does not want to know
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// Whether a bar may be drawn.
    pub(crate) fn shows_progress(self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// A failure, where its reader looks for it.
    pub(crate) fn failure(self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        if self.json {
            let _ = writeln!(io::stdout().lock(), "{}", failure.json());
        } else {
            let _ = write!(io::stderr().lock(), "{}", failure.text(self.error_style));
        }
    }
}

/// A failed write to standard output.
pub(crate) fn written(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::quiet()
    } else {
        Failure::file("standard output cannot be written", error)
    }
}

/// Lays rows out in columns; a column whose every cell below its head is a number
/// stands to the right.
pub(crate) fn table(style: Style, head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells
            .chain([head[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let numeric: Vec<bool> = (0..head.len())
        .map(|column| {
            let mut cells = rows.iter().filter_map(|row| row.get(column)).peekable();
            cells.peek().is_some()
                && cells.all(|cell| cell == "-" || cell.starts_with(|c: char| c.is_ascii_digit()))
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (column, cell) in cells.iter().enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            let width = widths[column];
            let _ = if numeric[column] {
                write!(line, "{gap}{cell:>width$}")
            } else {
                write!(line, "{gap}{cell:<width$}")
            };
        }
        line.trim_end().to_owned()
    };
    let mut text = style.bold(&line(head.to_vec())) + "\n";
    for row in rows {
        text.push_str(&line(row.iter().map(String::as_str).collect()));
        text.push('\n');
    }
    text
}

/// Named values under each other.
pub(crate) fn fields(style: Style, fields: &[(&str, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for (name, value) in fields {
        let label = format!("{name:<width$}");
        let _ = writeln!(text, "{}  {value}", style.dim(&label));
    }
    text
}

/// A size as people read it: three figures and a unit.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if value < 9.995 {
        2
    } else {
        usize::from(value < 99.95)
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A share in percent.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        "-".to_owned()
    } else {
        format!("{:.0} %", part as f64 * 100.0 / whole as f64)
    }
}

/// A count with its noun.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// A time as people read it.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        if whole < 3600 {
            format!("{} min {:02} s", whole / 60, whole % 60)
        } else {
            format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_figures() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_600, "1.00 MB"),
            (2_500_000, "2.50 MB"),
            (1 << 40, "1.10 TB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn times_and_shares() {
        assert_eq!(count(1, "peer"), "1 peer");
        assert_eq!(count(0, "peer"), "0 peers");
        assert_eq!(duration(4.24), "4.2 s");
        assert_eq!(duration(75.4), "1 min 15 s");
        assert_eq!(duration(3_720.0), "1 h 02 min");
        assert_eq!(percent(1, 3), "33 %");
        assert_eq!(percent(1, 0), "-");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = vec![
            vec!["a".into(), "5".into()],
            vec!["long".into(), "-".into()],
        ];
        let text = table(Style::plain(), &["name", "count"], &rows);
        assert_eq!(text, "name  count\na         5\nlong      -\n");
        assert_eq!(table(Style::plain(), &["name", "x"], &[]), "name  x\n");
    }

    #[test]
    fn fields_line_up() {
        let text = fields(Style::plain(), &[("a", "1".into()), ("long", "2".into())]);
        assert_eq!(text, "a     1\nlong  2\n");
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let error = io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(written(&error), Failure::quiet());
        let error = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(written(&error).exit, crate::failure::Exit::Disk);
    }
}
