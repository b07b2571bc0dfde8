//! `flame asset sound`: what can be said of one of an asset's sounds.

use uuid::Uuid;

use crate::connection;

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("said").required(true).multiple(true).args(["language", "role", "title", "forget"]))]
pub struct Sound {
    /// The asset
    #[arg(value_parser = connection::id)]
    pub id: Uuid,
    /// Which of its audio streams, from 0, as `flame asset show` counts them
    pub sound: u32,
    /// Its language (BCP 47): en, pt-BR
    #[arg(long, value_name = "TAG")]
    pub language: Option<String>,
    /// What it is for
    #[arg(long)]
    pub role: Option<SoundRole>,
    /// Its title for people
    #[arg(long)]
    pub title: Option<String>,
    /// Forget what was said of it before, so that it is as the source says
    #[arg(long)]
    pub forget: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SoundRole {
    /// The programme as it is meant
    Main,
    /// Another version of it
    Alternate,
    /// In another language than it was made in
    Dub,
    /// Talk about the programme
    Commentary,
    /// With spoken descriptions of the pictures
    Description,
    /// With speech that stands out
    ClearSpeech,
}
