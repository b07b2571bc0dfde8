//! The attributes of an element that mean something here. All others are passed over, and so are their values.

use quick_xml::XmlVersion;
use quick_xml::events::BytesStart;

use super::style::{Style, styling};
use crate::SubtitleError;

/// Most attributes of an element.
const ATTRIBUTES_MAX: usize = 64;

#[derive(Default)]
pub struct Attributes {
    pub id: Option<String>,
    pub begin: Option<String>,
    pub end: Option<String>,
    pub dur: Option<String>,
    /// `timeContainer="seq"`.
    pub is_sequence: bool,
    pub style: Option<String>,
    pub region: Option<String>,
    pub lang: Option<String>,
    /// `xml:space`.
    pub keeps_spaces: Option<bool>,
    pub time_base: Option<String>,
    pub frame_rate: Option<String>,
    pub frame_rate_multiplier: Option<String>,
    pub tick_rate: Option<String>,
    pub cell_resolution: Option<String>,
    /// `tts:*`, on the root the `tts:extent` too.
    pub styling: Style,
}

// === impl Attributes ===

impl Attributes {
    /// Of the element at `line`.
    pub fn read(element: &BytesStart<'_>, line: usize) -> Result<Self, SubtitleError> {
        let mut read = Self::default();
        let broken = |reason: String| SubtitleError::Xml { line, reason };
        // Repeated names are looked for in time that is quadratic: the last one holds.
        for (at, attribute) in element.attributes().with_checks(false).enumerate() {
            if at == ATTRIBUTES_MAX {
                return Err(SubtitleError::Limit { line, what: "attributes of an element", max: ATTRIBUTES_MAX });
            }
            let attribute = attribute.map_err(|error| broken(error.to_string()))?;
            let value = attribute.normalized_value(XmlVersion::Implicit1_0);
            read.take(attribute.key.local_name().as_ref(), &value.map_err(|error| broken(error.to_string()))?);
        }
        Ok(read)
    }

    fn take(&mut self, name: &[u8], value: &str) {
        let place = match name {
            b"id" => &mut self.id,
            b"begin" => &mut self.begin,
            b"end" => &mut self.end,
            b"dur" => &mut self.dur,
            b"style" => &mut self.style,
            b"region" => &mut self.region,
            b"lang" => &mut self.lang,
            b"timeBase" => &mut self.time_base,
            b"frameRate" => &mut self.frame_rate,
            b"frameRateMultiplier" => &mut self.frame_rate_multiplier,
            b"tickRate" => &mut self.tick_rate,
            b"cellResolution" => &mut self.cell_resolution,
            b"timeContainer" => {
                self.is_sequence = value == "seq";
                return;
            }
            b"space" => {
                self.keeps_spaces = Some(value == "preserve");
                return;
            }
            _ => return styling(&mut self.styling, name, value),
        };
        *place = Some(value.trim().to_owned());
    }
}
