//! How TTML looks, as far as WebVTT can show it, and where it stands.
//!
//! Italic, bold, underlined, eight colours; a region becomes a line, a position and an alignment. Sizes, fonts,
//! backgrounds and outlines are the viewer's own choice.

use std::collections::HashMap;

use crate::markup::colour_class;
use crate::settings::percentage;

use super::attributes::Attributes;

/// A region whose text stands at the bottom, with its lower edge below this, percent, is where subtitles are anyway:
/// left to the player, which then keeps them apart from each other and from its buttons.
const USUAL_BOTTOM_PERCENT: f64 = 80.0;

/// How many styles may refer to each other in a row against the order of the file.
const LATE_MAX: usize = 4;

/// What is said of an element's looks; `None` where nothing is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Style {
    pub italic: Option<bool>,
    pub bold: Option<bool>,
    pub underline: Option<bool>,
    /// A class of WebVTT; `Some(None)` for white, and for colours that it has no class for.
    pub colour: Option<Option<&'static str>>,
    pub align: Option<Align>,
    /// Upper left corner of a region.
    pub origin: Option<(Length, Length)>,
    /// Width and height of a region.
    pub extent: Option<(Length, Length)>,
    /// Where in a region its text stands.
    pub display_align: Option<DisplayAlign>,
}

/// The styles that have names.
#[derive(Default)]
pub struct Styles {
    named: HashMap<String, Style>,
    /// Those that refer to one which had not come yet.
    late: Vec<Late>,
}

struct Late {
    id: String,
    /// The names that it refers to.
    referred: String,
    own: Style,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Start,
    Centre,
    End,
    Left,
    Right,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayAlign {
    Before,
    Centre,
    After,
}

/// A length and what it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    Percent(f64),
    Pixels(f64),
    Cells(f64),
}

/// What lengths are measured against.
#[derive(Debug, Clone, Copy)]
pub struct Canvas {
    /// Width and height of the root, pixels, if it says so.
    pixels: Option<(f64, f64)>,
    /// Columns and rows.
    cells: (f64, f64),
}

/// Takes what the attribute says, if it is one of looks and says something.
pub fn styling(style: &mut Style, name: &[u8], value: &str) {
    let value = value.trim();
    match name {
        b"fontStyle" => style.italic = Some(matches!(value, "italic" | "oblique")),
        b"fontWeight" => style.bold = Some(value == "bold"),
        b"textDecoration" => {
            for word in value.split_ascii_whitespace() {
                match word {
                    "underline" => style.underline = Some(true),
                    "none" | "noUnderline" => style.underline = Some(false),
                    _ => {}
                }
            }
        }
        b"color" => style.colour = Some(colour_class(&hex(value)).filter(|class| *class != "white")),
        b"textAlign" => {
            style.align = match value {
                "start" => Some(Align::Start),
                "center" => Some(Align::Centre),
                "end" => Some(Align::End),
                "left" => Some(Align::Left),
                "right" => Some(Align::Right),
                _ => style.align,
            }
        }
        b"origin" => style.origin = pair(value).or(style.origin),
        b"extent" => style.extent = pair(value).or(style.extent),
        b"displayAlign" => {
            style.display_align = match value {
                "before" => Some(DisplayAlign::Before),
                "center" => Some(DisplayAlign::Centre),
                "after" => Some(DisplayAlign::After),
                _ => style.display_align,
            }
        }
        _ => {}
    }
}

/// Cue settings of a text with `style` in `region`.
pub fn place(region: Option<&Style>, style: &Style, canvas: &Canvas) -> String {
    let mut words = Vec::new();
    let align = style.align.or(region.and_then(|region| region.align));
    let area =
        region.and_then(|region| Some((canvas.percent(region.origin?)?, canvas.percent(region.extent?)?, region)));
    if let Some(((x, y), (width, height), region)) = area {
        let bottom = y + height;
        match region.display_align.unwrap_or(DisplayAlign::Before) {
            DisplayAlign::Before => words.push(format!("line:{}", percentage(y))),
            DisplayAlign::Centre => words.push(format!("line:{},center", percentage(y + height / 2.0))),
            DisplayAlign::After if bottom < USUAL_BOTTOM_PERCENT => {
                words.push(format!("line:{},end", percentage(bottom)))
            }
            DisplayAlign::After => {}
        }
        let position = match align {
            None | Some(Align::Centre) => x + width / 2.0,
            Some(Align::Start | Align::Left) => x,
            Some(Align::End | Align::Right) => x + width,
        };
        // Half a percent from the middle is what rounding makes.
        if !matches!(align, None | Some(Align::Centre)) || (position - 50.0).abs() > 0.5 {
            words.push(format!("position:{}", percentage(position)));
        }
    }
    words.extend(align.filter(|align| *align != Align::Centre).map(|align| {
        let align = match align {
            Align::Start => "start",
            Align::Centre => "center",
            Align::End => "end",
            Align::Left => "left",
            Align::Right => "right",
        };
        format!("align:{align}")
    }));
    words.join(" ")
}

