//! Arguments of `flame asset`.

use clap::{Subcommand, ValueEnum};
use uuid::Uuid;

use super::{Edit, Encrypt, Export, Import, Sound};
use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Asset {
    #[command(subcommand)]
    pub command: AssetCommand,
}

#[derive(Debug, Subcommand)]
pub enum AssetCommand {
    /// List assets, newest first
    List {
        /// Only assets in this state
        #[arg(long)]
        state: Option<AssetState>,
        /// What is in the trash, instead of what is in the catalogue
        #[arg(long)]
        deleted: bool,
        #[command(flatten)]
        choice: Choice,
    },
    /// Everything about one asset
    Show {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// Find assets by words of title or file name
    Search {
        /// The words
        #[arg(required = true)]
        words: Vec<String>,
        #[command(flatten)]
        choice: Choice,
    },
    /// Say language, role and title of one of an asset's sounds, where the source is silent or wrong
    Sound(Sound),
    /// Let only viewers with a signed URL play assets (`flame token sign-url`)
    Protect {
        #[arg(required = true, value_parser = connection::id, help = "Their identifiers")]
        ids: Vec<Uuid>,
        /// Let everybody play them again
        #[arg(long)]
        off: bool,
    },
    /// A link that plays a protected asset for a while, signed where the services run: no longer than your own token lives
    Link {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
    },
    /// Encrypt assets on their way to viewers, who get the key as they get the asset
    Encrypt(Encrypt),
    /// Edit what is said of an asset: title, record (names of schema.org), fields of your own
    Edit(Edit),
    /// What became of an asset: who changed what, when, and what it was before
    History {
        /// Its identifier
        #[arg(value_parser = connection::id)]
        id: Uuid,
        /// The most changes to show
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Take assets out of the trash, or take edits of one back
    Restore {
        /// Their identifiers
        #[arg(required = true, value_parser = connection::id)]
        ids: Vec<Uuid>,
        /// Give it what was edited as it was after this revision (`flame asset history`)
        #[arg(long)]
        revision: Option<u64>,
    },
    /// What made the bytes that viewers get: source, job, chain, parameters, tools, scores; and what was made of a source
    Provenance {
        /// An asset, a URL that somebody played, or the SHA-256 of a source
        what: String,
    },
    /// What was measured of an asset's media, newest first; of two of these, what is different
    Scores(AssetScores),
    /// What became of all assets, in order
    Changes {
        /// Only after this position (default: all that are kept; with --follow those from now on)
        #[arg(long, value_name = "POSITION")]
        after: Option<u64>,
        /// Go on with what happens, until it is interrupted
        #[arg(long)]
        follow: bool,
        /// The most to show
        #[arg(long, default_value_t = 50, conflicts_with = "follow")]
        limit: usize,
    },
    /// Write assets as NDJSON, schema.org JSON-LD or CSV
    Export(Export),
    /// Read what others say of assets; doing it twice changes nothing
    Import(Import),
    /// Delete assets: into the trash, from where they are gone after a week, their media too
    Rm {
        /// Their identifiers
        #[arg(required = true, value_parser = connection::id)]
        ids: Vec<Uuid>,
        /// For good, at once; also what is in the trash
        #[arg(long)]
        erase: bool,
    },
}

/// What was measured of an asset.
#[derive(Debug, clap::Args)]
pub struct AssetScores {
    /// Its identifier
    #[arg(value_parser = connection::id)]
    pub id: Uuid,
    /// Show this figure, or all of a kind, such as vmaf.p5 or vmaf; as often as wanted [default: what the gates are about; without
    /// gates, means]
    #[arg(long = "figure", value_name = "FIGURE")]
    pub figures: Vec<String>,
    /// What is different between what two jobs have measured: two versions, two chains, two releases
    #[arg(long, value_names = ["JOB", "JOB"], num_args = 2)]
    pub between: Vec<Uuid>,
}

/// Which assets, in which order, and what of them.
#[derive(Debug, clap::Args)]
pub struct Choice {
    /// Only assets that this wants: 'state = ready and probe.video.height >= 1080'
    #[arg(long, value_name = "FILTER")]
    pub filter: Option<String>,
    /// In this order instead of newest first: up to three fields, '-probe.duration_ms,title'
    #[arg(long, value_name = "FIELDS", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// Count the values of these fields instead of listing: 'state,record.keywords'
    #[arg(long, value_name = "FIELDS", conflicts_with_all = ["sort", "limit"])]
    pub facet: Option<String>,
    /// The most to list
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

/// States of an asset, as an argument.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum AssetState {
    Registered,
    Ready,
    Failed,
}
