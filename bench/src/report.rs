//! What is said of a benchmark: Markdown, for people on a terminal and in `bench/RESULTS.md`.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::samples::{Bound, Samples};

/// The file that `--write` changes, from the repository's root: `bench/run` goes there.
const RESULTS: &str = "bench/RESULTS.md";
/// What stands above the first section.
const TITLE: &str = "# Results\n\nWritten by `bench/run`; each section says when, where and with what. What is measured and how: README.md.\n";

/// The results of one benchmark.
#[derive(Debug, Clone)]
pub struct Section {
    /// The subcommand.
    pub name: &'static str,
    /// What was measured, in one line.
    pub title: String,
    /// What each side gave.
    pub rows: Vec<Row>,
    /// What follows from it, and what it has to be.
    pub figures: Vec<Figure>,
    /// What one must know to judge it.
    pub notes: Vec<String>,
    /// What was run, literally.
    pub commands: Vec<String>,
}

/// What one side gave.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which side, doing what.
    pub what: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// A value a round.
    pub samples: Samples,
}

/// A number that a promise is made about (or none, for comparison).
#[derive(Debug, Clone)]
pub struct Figure {
    /// What it is.
    pub what: String,
    /// Its value.
    pub value: f64,
    /// Its unit; `×` for ratios.
    pub unit: &'static str,
    /// What it has to be.
    pub bound: Option<Bound>,
}

// === impl Section ===

impl Section {
    /// Whether every bound holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.figures.iter().all(|figure| figure.bound.is_none_or(|bound| bound.holds(figure.value)))
    }

    /// The section as Markdown; `facts` say when and where.
    #[must_use]
    pub fn markdown(&self, facts: &str) -> String {
        let mut text = format!("## {}\n\n{}. {facts}\n\n", self.name, self.title);
        text.push_str("| what | unit | min | median | max | rounds |\n| --- | --- | ---: | ---: | ---: | ---: |\n");
        for Row { what, unit, samples } in &self.rows {
            let [min, median, max] = [samples.min(), samples.median(), samples.max()].map(digits);
            let _ = writeln!(text, "| {what} | {unit} | {min} | {median} | {max} | {} |", samples.count());
        }
        text.push_str("\n| figure | value | bound | holds |\n| --- | ---: | ---: | --- |\n");
        for Figure { what, value, unit, bound } in &self.figures {
            let verdict = bound.map_or("", |bound| if bound.holds(*value) { "yes" } else { "**no**" });
            let bound = bound.map(|bound| bound.to_string()).unwrap_or_default();
            let _ = writeln!(text, "| {what} | {} {unit} | {bound} | {verdict} |", digits(*value));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            let _ = writeln!(text, "- {note}");
        }
        let _ = writeln!(text, "\n```sh\n{}\n```", self.commands.join("\n"));
        text
    }
}

/// Three or four significant digits: more would claim what nobody has measured.
fn digits(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Puts a section into `bench/RESULTS.md`, in the place of the one of the same name.
pub fn write(name: &str, section: &str) -> Result<()> {
    let path = Path::new(RESULTS);
    let before = std::fs::read_to_string(path).unwrap_or_else(|_| TITLE.to_owned());
    std::fs::write(path, replaced(&before, name, section)).with_context(|| format!("write {}", path.display()))
}

/// `document` with `section` in the place of the section `name`, or at the end.
fn replaced(document: &str, name: &str, section: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let mut rest = document;
    while let Some(at) = rest.find("\n## ") {
        let (part, after) = rest.split_at(at + 1);
        parts.push(part);
        rest = after;
    }
    parts.push(rest);
    let heading = format!("## {name}\n");
    let known = parts.iter().position(|part| part.starts_with(&heading));
    match known {
        Some(at) => parts[at] = section,
        None => parts.push(section),
    }
    let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
    format!("{}\n", parts.join("\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_takes_the_place_of_its_older_self() {
        let first = replaced(TITLE, "up", "## up\n\nold\n");
        let second = replaced(&first, "ladder", "## ladder\n\nnew\n");
        let third = replaced(&second, "up", "## up\n\nnew\n");
        assert_eq!(third, format!("{}\n\n## up\n\nnew\n\n## ladder\n\nnew\n", TITLE.trim_end()));
        assert_eq!(replaced(&third, "up", "## up\n\nnew\n"), third);
    }

    #[test]
    fn a_broken_bound_is_said() {
        let figure = |value| Figure { what: "ready".to_owned(), value, unit: "s", bound: Some(Bound::AtMost(3.0)) };
        let section = |value| Section {
            name: "up",
            title: "`flame up`".to_owned(),
            rows: vec![Row { what: "ready".to_owned(), unit: "s", samples: [1.0, 2.0].into_iter().collect() }],
            figures: vec![figure(value)],
            notes: vec!["a note".to_owned()],
            commands: vec!["flame up".to_owned()],
        };
        assert!(section(2.0).holds() && section(2.0).markdown("Here.").contains("| ready | 2.00 s | <= 3 | yes |"));
        assert!(!section(4.0).holds() && section(4.0).markdown("Here.").contains("**no**"));
        assert!(section(2.0).markdown("Here.").contains("| ready | s | 1.00 | 1.50 | 2.00 | 2 |"));
    }
}
