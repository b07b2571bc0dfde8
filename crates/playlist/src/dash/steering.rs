//! Content steering in an MPD (DASH-IF CTS 001, ETSI TS 103 998): a `BaseURL` with a service location for each pathway, and who
//! says which to take.

use super::xml::Element;
use crate::multivariant::is_pathway;
use crate::{Pathway, PlaylistError, uri};

/// Who says which service location to take, and which there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DashSteering {
    /// URI of the steering manifest. Players take a relative one as relative to their page: it has a host.
    pub server_uri: String,
    /// The service locations, the one to begin with first.
    pub pathways: Vec<Pathway>,
}

// === impl DashSteering ===

impl DashSteering {
    /// A `BaseURL` for each pathway; with `file`, also where the MPD itself is found on each.
    pub(super) fn locations(&self, file: Option<&str>) -> Result<Vec<Element>, PlaylistError> {
        let mut elements = Vec::new();
        for Pathway { id, base } in &self.pathways {
            // A list of them is separated by spaces.
            if !is_pathway(id) || self.pathways.iter().filter(|other| other.id == *id).count() > 1 {
                return Err(PlaylistError::Attribute { attribute: "serviceLocation", value: id.clone() });
            }
            let base = uri::checked_base(base)?;
            elements.push(Element::new("BaseURL").with("serviceLocation", id).text(base));
        }
        for Pathway { id, base } in self.pathways.iter().filter(|_| file.is_some()) {
            let uri = format!("{base}{}", uri::checked(file.unwrap_or_default())?);
            elements.push(Element::new("Location").with("serviceLocation", id).text(&uri));
        }
        Ok(elements)
    }

    /// Who says which to take.
    pub(super) fn element(&self) -> Result<Element, PlaylistError> {
        let file = self.server_uri.rsplit_once('/');
        let (base, file) = file.ok_or_else(|| PlaylistError::Uri { uri: self.server_uri.clone() })?;
        uri::checked_base(&format!("{base}/"))?;
        uri::checked(file)?;
        let steering = Element::new("ContentSteering")
            .with_if("defaultServiceLocation", self.pathways.first().map(|first| &first.id));
        Ok(steering.text(&self.server_uri))
    }
}
