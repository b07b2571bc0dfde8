//! Marks of a channel: what is said of spans of its time. Pure but for the one call that writes them down.
//!
//! They stand in every playlist of the channel as long as they have not left the window, and all of them in the recording's.

use std::sync::Arc;

use flame_api::live::{Mark, MarkValue, NewMark};
use flame_playlist::{DateRange, Length, Scte35, Value, check_date_ranges};
use thiserror::Error;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Live, LiveError};

/// The most characters of a mark's name.
const ID_MAX: usize = 64;
/// The most characters of all that a mark says.
const TEXT_MAX: usize = 8 * 1024;

/// What cannot be said of a mark.
#[derive(Debug, Error)]
pub(crate) enum MarkError {
    /// Its name is none.
    #[error("a mark's name has 1 to {ID_MAX} letters, digits, `.`, `-` or `_`; not {0:?}")]
    Id(String),
    /// It cannot begin anew.
    #[error("the mark {id:?} begins at {start}: another one needs another name")]
    Start {
        /// Its name.
        id: String,
        /// When it begins.
        start: OffsetDateTime,
    },
    /// It ends before it begins, or at two times.
    #[error("the mark {0:?} ends before it begins, or is said to end twice")]
    End(String),
    /// What should be hexadecimal is not.
    #[error("{0:?} is no hexadecimal")]
    Hexadecimal(String),
    /// It says too much.
    #[error("a mark says {TEXT_MAX} characters at most")]
    TooLong,
    /// There are too many.
    #[error("a channel has {0} marks at most")]
    TooMany(usize),
    /// It cannot stand in a playlist with the others.
    #[error(transparent)]
    Playlist(#[from] flame_playlist::PlaylistError),
}

// === impl Live ===

impl Live {
    /// Makes a mark, or says more of one.
    pub(crate) async fn mark(&self, tenant: &str, id: Uuid, name: &str, new: &NewMark) -> Result<Mark, LiveError> {
        let channel = self.owned(tenant, id)?;
        if channel.is_ended() {
            return Err(LiveError::Ended(id));
        }
        // One after the other: what is checked against is what is written.
        let _writing = channel.marking.lock().await;
        let marks = channel.marks();
        let (marked, mark) = with(&marks, name, new, OffsetDateTime::now_utc())?;
        if marked.len() > self.0.config.marks_max {
            return Err(MarkError::TooMany(self.0.config.marks_max).into());
        }
        self.write(&channel, |document| document.marks.clone_from(&marked)).await?;
        channel.set_marks(Arc::new(marked));
        Ok(mark)
    }

    /// All marks of a channel, by their beginning; also of one that has ended.
    pub(crate) async fn marks(&self, tenant: &str, id: Uuid) -> Result<Vec<Mark>, LiveError> {
        match self.owned(tenant, id) {
            Ok(channel) => Ok(channel.marks().to_vec()),
            Err(_) if tenant == self.0.tenant => Ok(self.document(id).await?.ok_or(LiveError::NoChannel(id))?.marks),
            Err(error) => Err(error),
        }
    }
}

/// The marks with one more, or with more said of one, by their beginning; and that one.
fn with(marks: &[Mark], id: &str, new: &NewMark, now: OffsetDateTime) -> Result<(Vec<Mark>, Mark), MarkError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if id.is_empty() || id.len() > ID_MAX || !id.bytes().all(is_letter) {
        return Err(MarkError::Id(id.chars().take(ID_MAX).collect()));
    }
    let known = marks.iter().find(|mark| mark.id == id);
    if let (Some(known), Some(start)) = (known, new.start)
        && known.start != milliseconds(start)
    {
        return Err(MarkError::Start { id: id.to_owned(), start: known.start });
    }
    let fresh = || Mark {
        id: id.to_owned(),
        class: None,
        // As it is written into playlists.
        start: milliseconds(new.start.unwrap_or(now)),
        duration_ms: None,
        planned_duration_ms: None,
        ends_on_next: false,
        scte35_out: None,
        scte35_in: None,
        scte35_command: None,
        attributes: std::collections::BTreeMap::new(),
    };
    let mut mark = known.cloned().unwrap_or_else(fresh);
    let duration_ms = match (new.end, new.duration_ms) {
        (None, ms) => ms,
        (Some(end), None) => {
            let ms = (end - mark.start).whole_milliseconds();
            Some(u64::try_from(ms).map_err(|_| MarkError::End(id.to_owned()))?)
        }
        (Some(_), Some(_)) => return Err(MarkError::End(id.to_owned())),
    };
    mark.class = new.class.clone().or(mark.class);
    mark.duration_ms = duration_ms.or(mark.duration_ms);
    mark.planned_duration_ms = new.planned_duration_ms.or(mark.planned_duration_ms);
    mark.ends_on_next = new.ends_on_next.unwrap_or(mark.ends_on_next);
    mark.scte35_out = new.scte35_out.clone().or(mark.scte35_out);
    mark.scte35_in = new.scte35_in.clone().or(mark.scte35_in);
    mark.scte35_command = new.scte35_command.clone().or(mark.scte35_command);
    mark.attributes.extend(new.attributes.clone());
    if format!("{mark:?}").len() > TEXT_MAX {
        return Err(MarkError::TooLong);
    }
    let mut marked: Vec<Mark> = marks.iter().filter(|mark| mark.id != id).cloned().collect();
    marked.push(mark.clone());
    marked.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
    check_date_ranges(&date_ranges(&marked)?)?;
    Ok((marked, mark))
}

