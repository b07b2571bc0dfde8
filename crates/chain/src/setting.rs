//! Values of parameters: from what is written to what is meant, by the kind that the table names.

use flame_api::media::Rational;
use flame_api::quality::Metric;
use flame_quality::columns;
use flame_quality::gate::Gate;

use crate::chain::Sizes;
use crate::document::{DocumentError, Node, Value};
use crate::nearest::hint;
use crate::table::{GATES_MAX, Kind, ParameterType, SIDE_MAX, SIDE_MIN, SIZES_MAX};

/// A value that a stage was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Setting {
    /// A word.
    Word(String),
    /// A number, bits per second, milliseconds.
    Number(u32),
    /// A ratio.
    Ratio(Rational),
    /// A level.
    Level(f64),
    /// Sizes.
    Sizes(Sizes),
    /// Bounds.
    Gates(Vec<Gate>),
}

/// Reads the value of `parameter`.
///
/// # Errors
/// It is none that may stand there.
pub fn read(parameter: &ParameterType, node: &Node) -> Result<Setting, DocumentError> {
    let what = format!("`{}`", parameter.word);
    match parameter.kind {
        Kind::Gates => gates(node).map(Setting::Gates),
        Kind::Sizes => sizes(&what, node).map(Setting::Sizes),
        Kind::Encoder => node.text(&what).map(|word| Setting::Word(word.to_owned())),
        Kind::Word(words) => {
            let word = node.text(&what)?;
            match words.contains(&word) {
                true => Ok(Setting::Word(word.to_owned())),
                false => Err(node.wrong(format!("`{word}` is no {what}: {}", hint(word, words.iter().copied())))),
            }
        }
        Kind::Number { min, max, words } => {
            let expected = format!("a whole number from {min} to {max}");
            number(&what, node, words, &expected, |text| digits(text).filter(|n| (min..=max).contains(n)))
        }
        Kind::Bitrate { min, max, words } => {
            let expected = format!("bits per second from {min} to {max}: `800k`, `2.5M`");
            number(&what, node, words, &expected, |text| bits(text).filter(|n| (min..=max).contains(n)))
        }
        Kind::Time { min_ms, max_ms } => {
            let expected = format!("a time from {min_ms}ms to {max_ms}ms: `2s`, `500ms`");
            number(&what, node, &[], &expected, |text| time_ms(text).filter(|n| (min_ms..=max_ms).contains(n)))
        }
        Kind::Level { min, max } => {
            let text = node.text(&what)?;
            let level = level(text).filter(|level| (min..=max).contains(level));
            let wrong = || node.wrong(format!("{what} is a level from {min} to {max}, as `{min}`, not `{text}`"));
            level.map(Setting::Level).ok_or_else(wrong)
        }
        Kind::Ratio { min, max } => {
            let text = node.text(&what)?;
            let ratio = ratio(text).filter(|ratio| (min..=max).contains(&ratio.as_f64()));
            let wrong = || {
                node.wrong(format!("{what} is a ratio from {min} to {max}, as `16:9` or `30000/1001`, not `{text}`"))
            };
            ratio.map(Setting::Ratio).ok_or_else(wrong)
        }
    }
}

fn number(
    what: &str,
    node: &Node,
    words: &[&str],
    expected: &str,
    of: impl Fn(&str) -> Option<u32>,
) -> Result<Setting, DocumentError> {
    let text = node.text(what)?;
    if words.contains(&text) {
        return Ok(Setting::Word(text.to_owned()));
    }
    let or_words = if words.is_empty() { String::new() } else { format!(", or {}", words.join(", ")) };
    of(text).map(Setting::Number).ok_or_else(|| node.wrong(format!("{what} is {expected}{or_words}; not `{text}`")))
}

/// `1500000`, `1500k`, `1.5M`.
fn bits(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1e3),
        None => text.strip_suffix('M').map_or((text, 1.0), |digits| (digits, 1e6)),
    };
    let bits = decimal(digits)? * factor;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at just before")]
    (0.0..=4e9).contains(&bits).then_some(bits.round() as u32)
}

/// `2s`, `0.5s`, `500ms`.
fn time_ms(text: &str) -> Option<u32> {
    let ms = match text.strip_suffix("ms") {
        Some(digits) => decimal(digits)?,
        None => decimal(text.strip_suffix('s')?)? * 1000.0,
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "looked at just before")]
    (0.0..=4e9).contains(&ms).then_some(ms.round() as u32)
}

fn decimal(text: &str) -> Option<f64> {
    let (before, after) = text.split_once('.').unwrap_or((text, "0"));
    text.parse().ok().filter(|_| are_digits(before) && are_digits(after))
}

/// `-23`, `-1.5`, `0`.
fn level(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(text) => decimal(text).map(|level| 0.0 - level),
        None => decimal(text),
    }
}

fn digits(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| are_digits(text))
}

