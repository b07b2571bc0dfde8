//! Every stage that there is, and every parameter of it: one table, from which documents are checked and the JSON Schema
//! is written.

/// What goes from one stage to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// All that is decoded: pictures and sounds.
    Media,
    /// Pictures.
    Pictures,
    /// Pictures of one or more sizes, which nothing but an encoder takes.
    SizedPictures,
    /// Sounds.
    Sounds,
    /// What is to be packaged: tracks, thumbnails.
    Tracks,
    /// The whole version; nothing follows.
    Version,
}

/// A kind of stage.
#[derive(Debug, Clone, Copy)]
pub struct StageType {
    /// Its word.
    pub word: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// What it takes; nothing for a source.
    pub takes: &'static [Flow],
    /// How many stages may feed it.
    pub inputs_max: usize,
    /// What it gives.
    pub gives: Flow,
    /// Where it stands among those that give the same: those of a higher rank come later.
    pub rank: u32,
    /// Its parameters.
    pub parameters: &'static [ParameterType],
}

/// A parameter of a stage.
#[derive(Debug, Clone, Copy)]
pub struct ParameterType {
    /// Its word.
    pub word: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// What it is where nothing is said; without it, it must be said.
    pub default: Option<&'static str>,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number, or one of these words.
    Number {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
        /// Words that stand for something else.
        words: &'static [&'static str],
    },
    /// Bits per second: `1500000`, `1500k`, `1.5M`; or one of these words.
    Bitrate {
        /// The least.
        min: u32,
        /// The most.
        max: u32,
        /// Words that stand for something else.
        words: &'static [&'static str],
    },
    /// A time: `2s`, `500ms`.
    Time {
        /// The least, milliseconds.
        min_ms: u32,
        /// The most, milliseconds.
        max_ms: u32,
    },
    /// A ratio of whole numbers: `16:9`, `30000/1001`, `25`.
    Ratio {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// A level, positive or not: `-23`.
    Level {
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// `classic`, `source`, or shorter sides in pixels: `720`, `[720, 360]`.
    Sizes,
    /// The name of an encoder, or `auto`.
    Encoder,
    /// Bounds on measured figures: `psnr_y.p5 >= 30`.
    Gates,
}

/// Sizes that a list may hold.
pub const SIZES_MAX: usize = 10;
/// Shortest and longest shorter side, pixels.
pub const SIDE_MIN: u32 = 64;
/// See [`SIDE_MIN`].
pub const SIDE_MAX: u32 = 2160;
/// Gates of a stage.
pub const GATES_MAX: usize = 16;

const PICTURES: &[Flow] = &[Flow::Media, Flow::Pictures];
const SOUNDS: &[Flow] = &[Flow::Media, Flow::Sounds];

const fn parameter(word: &'static str, kind: Kind, default: &'static str, about: &'static str) -> ParameterType {
    ParameterType { word, about, kind, default: Some(default) }
}

/// Pixels to take away on one side.
const fn border(word: &'static str) -> ParameterType {
    parameter(word, Kind::Number { min: 0, max: 8192, words: &[] }, "0", "Pixels to take away there; even")
}

/// The largest rate factor of any codec.
const CRF_MAX: u32 = 63;

/// x264's presets, and the service's own choice.
const PRESETS: &[&str] = &[
    "auto",
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
];

/// All kinds of stages, in the order in which they mostly stand.
pub const STAGES: &[StageType] = &[
    StageType {
        word: "decode",
        about: "The source, decoded once whatever is made of it",
        takes: &[],
        inputs_max: 0,
        gives: Flow::Media,
        rank: 0,
        parameters: &[],
    },
    StageType {
        word: "deinterlace",
        about: "One whole picture of each interlaced one",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::Pictures,
        rank: 1,
        parameters: &[parameter(
            "when",
            Kind::Word(&["auto", "always", "never"]),
            "auto",
            "`auto`: if the source is interlaced",
        )],
    },
    StageType {
        word: "rotate",
        about: "Turns the pictures clockwise",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::Pictures,
        rank: 2,
        parameters: &[parameter(
            "degrees",
            Kind::Word(&["auto", "0", "90", "180", "270"]),
            "auto",
            "`auto`: as the source says that it is to be shown",
        )],
    },
    StageType {
        word: "crop",
        about: "Takes away the pictures' borders, in pixels of the source, upright",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::Pictures,
        rank: 3,
        parameters: &[border("left"), border("right"), border("top"), border("bottom")],
    },
    StageType {
        word: "pad",
        about: "Adds black bars until the pictures have this shape",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::Pictures,
        rank: 4,
        parameters: &[parameter(
            "aspect",
            Kind::Ratio { min: 0.2, max: 5.0 },
            "16:9",
            "Width to height as it is shown",
        )],
    },
    StageType {
        word: "frame-rate",
        about: "Drops or repeats pictures until there are so many a second",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::Pictures,
        rank: 5,
        parameters: &[ParameterType {
            word: "fps",
            about: "Pictures a second: `25`, `30000/1001`",
            kind: Kind::Ratio { min: 1.0, max: 120.0 },
            default: None,
        }],
    },
    StageType {
        word: "scale",
        about: "The pictures in one or more sizes, none larger than they are",
        takes: PICTURES,
        inputs_max: 1,
        gives: Flow::SizedPictures,
        rank: 6,
        parameters: &[parameter(
            "sizes",
            Kind::Sizes,
            "classic",
            "`classic`: the source's own size and those of 1440, 1080, 720, 480, 360 and 240 below it; `source`; or \
             shorter sides in pixels",
        )],
    },
    StageType {
        word: "encode-video",
        about: "A track of each size of the pictures",
        takes: &[Flow::Media, Flow::Pictures, Flow::SizedPictures],
        inputs_max: 1,
        gives: Flow::Tracks,
        rank: 7,
        parameters: &[
            parameter("codec", Kind::Word(&["h264", "hevc", "av1", "vp9"]), "h264", "What is made"),
            parameter("encoder", Kind::Encoder, "auto", "What makes it: `flame chain encoders` lists what there is"),
            parameter(
                "preset",
                Kind::Word(PRESETS),
                "auto",
                "Speed, in the words of x264; `auto`: as the service is configured",
            ),
            parameter(
                "crf",
                Kind::Number { min: 0, max: CRF_MAX, words: &["auto"] },
                "auto",
                "Constant quality, less is finer: to 50 of H.264 and HEVC, to 63 of AV1 and VP9; `auto`: by codec, size and \
                 frame rate",
            ),
            parameter(
                "bitrate",
                Kind::Bitrate { min: 10_000, max: 200_000_000, words: &["none"] },
                "none",
                "Mean bits per second of the largest size instead of constant quality; smaller ones get less",
            ),
            parameter(
                "max_bitrate",
                Kind::Bitrate { min: 10_000, max: 200_000_000, words: &["auto", "none"] },
                "auto",
                "Cap of the largest size over two seconds; smaller ones get less. `auto`: by size and frame rate, or \
                 one and a half times `bitrate`",
            ),
            parameter("gates", Kind::Gates, "", "What each track must pass; else the job fails"),
        ],
    },
    StageType {
        word: "mix",
        about: "Changes the number of channels",
        takes: SOUNDS,
        inputs_max: 1,
        gives: Flow::Sounds,
        rank: 1,
        parameters: &[parameter(
            "channels",
            Kind::Word(&["auto", "mono", "stereo"]),
            "auto",
            "`auto`: mono stays mono, all else becomes stereo",
        )],
    },
    StageType {
        word: "loudness",
        about: "Brings each sound to a loudness by one gain (EBU R 128): it is measured first, so it is decoded twice",
        takes: SOUNDS,
        inputs_max: 1,
        gives: Flow::Sounds,
        rank: 2,
        parameters: &[
            parameter("target", Kind::Level { min: -40.0, max: -8.0 }, "-23", "Integrated loudness, LUFS"),
            parameter(
                "true_peak",
                Kind::Level { min: -20.0, max: 0.0 },
                "-2",
                "The gain ends where a peak between samples would pass this, dBTP; lossy encoders add up to a decibel or two",
            ),
        ],
    },
    StageType {
        word: "encode-audio",
        about: "A track of each sound",
        takes: SOUNDS,
        inputs_max: 1,
        gives: Flow::Tracks,
        rank: 7,
        parameters: &[
            parameter("codec", Kind::Word(&["aac"]), "aac", "What is made"),
            parameter("encoder", Kind::Encoder, "auto", "What makes it: `flame chain encoders` lists what there is"),
            parameter(
                "bitrate",
                Kind::Bitrate { min: 16_000, max: 512_000, words: &["auto"] },
                "auto",
                "Bits per second; `auto`: 128 kbit/s, of mono 64 kbit/s",
            ),
            parameter("sounds", Kind::Word(&["all", "first"]), "all", "`first`: only the one that a player chooses"),
            parameter("gates", Kind::Gates, "", "What each track must pass; else the job fails"),
        ],
    },
    StageType {
        word: "thumbnails",
        about: "Sheets of small pictures",
        takes: &[Flow::Media],
        inputs_max: 1,
        gives: Flow::Tracks,
        rank: 7,
        parameters: &[],
    },
    StageType {
        word: "package",
        about: "CMAF tracks with an index, stored and published as one version",
        takes: &[Flow::Tracks],
        inputs_max: 16,
        gives: Flow::Version,
        rank: 8,
        parameters: &[
            parameter(
                "gop",
                Kind::Time { min_ms: 500, max_ms: 10_000 },
                "2s",
                "Closed GOPs of this length begin on the same pictures in all tracks",
            ),
            parameter("segment", Kind::Time { min_ms: 500, max_ms: 20_000 }, "4s", "A whole number of GOPs"),
        ],
    },
];

/// An encoder that this release drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderType {
    /// Its name in documents.
    pub word: &'static str,
    /// What it makes.
    pub codec: &'static str,
    /// GStreamer's element, or FFmpeg's encoder.
    pub element: &'static str,
    /// Debian's package of it.
    pub package: &'static str,
    /// The largest rate factor that it takes.
    pub crf_max: u32,
    /// The shortest side of pictures that it takes, pixels.
    pub side_min: u32,
}

