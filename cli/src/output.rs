//! What people see: tables, progress bars on a terminal and plain lines elsewhere, sizes and times in words.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit::Exit;

/// Narrower than this, titles and reasons are not read any more; then the terminal may wrap the line.
const PROSE_MIN_COLUMNS: u16 = 20;

/// One line of progress: a bar on a terminal, a line at each tenth elsewhere, nothing with `--json`.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    lines: bool,
    last_tenth: u64,
}

/// Prints a value for programs.
pub fn print_json(value: &impl Serialize) -> Result<(), Exit> {
    let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::new)?;
    print_line(&text)
}

/// Prints a line; a closed pipe (`| head`) is no error.
pub fn print_line(text: &str) -> Result<(), Exit> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// A table with these headings.
pub fn table(headings: &[&str]) -> Table {
    let mut table = Table::new();
    // As docker and kubectl print them: lines that grep and awk can take.
    table.load_style(presets::NOTHING).set_header(headings.iter().map(|heading| heading.to_uppercase()));
    // Without a terminal nothing is wrapped: lines stay whole for grep and awk.
    let arrangement =
        if std::io::stdout().is_terminal() { ContentArrangement::Dynamic } else { ContentArrangement::Disabled };
    table.set_content_arrangement(arrangement);
    table
}

/// Lets only the column `prose` be wrapped, however narrow the terminal is: what people copy must not be broken.
pub fn wrap_only(table: &mut Table, prose: usize) {
    for (at, column) in table.column_iter_mut().enumerate() {
        let narrowest = ColumnConstraint::LowerBoundary(Width::Fixed(PROSE_MIN_COLUMNS));
        column.set_constraint(if at == prose { narrowest } else { ColumnConstraint::ContentWidth });
    }
}

/// Leaves columns away, the first of `lesser` first, as long as the table is wider than the terminal. `--json` and pipes
/// have them all.
pub fn narrow(table: &mut Table, lesser: &[usize]) {
    let Some(width) = table.width().map(usize::from) else { return };
    for column in lesser {
        let widths = table.column_max_content_widths();
        let hidden = |at: usize| table.column(at).is_some_and(comfy_table::Column::is_hidden);
        // A space on either side of each column.
        let whole: usize =
            widths.iter().enumerate().filter(|(at, _)| !hidden(*at)).map(|(_, width)| usize::from(*width) + 2).sum();
        if whole <= width {
            return;
        }
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::Hidden);
        }
    }
}

/// A size as people say it: `1.4 MiB`.
#[allow(clippy::cast_precision_loss, reason = "three digits are printed")]
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// How much of a whole is there: `512 B of 1.4 MiB`.
pub fn size_of(done: u64, whole: u64) -> String {
    format!("{} of {}", size(done), size(whole))
}

/// A bit rate as people say it: `1.40 Mbit/s`.
#[allow(clippy::cast_precision_loss, reason = "three digits are printed")]
pub fn bit_rate(bps: u64) -> String {
    if bps >= 1_000_000 { format!("{:.2} Mbit/s", bps as f64 / 1e6) } else { format!("{:.0} kbit/s", bps as f64 / 1e3) }
}

/// A media duration: `0:05.3`, `1:02:03.0`.
pub fn clock(ms: u64) -> String {
    let (hours, minutes, seconds, tenths) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms / 100 % 10);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}.{tenths}")
    } else {
        format!("{minutes}:{seconds:02}.{tenths}")
    }
}

/// A moment, to the second, in UTC.
pub fn moment(time: time::OffsetDateTime) -> String {
    let format = time::macros::format_description!("[year]-[month]-[day] [hour]:[minute]:[second]Z");
    time.to_offset(time::UtcOffset::UTC).format(format).unwrap_or_default()
}

// === impl Progress ===

impl Progress {
    /// Progress of what is called `name`; `quiet` shows nothing.
    pub fn new(name: &str, quiet: bool) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::new(1000);
            let style = ProgressStyle::with_template("  {prefix:<10} {bar:32} {percent:>3} %  {elapsed}  {wide_msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(name.to_owned());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Self { bar, name: name.to_owned(), lines: !terminal && !quiet, last_tenth: 0 }
    }

    /// Shows that `fraction` (0 to 1) is done; `message` says what is being done.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=1000")]
    pub fn set(&mut self, fraction: f64, message: &str) {
        let thousandths = (fraction.clamp(0.0, 1.0) * 1000.0) as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(thousandths);
            bar.set_message(message.to_owned());
        } else if self.lines && thousandths / 100 > self.last_tenth {
            self.last_tenth = thousandths / 100;
            eprintln!("  {}: {} % {message}", self.name, self.last_tenth * 10);
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        drop(self);
    }
}

/// Also who is interrupted leaves no bar behind.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(size(512), "512 B");
        assert_eq!(size(1_468_006), "1.4 MiB");
        assert_eq!(bit_rate(128_000), "128 kbit/s");
        assert_eq!(clock(5_312), "0:05.3");
        assert_eq!(clock(3_723_000), "1:02:03.0");
    }
}