/// As playlists have them.
pub(super) fn date_ranges(marks: &[Mark]) -> Result<Vec<DateRange>, MarkError> {
    marks.iter().map(date_range).collect()
}

fn date_range(mark: &Mark) -> Result<DateRange, MarkError> {
    let section = |text: &Option<String>| text.as_deref().map(bytes).transpose();
    let mut attributes = std::collections::BTreeMap::new();
    for (name, value) in &mark.attributes {
        let value = match value {
            MarkValue::Number(number) => Value::Number(*number),
            MarkValue::Text(text) if text.starts_with("0x") => Value::Bytes(bytes(text)?),
            MarkValue::Text(text) => Value::Text(text.clone()),
        };
        attributes.insert(name.clone(), value);
    }
    let start_ms = mark.start.unix_timestamp_nanos().div_euclid(1_000_000);
    Ok(DateRange {
        id: mark.id.clone(),
        class: mark.class.clone(),
        start_ms: u64::try_from(start_ms).map_err(|_| MarkError::End(mark.id.clone()))?,
        length: match (mark.duration_ms, mark.planned_duration_ms, mark.ends_on_next) {
            (Some(ms), _, _) => Length::Known(ms),
            (None, _, true) => Length::UntilNext,
            (None, Some(ms), false) => Length::Planned(ms),
            (None, None, false) => Length::Unknown,
        },
        cues: Vec::new(),
        scte35: Scte35 {
            command: section(&mark.scte35_command)?,
            out: section(&mark.scte35_out)?,
            back_in: section(&mark.scte35_in)?,
        },
        attributes,
    })
}

fn bytes(text: &str) -> Result<Vec<u8>, MarkError> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    hex::decode(digits).map_err(|_| MarkError::Hexadecimal(text.chars().take(ID_MAX).collect()))
}

fn milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::nanoseconds(i64::from(time.nanosecond() % 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_795_694_400 + second).unwrap()
    }

    fn ad(start: Option<i64>) -> NewMark {
        NewMark { class: Some("ad".to_owned()), start: start.map(at), ..NewMark::default() }
    }

    #[test]
    fn what_is_left_unsaid_stays_and_a_break_gets_its_end() {
        let new = NewMark { scte35_out: Some("0xFC30".to_owned()), ..ad(None) };
        let (marks, begun) = with(&[], "1", &new, at(5) + Duration::nanoseconds(1_234_567)).unwrap();
        assert_eq!(begun.start, at(5) + Duration::milliseconds(1));
        assert_eq!(date_ranges(&marks).unwrap()[0].length, Length::Unknown);
        let end = NewMark { end: Some(at(35)), ..NewMark::default() };
        let (marks, ended) = with(&marks, "1", &end, at(60)).unwrap();
        assert_eq!(ended, Mark { duration_ms: Some(29_999), ..begun });
        assert_eq!(date_ranges(&marks).unwrap()[0].scte35.out, Some(vec![0xfc, 0x30]));
        let (marks, _) = with(&marks, "0", &ad(Some(40)), at(60)).unwrap();
        assert_eq!(marks.iter().map(|mark| mark.id.as_str()).collect::<Vec<_>>(), ["1", "0"]);
    }

    #[test]
    fn what_contradicts_itself_or_the_others_is_refused() {
        let (marks, _) = with(&[], "1", &NewMark { duration_ms: Some(30_000), ..ad(Some(0)) }, at(0)).unwrap();
        let refused = |id: &str, new: NewMark| with(&marks, id, &new, at(0)).unwrap_err();
        assert!(matches!(refused("", ad(None)), MarkError::Id(_)));
        assert!(matches!(refused("a/b", ad(None)), MarkError::Id(_)));
        assert!(matches!(refused("1", ad(Some(1))), MarkError::Start { .. }));
        assert!(matches!(refused("2", ad(Some(10))), MarkError::Playlist(_)), "it overlaps");
        let end = NewMark { end: Some(at(-1)), ..NewMark::default() };
        assert!(matches!(refused("1", end), MarkError::End(_)));
        let hex = NewMark { scte35_in: Some("xyz".to_owned()), ..NewMark::default() };
        assert!(matches!(refused("1", hex), MarkError::Hexadecimal(_)));
        let quotes = NewMark { class: Some("a\"b".to_owned()), ..NewMark::default() };
        assert!(matches!(refused("1", quotes), MarkError::Playlist(_)));
        let attributes = [("NAME".to_owned(), MarkValue::Number(1.0))].into();
        let foreign = NewMark { attributes, ..NewMark::default() };
        assert!(matches!(refused("1", foreign), MarkError::Playlist(_)), "no X-");
    }
}
