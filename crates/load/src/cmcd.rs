//! What a viewer tells of itself with each request: Common Media Client Data, version 1, in fields (CTA-5004 section 2). Pure.

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    /// The session: unique.
    pub session: &'a str,
    /// The content.
    pub content: &'a str,
    /// What is asked for.
    pub kind: Kind,
    /// Bits a second of the rendition.
    pub bitrate_bps: Option<u64>,
    /// Bits a second of the best one that there is.
    pub top_bps: Option<u64>,
    /// Length of the segment, milliseconds.
    pub length_ms: Option<u64>,
    /// Media in the buffer, milliseconds.
    pub buffer_ms: u64,
    /// Measured throughput, bits a second.
    pub throughput_bps: Option<u64>,
    /// It does not play yet, or stalls: it is urgent.
    pub is_urgent: bool,
    /// The buffer ran dry since the request before.
    pub was_starved: bool,
}

/// Kinds of objects (`ot`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A playlist.
    Playlist,
    /// What segments need in front of them.
    Init,
    /// Pictures.
    Video,
    /// Sound.
    Audio,
    /// Both.
    Muxed,
}

// === impl Kind ===

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Playlist => "m",
            Self::Init => "i",
            Self::Video => "v",
            Self::Audio => "a",
            Self::Muxed => "av",
        }
    }
}

// === impl Told ===

impl Told<'_> {
    /// The fields, each with its value.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let kbps = |bps: u64| bps.div_ceil(1000);
        let hundreds = |value: u64| (value + 50) / 100 * 100;
        let mut object = Vec::new();
        object.extend(self.bitrate_bps.map(|bps| format!("br={}", kbps(bps))));
        object.extend(self.length_ms.map(|ms| format!("d={ms}")));
        object.push(format!("ot={}", self.kind.word()));
        object.extend(self.top_bps.map(|bps| format!("tb={}", kbps(bps))));
        let mut request = vec![format!("bl={}", hundreds(self.buffer_ms))];
        request.extend(self.throughput_bps.map(|bps| format!("mtp={}", hundreds(kbps(bps)))));
        request.extend(self.is_urgent.then(|| "su".to_owned()));
        let session = format!("cid=\"{}\",sf=h,sid=\"{}\",st=v", self.content, self.session);
        let mut fields =
            vec![("cmcd-object", object.join(",")), ("cmcd-request", request.join(",")), ("cmcd-session", session)];
        fields.extend(self.was_starved.then(|| ("cmcd-status", "bs".to_owned())));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_those_of_the_standard() {
        let told = Told {
            session: "s1",
            content: "film",
            kind: Kind::Video,
            bitrate_bps: Some(800_001),
            top_bps: Some(3_000_000),
            length_ms: Some(2000),
            buffer_ms: 1249,
            throughput_bps: Some(5_149_000),
            is_urgent: true,
            was_starved: true,
        };
        let fields = told.fields();
        let of = |name: &str| fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str());
        assert_eq!(of("cmcd-object"), Some("br=801,d=2000,ot=v,tb=3000"));
        assert_eq!(of("cmcd-request"), Some("bl=1200,mtp=5100,su"));
        assert_eq!(of("cmcd-session"), Some("cid=\"film\",sf=h,sid=\"s1\",st=v"));
        assert_eq!(of("cmcd-status"), Some("bs"));
        let calm = Told { kind: Kind::Playlist, bitrate_bps: None, is_urgent: false, was_starved: false, ..told };
        assert_eq!((calm.fields().len(), calm.fields()[0].1.as_str()), (3, "d=2000,ot=m,tb=3000"));
    }
}
