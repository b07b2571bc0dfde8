//! Cue settings of WebVTT (section 6.3, "WebVTT cue settings parser"): where a cue stands on the picture.
//!
//! Each name stands once, in one order, with values that the specification knows; all else is left out, as players
//! do. Names of older drafts become today's.

use std::fmt::Write as _;

/// Longest number that is read: none needs more digits, and more would print as hundreds.
const NUMBER_MAX_BYTES: usize = 12;

#[derive(Default)]
struct Settings {
    vertical: Option<&'static str>,
    line: Option<String>,
    position: Option<String>,
    size: Option<String>,
    align: Option<&'static str>,
    region: Option<String>,
}

/// The settings in `text`, in one way of writing.
pub fn canonical(text: &str) -> String {
    let mut settings = Settings::default();
    for setting in text.split_ascii_whitespace() {
        settings.take(setting);
    }
    settings.written()
}

/// A percentage as it stands in a setting, rounded to tenths and kept within the picture.
pub fn percentage(value: f64) -> String {
    // The sum has no negative nought.
    format!("{}%", (value.clamp(0.0, 100.0) * 10.0).round() / 10.0 + 0.0)
}

// === impl Settings ===

impl Settings {
    /// A later one of the same name wins.
    fn take(&mut self, setting: &str) {
        let Some((name, value)) = setting.split_once(':').filter(|(_, value)| !value.is_empty()) else { return };
        match name {
            "vertical" => self.vertical = one_of(value, &["rl", "lr"]).or(self.vertical),
            "line" => self.line = with_alignment(value, line, line_alignment).or(self.line.take()),
            "position" => self.position = with_alignment(value, percent, position_alignment).or(self.position.take()),
            "size" => self.size = percent(value).or(self.size.take()),
            "align" => self.align = align(value).or(self.align),
            "region" => self.region = Some(value.to_owned()),
            _ => {}
        }
    }

    fn written(self) -> String {
        let mut text = String::new();
        let named = [
            ("vertical", self.vertical),
            ("line", self.line.as_deref()),
            ("position", self.position.as_deref()),
            ("size", self.size.as_deref()),
            ("align", self.align),
            ("region", self.region.as_deref()),
        ];
        for (name, value) in named {
            let Some(value) = value else { continue };
            let gap = if text.is_empty() { "" } else { " " };
            // A `String` takes everything.
            let _ = write!(text, "{gap}{name}:{value}");
        }
        text
    }
}

fn one_of(value: &str, known: &[&'static str]) -> Option<&'static str> {
    known.iter().copied().find(|known| *known == value)
}

fn align(value: &str) -> Option<&'static str> {
    if value == "middle" { Some("center") } else { one_of(value, &["start", "center", "end", "left", "right"]) }
}

fn line_alignment(value: &str) -> Option<&'static str> {
    if value == "middle" { Some("center") } else { one_of(value, &["start", "center", "end"]) }
}

fn position_alignment(value: &str) -> Option<&'static str> {
    match value {
        "start" => Some("line-left"),
        "middle" => Some("center"),
        "end" => Some("line-right"),
        _ => one_of(value, &["line-left", "center", "line-right"]),
    }
}

fn with_alignment(
    value: &str,
    main: fn(&str) -> Option<String>,
    alignment: fn(&str) -> Option<&'static str>,
) -> Option<String> {
    match value.split_once(',') {
        None => main(value),
        Some((value, aligned)) => Some(format!("{},{}", main(value)?, alignment(aligned)?)),
    }
}

fn line(value: &str) -> Option<String> {
    if value.ends_with('%') {
        return percent(value);
    }
    let (sign, digits) = value.strip_prefix('-').map_or(("", value), |digits| ("-", digits));
    let number = number(digits)?;
    Some(if number == "0" { number } else { format!("{sign}{number}") })
}

fn percent(value: &str) -> Option<String> {
    let number = number(value.strip_suffix('%')?)?;
    number.parse::<f64>().is_ok_and(|percent| percent <= 100.0).then(|| format!("{number}%"))
}

/// Digits, with at most one dot between them, in the shortest way.
fn number(text: &str) -> Option<String> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = text.len() <= NUMBER_MAX_BYTES && digits(whole) && digits(fraction);
    is_number.then(|| text.parse::<f64>().ok()).flatten().map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::{canonical, percentage};

    #[test]
    fn percentages_are_of_the_picture() {
        let written = [-0.0, -1.0, 0.04, 33.333, 100.0, f64::INFINITY].map(percentage);
        assert_eq!(written, ["0%", "0%", "0%", "33.3%", "100%", "100%"]);
        assert_eq!(canonical(&format!("line:{}", percentage(f64::NAN))), "");
    }

    #[test]
    fn settings_have_one_way_of_writing() {
        for (text, written) in [
            ("", ""),
            ("align:start line:0", "line:0 align:start"),
            ("line:-1\tposition:50.0%,line-left  size:035%", "line:-1 position:50%,line-left size:35%"),
            ("line:10%,end align:middle position:20%,middle", "line:10%,end position:20%,center align:center"),
            ("align:left align:sideways vertical:rl region:fred", "vertical:rl align:left region:fred"),
            ("line:5%,nowhere position:101% size:-1% D:vertical align: :left", ""),
            ("line:1e3 line:- line:. line:1. size:%", ""),
            ("line:-0", "line:0"),
            ("line:99999999999999999999", ""),
        ] {
            assert_eq!(canonical(text), written, "{text}");
            assert_eq!(canonical(written), written);
        }
    }
}
