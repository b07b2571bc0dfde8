//! What a track is for, in the words of HLS and of DASH.

/// What a track of sound or text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Role {
    /// The programme as it is meant.
    #[default]
    Main,
    /// Another version of it.
    Alternate,
    /// In another language than it was made in.
    Dub,
    /// Talk about the programme.
    Commentary,
    /// With spoken descriptions of the pictures.
    Description,
    /// With speech that stands out, for those who hear little.
    ClearSpeech,
    /// Text of what is said and heard, for those who do not hear.
    Caption,
    /// Text of what is said, in another language.
    Subtitle,
    /// The same in easy words.
    EasyReader,
    /// Text to be shown even when subtitles are off: what is said in a language that the listener does not know.
    Forced,
}

// === impl Role ===

impl Role {
    /// Value of `Role` in the scheme `urn:mpeg:dash:role:2011` (ISO/IEC 23009-1 section 5.8.5.5).
    #[must_use]
    pub fn dash(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Alternate => "alternate",
            Self::Dub => "dub",
            Self::Commentary => "commentary",
            Self::Description => "description",
            Self::ClearSpeech => "enhanced-audio-intelligibility",
            Self::Caption => "caption",
            Self::Subtitle => "subtitle",
            Self::EasyReader => "easyreader",
            Self::Forced => "forced-subtitle",
        }
    }

    /// Value of `Accessibility` in the scheme `urn:tva:metadata:cs:AudioPurposeCS:2007`, which DASH-IF IOP asks for beside
    /// the role: 1 for those who see little, 2 for those who hear little.
    #[must_use]
    pub(crate) fn accessibility(self) -> Option<&'static str> {
        match self {
            Self::Description => Some("1"),
            Self::Caption | Self::ClearSpeech => Some("2"),
            Self::Main
            | Self::Alternate
            | Self::Dub
            | Self::Commentary
            | Self::Subtitle
            | Self::EasyReader
            | Self::Forced => None,
        }
    }

    /// `CHARACTERISTICS` of an HLS rendition (RFC 8216bis section 4.4.6.1), if it has any.
    #[must_use]
    pub fn characteristics(self) -> Option<&'static str> {
        match self {
            Self::Description => Some("public.accessibility.describes-video"),
            Self::ClearSpeech => Some("public.accessibility.enhances-speech-intelligibility"),
            Self::Caption => {
                Some("public.accessibility.transcribes-spoken-dialog,public.accessibility.describes-music-and-sound")
            }
            Self::EasyReader => Some("public.easy-to-read"),
            Self::Main | Self::Alternate | Self::Dub | Self::Commentary | Self::Subtitle | Self::Forced => None,
        }
    }
}