/// `rgb(255,255,0)` and `rgba(…)` as `ffff00`; anything else as it is.
fn hex(value: &str) -> String {
    let parts =
        value.strip_prefix("rgba(").or_else(|| value.strip_prefix("rgb(")).and_then(|rest| rest.strip_suffix(')'));
    let Some(parts) = parts else { return value.to_owned() };
    parts
        .split(',')
        .take(3)
        .map(|part| part.trim().parse::<u8>().map_or(String::new(), |part| format!("{part:02x}")))
        .collect()
}

fn pair(value: &str) -> Option<(Length, Length)> {
    let mut lengths = value.split_ascii_whitespace().map(length);
    Some((lengths.next()??, lengths.next()??))
}

fn length(text: &str) -> Option<Length> {
    let number = |digits: &str| digits.parse::<f64>().ok().filter(|number| number.is_finite());
    if let Some(digits) = text.strip_suffix('%') {
        return number(digits).map(Length::Percent);
    }
    if let Some(digits) = text.strip_suffix("px") {
        return number(digits).map(Length::Pixels);
    }
    number(text.strip_suffix('c')?).map(Length::Cells)
}

// === impl Style ===

impl Style {
    /// This one, where `other` says nothing.
    pub fn under(&self, other: &Self) -> Self {
        Self {
            italic: other.italic.or(self.italic),
            bold: other.bold.or(self.bold),
            underline: other.underline.or(self.underline),
            colour: other.colour.or(self.colour),
            align: other.align.or(self.align),
            origin: other.origin.or(self.origin),
            extent: other.extent.or(self.extent),
            display_align: other.display_align.or(self.display_align),
        }
    }
}

// === impl Styles ===

impl Styles {
    /// Takes a `style` element, if it has a name.
    pub fn take(&mut self, attributes: &Attributes) {
        let Some(id) = &attributes.id else { return };
        let style = self.with(attributes.style.as_deref(), &attributes.styling);
        self.named.insert(id.clone(), style);
        if let Some(referred) = &attributes.style
            && referred.split_ascii_whitespace().any(|other| !self.named.contains_key(other))
        {
            self.late.push(Late { id: id.clone(), referred: referred.clone(), own: attributes.styling });
        }
    }

    /// What an element looks like that refers to others: to all of them in order, and then its own.
    pub fn with(&self, referred: Option<&str>, own: &Style) -> Style {
        let referred = referred.iter().flat_map(|names| names.split_ascii_whitespace());
        referred
            .filter_map(|name| self.named.get(name))
            .fold(Style::default(), |style, named| style.under(named))
            .under(own)
    }

    /// Looks again for what had not come, now that all styles are there.
    pub fn settle(&mut self) {
        for _ in 0..LATE_MAX {
            for late in &self.late {
                let style = self.with(Some(&late.referred), &late.own);
                self.named.insert(late.id.clone(), style);
            }
        }
        self.late.clear();
    }
}

// === impl Canvas ===

impl Default for Canvas {
    /// 32 columns and 15 rows (TTML2 section 7.2.1).
    fn default() -> Self {
        Self { pixels: None, cells: (32.0, 15.0) }
    }
}

impl Canvas {
    /// What the root says.
    pub fn read(root: &Attributes) -> Self {
        let pixels = match root.styling.extent {
            Some((Length::Pixels(width), Length::Pixels(height))) if width >= 1.0 && height >= 1.0 => {
                Some((width, height))
            }
            _ => None,
        };
        let cells = root.cell_resolution.as_deref().and_then(|text| text.split_once(' '));
        let count = |text: &str| text.trim().parse::<u16>().ok().filter(|count| *count > 0).map(f64::from);
        let cells = cells.and_then(|(columns, rows)| Some((count(columns)?, count(rows)?)));
        Self { pixels, cells: cells.unwrap_or(Self::default().cells) }
    }

    fn percent(&self, (x, y): (Length, Length)) -> Option<(f64, f64)> {
        let one = |length, pixels: Option<f64>, cells: f64| match length {
            Length::Percent(percent) => Some(percent),
            Length::Pixels(length) => Some(length / pixels? * 100.0),
            Length::Cells(length) => Some(length / cells * 100.0),
        };
        let (width, height) = self.pixels.unzip();
        Some((one(x, width, self.cells.0)?, one(y, height, self.cells.1)?))
    }
}