const fn encoder(
    word: &'static str,
    codec: &'static str,
    element: &'static str,
    package: &'static str,
    crf_max: u32,
) -> EncoderType {
    EncoderType { word, codec, element, package, crf_max, side_min: 2 }
}

/// The encoders that this release drives; of those of one codec `auto` takes the first that is there.
pub const ENCODERS: &[EncoderType] = &[
    encoder("x264", "h264", "x264enc", "gstreamer1.0-plugins-ugly", 50),
    encoder("openh264", "h264", "openh264enc", "gstreamer1.0-plugins-bad", 50),
    // In the library that `flame-media` decodes with.
    encoder("x265", "hevc", "libx265", "libavcodec59", 50),
    EncoderType { side_min: 64, ..encoder("svt-av1", "av1", "libsvtav1", "libavcodec59", 63) },
    encoder("vpx-vp9", "vp9", "libvpx-vp9", "libavcodec59", 63),
    encoder("avenc-aac", "aac", "avenc_aac", "gstreamer1.0-libav", 0),
];

/// The stage of this word.
#[must_use]
pub fn stage(word: &str) -> Option<&'static StageType> {
    STAGES.iter().find(|stage| stage.word == word)
}

// === impl Flow ===

impl Flow {
    /// For people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Media => "decoded media",
            Self::Pictures => "pictures",
            Self::SizedPictures => "scaled pictures",
            Self::Sounds => "sounds",
            Self::Tracks => "tracks",
            Self::Version => "a whole version",
        }
    }
}
