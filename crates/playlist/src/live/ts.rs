//! The same track as transport streams, for players that take nothing else: whole segments, without parts and without what comes with them. The numbers,
//! times, gaps and discontinuities are those of the other playlist.

use super::{Content, HOLD_BACK_TARGETS, LiveMedia, line};
use crate::PlaylistError;
use crate::media::ts_segment_uri;
use crate::time::{Seconds, Timestamp};

/// The version that `EXT-X-GAP` needs (section 8).
const VERSION: u32 = 8;

impl LiveMedia {
    /// The playlist; what is under way is not in it.
    ///
    /// # Errors
    /// [`PlaylistError`] if there is no timescale or nothing that is whole in it.
    pub fn transport_streams(&self) -> Result<String, PlaylistError> {
        if self.timescale == 0 {
            return Err(PlaylistError::Timescale);
        }
        if !self.segments.iter().any(|segment| matches!(segment.content, Content::Whole(_))) {
            return Err(PlaylistError::Empty { what: "segment" });
        }
        let mut text = String::with_capacity(256 + 100 * self.segments.len());
        line(&mut text, format_args!("#EXTM3U"));
        line(&mut text, format_args!("#EXT-X-VERSION:{VERSION}"));
        line(&mut text, format_args!("#EXT-X-TARGETDURATION:{}", self.target_duration_s));
        if self.is_over {
            line(&mut text, format_args!("#EXT-X-PLAYLIST-TYPE:VOD"));
        } else {
            let hold_back_s = HOLD_BACK_TARGETS * self.target_duration_s;
            line(&mut text, format_args!("#EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back_s}.0"));
        }
        self.sequences(&mut text);
        let mut period = None;
        for (at, segment) in self.segments.iter().enumerate() {
            if matches!(segment.content, Content::UnderWay(_)) && !self.is_over {
                continue;
            }
            if segment.is_discontinuity && at > 0 {
                line(&mut text, format_args!("#EXT-X-DISCONTINUITY"));
            }
            let number = self.first_number + at as u64;
            if period.replace(self.key_period(number)) != Some(self.key_period(number)) {
                self.key_of(&mut text, number)?;
            }
            let time = Timestamp(segment.by_the_wall(segment.time_ticks, self.timescale), self.timescale);
            line(&mut text, format_args!("#EXT-X-PROGRAM-DATE-TIME:{time}"));
            if segment.content == Content::Gap {
                line(&mut text, format_args!("#EXT-X-GAP"));
            }
            line(&mut text, format_args!("#EXTINF:{},", Seconds(segment.duration_ticks, self.timescale)));
            let number = usize::try_from(number).unwrap_or(usize::MAX);
            line(&mut text, format_args!("{}", ts_segment_uri(number)));
        }
        if self.is_over {
            line(&mut text, format_args!("#EXT-X-ENDLIST"));
        }
        Ok(text)
    }
}
