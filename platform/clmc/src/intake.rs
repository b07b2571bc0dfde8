//! What a body of line protocol says: the points that can be taken, and what is wrong with which line. Pure.
//!
//! A line that is wrong costs itself alone, as with InfluxDB. A point without a time gets that of its arrival.

use std::io::Read;

use flame_telemetry::line::{self, Line, Precision};

/// Findings that an answer names; more are counted.
const NAMED_MAX: usize = 20;
/// Of a wrong line, so many bytes are shown.
const SHOWN_MAX_BYTES: usize = 120;

/// Points of one body: each costs memory, however short its line is.
const POINTS_MAX: usize = 200_000;

/// A body, read.
#[derive(Debug, Default)]
pub struct Intake<'a> {
    /// Points with their times in nanoseconds since 1970.
    pub points: Vec<(Line<'a>, i64)>,
    /// The line that each of them stands in.
    pub numbers: Vec<usize>,
    /// What is wrong.
    pub findings: Findings,
}

/// What is wrong with which line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// The first ones: line, and what is wrong with it.
    pub named: Vec<(usize, String)>,
    /// All of them.
    pub count: usize,
}

/// Why a body cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It is no gzip stream.
    #[error("the body is no gzip stream")]
    Gzip(#[source] std::io::Error),
    /// It is longer than is taken.
    #[error("the body unpacks to more than {0} bytes: send less at once")]
    Long(u64),
    /// It holds more points than are taken.
    #[error("the body has more than {POINTS_MAX} points: send less at once")]
    Many,
    /// It is no text.
    #[error("the body is not UTF-8")]
    Text(#[source] std::str::Utf8Error),
}

/// Unpacks a body that is packed by gzip.
pub fn unpacked(body: &[u8], body_max_bytes: u64) -> Result<Vec<u8>, BodyError> {
    let mut plain = Vec::new();
    let packed = flate2::read::MultiGzDecoder::new(body);
    packed.take(body_max_bytes + 1).read_to_end(&mut plain).map_err(BodyError::Gzip)?;
    if plain.len() as u64 > body_max_bytes { Err(BodyError::Long(body_max_bytes)) } else { Ok(plain) }
}

/// Reads a body whose times are in `precision`.
pub fn read(body: &[u8], precision: Precision, now_ns: i64) -> Result<Intake<'_>, BodyError> {
    let text = std::str::from_utf8(body).map_err(BodyError::Text)?;
    let mut intake = Intake::default();
    for (number, line) in line::lines(text) {
        let timed = line.map_err(|error| error.to_string()).and_then(|line| {
            let time_ns = match line.time {
                // The arrival, in the precision of the others.
                None => now_ns - now_ns.rem_euclid(precision.unit_ns()),
                Some(time) => {
                    let time_ns = time.checked_mul(precision.unit_ns());
                    time_ns.ok_or_else(|| format!("time {time} is outside of what nanoseconds can say"))?
                }
            };
            Ok((line, time_ns))
        });
        match timed {
            Ok(_) if intake.points.len() >= POINTS_MAX => return Err(BodyError::Many),
            Ok(point) => {
                intake.points.push(point);
                intake.numbers.push(number);
            }
            Err(reason) => {
                intake.findings.add(number, || {
                    // Looked for only where it is shown.
                    let shown = text.lines().nth(number - 1).unwrap_or_default();
                    let end = shown.char_indices().map(|(at, _)| at).take_while(|at| *at <= SHOWN_MAX_BYTES).last();
                    let shown = if shown.len() <= SHOWN_MAX_BYTES { shown } else { &shown[..end.unwrap_or(0)] };
                    format!("unable to parse '{shown}': {reason}")
                });
            }
        }
    }
    Ok(intake)
}

// === impl Findings ===

impl Findings {
    /// Notes that something is wrong with a line.
    pub fn add(&mut self, line: usize, reason: impl FnOnce() -> String) {
        self.count += 1;
        if self.named.len() < NAMED_MAX {
            self.named.push((line, reason()));
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
