//! `flame subtitles`: what can be said.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};
use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
pub struct Subtitles {
    #[command(subcommand)]
    pub command: SubtitlesCommand,
}

#[derive(Debug, Subcommand)]
pub enum SubtitlesCommand {
    /// Add subtitles to an asset: a WebVTT, SubRip or TTML file
    Add {
        /// The asset
        #[arg(value_parser = connection::id)]
        asset: Uuid,
        /// The file
        file: PathBuf,
        /// Language as BCP 47 has it: de, pt-BR; needed where the file does not say it
        #[arg(long, value_name = "TAG")]
        language: Option<String>,
        /// Name for people [default: players show the language]
        #[arg(long)]
        title: Option<String>,
        /// What they are for
        #[arg(long, value_enum, default_value_t = SubtitleRole::Subtitle)]
        role: SubtitleRole,
        /// Show them unless the viewer chooses otherwise
        #[arg(long)]
        default: bool,
    },
    /// List the subtitles of an asset
    List {
        /// The asset
        #[arg(value_parser = connection::id)]
        asset: Uuid,
    },
    /// Take subtitles from an asset; their text is deleted
    Rm {
        /// The asset
        #[arg(value_parser = connection::id)]
        asset: Uuid,
        /// Their identifiers
        #[arg(required = true)]
        subtitles: Vec<String>,
    },
}

/// Roles, as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SubtitleRole {
    /// What is said, in another language
    Subtitle,
    /// What is said and heard, for those who do not hear
    Caption,
    /// What is to be read even when subtitles are off
    Forced,
}
