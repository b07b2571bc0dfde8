//! What a document says, once it is checked: stages in an order in which each comes after those that feed it.

use flame_api::media::Rational;
use flame_quality::gate::Gate;

/// A chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// What it does, for people.
    pub about: String,
    /// What can be set when it is run, with the values that hold.
    pub parameters: Vec<Parameter>,
    /// The stages, each after those that feed it.
    pub stages: Vec<Stage>,
}

/// What can be set when a chain is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it does, for people.
    pub about: String,
    /// Its value; of a list, the items with commas between them.
    pub value: String,
}

/// A stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    /// Its name in the document.
    pub name: String,
    /// The word of its type.
    pub word: &'static str,
    /// The stages that feed it.
    pub inputs: Vec<String>,
    /// What it does.
    pub work: Work,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Decodes the source.
    Decode,
    /// Makes whole pictures; `None`: if the source is interlaced.
    Deinterlace(Option<bool>),
    /// Turns by these degrees; `None`: as the source says.
    Rotate(Option<u16>),
    /// Takes borders away.
    Crop(Borders),
    /// Adds bars until width to height is this.
    Pad(Rational),
    /// Pictures a second.
    FrameRate(Rational),
    /// Scales.
    Scale(Sizes),
    /// Encodes pictures.
    EncodeVideo(VideoEncoding),
    /// Mixes down; `None`: to stereo, unless it is mono.
    Mix(Option<u16>),
    /// Brings sounds to a loudness.
    Loudness(Loudness),
    /// Encodes sounds.
    EncodeAudio(AudioEncoding),
    /// Draws small pictures.
    Thumbnails,
    /// Packages.
    Package {
        /// Length of a GOP.
        gop_ms: u32,
        /// Length of a segment.
        segment_ms: u32,
    },
}

/// Pixels to take away on each side; even.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(missing_docs, reason = "the sides")]
pub struct Borders {
    pub left: u32,
    pub right: u32,
    pub top: u32,
    pub bottom: u32,
}

/// How loud sounds are to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Loudness {
    /// Integrated loudness, LUFS (EBU R 128).
    pub target_lufs: f64,
    /// The highest true peak, dBTP.
    pub true_peak_max_dbtp: f64,
}

/// Sizes of pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sizes {
    /// Their own, and the classic ones below it.
    Classic,
    /// Their own.
    Source,
    /// These shorter sides, pixels, largest first; those above the source's are left out.
    Shorter(Vec<u32>),
}

/// How pictures are encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoEncoding {
    /// `h264`, `hevc`, `av1`, `vp9`.
    pub codec: String,
    /// `x264`, `svt-av1`; `None`: the first that is there.
    pub encoder: Option<String>,
    /// Speed, in the words of x264; `None`: as the service is configured.
    pub preset: Option<String>,
    /// How many bits it takes.
    pub rate: Rate,
    /// What each track must pass.
    pub gates: Vec<Gate>,
}

/// How many bits a video track takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Constant quality.
    Quality {
        /// Rate factor; `None`: by size and frame rate.
        crf: Option<u32>,
        /// Cap.
        cap: Cap,
    },
    /// A mean.
    Mean {
        /// Bits per second of the largest size.
        bitrate_bps: u32,
        /// Cap.
        cap: Cap,
    },
}

/// The most bits that a track takes over two seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cap {
    /// By size and frame rate, or by the mean.
    Auto,
    /// None.
    Open,
    /// Of the largest size.
    Bps(u32),
}

/// How sounds are encoded.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioEncoding {
    /// `aac`.
    pub codec: String,
    /// `avenc-aac`; `None`: the first that is there.
    pub encoder: Option<String>,
    /// Bits per second; `None`: by channels.
    pub bitrate_bps: Option<u32>,
    /// Only the sound that a player chooses first.
    pub first_only: bool,
    /// What each track must pass.
    pub gates: Vec<Gate>,
}

// === impl Chain ===

impl Chain {
    /// The stage of this name.
    #[must_use]
    pub fn stage(&self, name: &str) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.name == name)
    }

    /// The stages through which what `stage` takes has come, the source first; only for stages that one other feeds.
    #[must_use]
    pub fn path<'a>(&'a self, stage: &'a Stage) -> Vec<&'a Stage> {
        let before = |stage: &&'a Stage| stage.inputs.first().and_then(|input| self.stage(input));
        let mut path: Vec<_> = std::iter::successors(before(&stage), before).collect();
        path.reverse();
        path
    }

    /// The stage that packages.
    #[must_use]
    pub fn package(&self) -> Option<&Stage> {
        self.stages.iter().find(|stage| matches!(stage.work, Work::Package { .. }))
    }

    /// The stages that feed the package, in its order.
    pub fn packaged(&self) -> impl Iterator<Item = &Stage> {
        self.package().into_iter().flat_map(|package| package.inputs.iter().filter_map(|name| self.stage(name)))
    }
}

// === impl Stage ===

impl Stage {
    /// What its tracks must pass.
    #[must_use]
    pub fn gates(&self) -> &[Gate] {
        match &self.work {
            Work::EncodeVideo(encoding) => &encoding.gates,
            Work::EncodeAudio(encoding) => &encoding.gates,
            _ => &[],
        }
    }

    /// Whether the pictures that it gives cannot be laid over those of the source.
    #[must_use]
    pub fn changes_pictures(&self) -> bool {
        match &self.work {
            Work::Crop(borders) => *borders != Borders::default(),
            Work::Pad(_) | Work::FrameRate(_) => true,
            _ => false,
        }
    }
}
