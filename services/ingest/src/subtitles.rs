//! Subtitles on their way in: read, whatever they are written in, kept as WebVTT, and listed in the catalogue.
//!
//! A file is small, so it is taken into memory whole; how large it may be, and how many are read at a time, is bounded. The
//! text is stored before the catalogue hears of it, under a key that is never used twice; what the catalogue refuses is
//! deleted again. Whether it took what nobody answered to is not known: then the object stays, and goes with its asset.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flame_api::metadata::Asset;
use flame_api::subtitles::{AddedSubtitle, NewSubtitle, SubtitleQuery, SubtitleRole, SubtitleWarning};
use flame_api::{Client, ClientError};
use flame_object_store::{Store, StoreError};
use flame_subtitles::language::{self, LanguageError};
use flame_subtitles::{Format, SubtitleError};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use crate::config::Limits;

/// What makes another name of the same text.
const NAMING: &str = "flame subtitles 1";
/// Digits of a name.
const NAME_DIGITS: usize = 12;
/// Media type of what is kept.
const KEPT_TYPE: &str = "text/vtt";

/// Who reads and keeps them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Subtitles {
    store: Store,
    client: Option<Client>,
    max_bytes: u64,
    idle: Duration,
    places: Arc<Semaphore>,
}

/// What was brought.
#[derive(Debug)]
pub struct Brought {
    /// Whose it is.
    pub tenant: String,
    /// For which asset.
    pub asset: Uuid,
    /// What is said about it.
    pub query: SubtitleQuery,
    /// What the sender calls the format, if anything that is known.
    pub hint: Option<Format>,
    /// The revisions of the asset that the caller takes for current, as `If-Match` has them.
    pub seen: Option<String>,
    /// The file.
    pub bytes: Bytes,
}