/// Signs and spaces are none: the schema says what may be written.
fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `25`, `12.5`, `16:9`, `30000/1001`.
fn ratio(text: &str) -> Option<Rational> {
    let whole = |text: &str| digits(text).filter(|n| *n > 0);
    if let Some((num, den)) = text.split_once([':', '/']) {
        return Some(Rational { num: whole(num)?, den: whole(den)? });
    }
    if let Some((before, after)) = text.split_once('.') {
        let den = 10_u32.checked_pow(u32::try_from(after.len()).ok()?).filter(|_| decimal(text).is_some())?;
        let num = before.parse::<u32>().ok()?.checked_mul(den)?.checked_add(after.parse().ok()?)?;
        let mut divisor = (num, den);
        while divisor.1 > 0 {
            divisor = (divisor.1, divisor.0 % divisor.1);
        }
        return (num > 0).then(|| Rational { num: num / divisor.0, den: den / divisor.0 });
    }
    Some(Rational { num: whole(text)?, den: 1 })
}

fn sizes(what: &str, node: &Node) -> Result<Sizes, DocumentError> {
    let side = |node: &Node| {
        let text = node.text(what)?;
        let side = text.trim().parse::<u32>().ok().filter(|side| (SIDE_MIN..=SIDE_MAX).contains(side) && side % 2 == 0);
        side.ok_or_else(|| {
            let words = hint(text, ["classic", "source"]);
            node.wrong(format!(
                "`{text}` is no size: shorter sides are even numbers of pixels from {SIDE_MIN} to {SIDE_MAX}; as words, {words}"
            ))
        })
    };
    let mut sides = match &node.value {
        Value::Scalar(text) if text == "classic" => return Ok(Sizes::Classic),
        Value::Scalar(text) if text == "source" => return Ok(Sizes::Source),
        // As it comes from a command line.
        Value::Scalar(text) => {
            let items =
                text.split(',').map(|item| Node { place: node.place, value: Value::Scalar(item.trim().to_owned()) });
            items.map(|item| side(&item)).collect::<Result<Vec<_>, _>>()?
        }
        Value::List(items) => items.iter().map(side).collect::<Result<Vec<_>, _>>()?,
        Value::Empty | Value::Map(_) => Vec::new(),
    };
    sides.sort_unstable_by(|one, other| other.cmp(one));
    sides.dedup();
    if sides.is_empty() || sides.len() > SIZES_MAX {
        return Err(node.wrong(format!("{what} is `classic`, `source`, or 1 to {SIZES_MAX} different shorter sides")));
    }
    Ok(Sizes::Shorter(sides))
}

fn gates(node: &Node) -> Result<Vec<Gate>, DocumentError> {
    let items = match &node.value {
        Value::List(items) if items.len() <= GATES_MAX => items,
        Value::List(_) => return Err(node.wrong(format!("a stage has at most {GATES_MAX} gates"))),
        Value::Empty => return Ok(Vec::new()),
        Value::Scalar(text) if text.is_empty() => return Ok(Vec::new()),
        Value::Scalar(_) | Value::Map(_) => {
            return Err(node.wrong("gates are a list of bounds: [\"psnr_y.p5 >= 30\"]"));
        }
    };
    items.iter().map(gate).collect()
}

fn gate(node: &Node) -> Result<Gate, DocumentError> {
    let gate: Gate = node.text("a gate")?.parse().map_err(|why: String| node.wrong(why))?;
    let columns = || Metric::ALL.into_iter().flat_map(columns::of).copied();
    match gate.column() {
        Some(column) if gate.track_figure().is_none() && gate.metric().is_none() && !gate.needs_inspection() => {
            let hint = hint(column, columns().chain(["alignment", "track", "loudness"]));
            Err(node.wrong(format!("nothing gives the figure `{column}`: {hint}")))
        }
        Some(_) | None => Ok(gate),
    }
}

// === impl Setting ===

impl Setting {
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Number(_) | Self::Ratio(_) | Self::Level(_) | Self::Sizes(_) | Self::Gates(_) => None,
        }
    }

    pub(crate) fn number(&self) -> Option<u32> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Word(_) | Self::Ratio(_) | Self::Level(_) | Self::Sizes(_) | Self::Gates(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_their_units() {
        for (text, value) in [
            ("1500000", Some(1_500_000)),
            ("1500k", Some(1_500_000)),
            ("1.5M", Some(1_500_000)),
            ("1.5", Some(2)),
            ("-1", None),
            ("1e6", None),
            ("M", None),
            ("5G", None),
            ("5000M", None),
        ] {
            assert_eq!(bits(text), value, "{text}");
        }
        for (text, value) in [("2s", Some(2000)), ("0.5s", Some(500)), ("500ms", Some(500)), ("2", None), ("ms", None)]
        {
            assert_eq!(time_ms(text), value, "{text}");
        }
        for (text, value) in [
            ("25", Some((25, 1))),
            ("30000/1001", Some((30_000, 1001))),
            ("16:9", Some((16, 9))),
            ("2.39", Some((239, 100))),
            ("12.50", Some((25, 2))),
            ("0", None),
            ("1:0", None),
            ("x", None),
            ("1.x", None),
        ] {
            assert_eq!(ratio(text).map(|ratio| (ratio.num, ratio.den)), value, "{text}");
        }
    }
}
