//! Text as one file beside the segments (ISO/IEC 23009-1 section 5.3.9.2.2: a Representation that is one Media Segment).

use super::representation::{label, purpose, role};
use super::xml::Element;
use crate::multivariant::is_language;
use crate::{DashText, PlaylistError, Role, uri};

// === impl DashText ===

impl DashText {
    /// Its AdaptationSet.
    pub(super) fn element(&self, number: usize) -> Result<Element, PlaylistError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if self.id.is_empty() || !self.id.bytes().all(is_plain) {
            return Err(PlaylistError::Attribute { attribute: "Representation@id", value: self.id.clone() });
        }
        let set = Element::new("AdaptationSet")
            .with("id", number)
            .with("contentType", "text")
            .with("mimeType", "text/vtt")
            .with_if("lang", self.language.as_ref().filter(|language| is_language(language)));
        // Players take what is `main` before what is not (DASH-IF IOP 4.3 section 3.9.2).
        let main = (self.is_default && self.role != Role::Main).then(|| role(Role::Main));
        let representation = Element::new("Representation")
            .with("id", &self.id)
            .with("bandwidth", self.bandwidth_bps.clamp(1, u64::from(u32::MAX)))
            .child(Element::new("BaseURL").text(uri::checked(&self.uri)?));
        Ok(set
            .children(self.label.as_deref().map(label))
            .children(purpose(self.role))
            .child(role(self.role))
            .children(main)
            .child(representation))
    }
}