/// What came of it.
#[derive(Debug)]
pub struct Added {
    /// For the caller.
    pub answer: AddedSubtitle,
    /// The asset's revision now.
    pub revision: u64,
    /// Whether it was not listed before.
    pub is_new: bool,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum SubtitlesError {
    /// The file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] SubtitleError),
    /// There is nothing to show in it.
    #[error("the file holds no text that is shown at any time")]
    Nothing,
    /// The language is none.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// Nobody says the language.
    #[error("the file does not say its language: say it with `language` (BCP 47), such as `de` or `pt-BR`")]
    NoLanguage,
    /// There is no such asset.
    #[error("there is no asset {0}")]
    Missing(Uuid),
    /// The object store failed.
    #[error("the subtitles could not be stored")]
    Store(#[from] StoreError),
    /// The catalogue refused, or did not answer.
    #[error("the catalogue did not list the subtitles")]
    Catalogue(#[from] ClientError),
    /// No router is configured.
    #[error("no router is configured, so the catalogue is not found")]
    NoRouter,
}

/// Subtitles as they are kept.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    name: String,
    language: String,
    text: String,
    sha256: String,
    cues: u64,
    warnings: Vec<SubtitleWarning>,
}

// === impl Subtitles ===

impl Subtitles {
    /// A reader that keeps in `store` and lists through `client`.
    #[must_use]
    pub fn new(store: Store, client: Option<Client>, limits: &Limits) -> Self {
        let places = Arc::new(Semaphore::new(limits.max_processing));
        Self { store, client, max_bytes: limits.max_subtitles.0, idle: limits.idle.0, places }
    }

    /// The longest file that is read.
    #[must_use]
    pub fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    /// How long a body may bring nothing.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// A place for one file; `None` if others hold all of them for too long. It is held while the file is in memory.
    pub async fn place(&self) -> Option<OwnedSemaphorePermit> {
        let place = tokio::time::timeout(self.idle, Arc::clone(&self.places).acquire_owned()).await.ok()?;
        Some(place.expect("the semaphore is never closed"))
    }

    /// The asset that subtitles are for. A service is shown those of every tenant: only the caller's own counts.
    pub async fn asset(&self, tenant: &str, asset: Uuid) -> Result<Asset, SubtitlesError> {
        let found = self.client(tenant)?.asset(asset).await?;
        found.filter(|found| found.tenant == tenant).ok_or(SubtitlesError::Missing(asset))
    }

    /// Reads, keeps and lists.
    pub async fn add(&self, known: &Asset, brought: Brought) -> Result<Added, SubtitlesError> {
        let Brought { tenant, asset, query, hint, seen, bytes } = brought;
        let client = self.client(&tenant)?;
        let role = query.role.unwrap_or_default();
        let wanted = query.language.as_deref().map(language::canonical).transpose()?;
        let reading = tokio::task::spawn_blocking(move || read(&bytes, hint, wanted, role));
        let read = reading.await.expect("a parser that panics is a fault of ours")?;
        let key = format!("{tenant}/subtitles/{asset}/{}.vtt", Uuid::now_v7());
        let size_bytes = read.text.len() as u64;
        self.store.put(&key, Bytes::from(read.text), KEPT_TYPE).await?;
        let new = NewSubtitle {
            language: read.language,
            role,
            title: query.title,
            default: query.default.unwrap_or(false),
            key: key.clone(),
            size_bytes,
            sha256: read.sha256,
            cues: read.cues,
        };
        match client.list_subtitle(asset, &read.name, seen.as_deref(), &new).await {
            Ok(asset) => {
                let is_new = !known.subtitles.iter().any(|known| known.id == read.name);
                let revision = asset.revision;
                let listed = asset.subtitles.into_iter().find(|listed| listed.id == read.name);
                // Somebody has taken it away again, just now.
                let subtitle = listed.ok_or(SubtitlesError::Missing(asset.id))?;
                Ok(Added { answer: AddedSubtitle { subtitle, warnings: read.warnings }, revision, is_new })
            }
            Err(error) => {
                if error.status().is_some_and(|status| (400..500).contains(&status))
                    && let Err(error) = self.store.delete(&key).await
                {
                    tracing::warn!(key, %error, "subtitles that the catalogue refused stay until their asset goes");
                }
                Err(error.into())
            }
        }
    }

    fn client(&self, tenant: &str) -> Result<Client, SubtitlesError> {
        self.client.as_ref().map(|client| client.for_tenant(tenant)).ok_or(SubtitlesError::NoRouter)
    }
}

/// What a media type says of the format (IANA's register, and what is in use for SubRip, which has none).
#[must_use]
pub fn format_of(media_type: &str) -> Option<Format> {
    match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "text/vtt" => Some(Format::WebVtt),
        "application/x-subrip" | "text/srt" => Some(Format::SubRip),
        "application/ttml+xml" => Some(Format::Ttml),
        _ => None,
    }
}

fn read(
    bytes: &[u8],
    hint: Option<Format>,
    wanted: Option<String>,
    role: SubtitleRole,
) -> Result<Read, SubtitlesError> {
    let mut document = flame_subtitles::parse(bytes, hint)?;
    if document.cues.is_empty() {
        return Err(SubtitlesError::Nothing);
    }
    let language = wanted.or_else(|| document.language.take()).ok_or(SubtitlesError::NoLanguage)?;
    document.language = Some(language.clone());
    let text = document.to_webvtt();
    let name = Sha256::digest(format!("{NAMING}\n{}\n{text}", role.as_str()));
    let warning = |warning: flame_subtitles::Warning| SubtitleWarning { line: warning.line as u64, text: warning.text };
    Ok(Read {
        name: hex::encode(name).chars().take(NAME_DIGITS).collect(),
        language,
        sha256: hex::encode(Sha256::digest(&text)),
        cues: document.cues.len() as u64,
        warnings: document.warnings.into_iter().map(warning).collect(),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBRIP: &[u8] = b"1\r\n00:00:01,000 --> 00:00:02,500\r\nGuten <i>Tag</i>\r\n";

    fn name(bytes: &[u8], language: &str, role: SubtitleRole) -> String {
        read(bytes, None, Some(language.to_owned()), role).unwrap().name
    }

    #[test]
    fn a_text_has_one_name_whatever_it_was_written_in() {
        let webvtt = b"WEBVTT\n\n00:01.000 --> 00:02.500\nGuten <i>Tag</i>\n";
        let here = name(SUBRIP, "de", SubtitleRole::Subtitle);
        assert_eq!((here.len(), name(webvtt, "de", SubtitleRole::Subtitle)), (12, here.clone()));
        assert_ne!(name(SUBRIP, "en", SubtitleRole::Subtitle), here);
        assert_ne!(name(SUBRIP, "de", SubtitleRole::Forced), here);
        assert_ne!(name(b"WEBVTT\n\n00:01.000 --> 00:02.500\nTag\n", "de", SubtitleRole::Subtitle), here);
    }

    #[test]
    fn the_language_is_said_by_somebody() {
        let said = |bytes: &[u8], wanted: Option<&str>| {
            read(bytes, None, wanted.map(str::to_owned), SubtitleRole::Subtitle).map(|read| (read.language, read.text))
        };
        assert!(matches!(said(SUBRIP, None), Err(SubtitlesError::NoLanguage)));
        let ttml = br#"<tt xmlns="http://www.w3.org/ns/ttml" xml:lang="pt-BR"><body><div><p begin="1s" end="2s">Bom</p></div></body></tt>"#;
        let (language, text) = said(ttml, None).unwrap();
        assert!(language == "pt-BR" && text.starts_with("WEBVTT Language: pt-BR\n"), "{text}");
        let (language, text) = said(ttml, Some("en")).unwrap();
        assert!(language == "en" && text.starts_with("WEBVTT Language: en\n"), "{text}");
    }

    #[test]
    fn what_shows_nothing_is_none() {
        assert!(matches!(read(b"WEBVTT\n\n", None, None, SubtitleRole::Caption), Err(SubtitlesError::Nothing)));
    }

    #[test]
    fn media_types_say_the_format() {
        assert_eq!(format_of("Text/VTT; charset=utf-8"), Some(Format::WebVtt));
        assert_eq!(format_of("application/x-subrip"), Some(Format::SubRip));
        assert_eq!(format_of("application/octet-stream"), None);
    }
}
