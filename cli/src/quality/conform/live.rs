//! Playlists that go on: each is asked for again and again for a while, as a player would, and what has become of it is looked at. New
//! segments and parts are fetched as they come.

use std::time::{Duration, Instant};

use flame_quality::conformance::media::{self, MediaList};
use flame_quality::conformance::{Report, reload, rules};
use url::Url;

use super::fetch::Source;
use super::{ENCRYPTED, Reach, Rendition, look_into, short, together};

/// The shortest pause between two requests for a playlist that has not changed.
const PAUSE: Duration = Duration::from_millis(200);
/// Every so many reloads a delta update is asked for, too.
const DELTA_EVERY: u64 = 3;

/// Follows those that have not ended for `reach.lasts`.
pub async fn follow(source: &Source, renditions: Vec<Rendition>, reach: Reach, report: &mut Report) {
    // A copy on disk of what was live is no channel that stands still.
    let goes_on = |one: &Rendition| !one.list.has_ended && one.url.scheme() != "file";
    let live: Vec<Rendition> = renditions.into_iter().filter(goes_on).collect();
    if live.is_empty() || reach.lasts.is_zero() {
        return;
    }
    let several = live.iter().filter(|one| !one.is_text).count() > 1;
    for one in live.iter().filter(|one| several && one.list.part_target_s.is_some() && one.list.reports == 0) {
        report.at(short(&one.url)).breaks(&rules::REPORTS, None, "there is no EXT-X-RENDITION-REPORT");
    }
    let until = Instant::now() + reach.lasts;
    together(live.into_iter().map(|one| watch(source, one, until)), report).await;
}

async fn watch(source: &Source, mut rendition: Rendition, until: Instant) -> Report {
    let mut report = Report::default();
    let place = short(&rendition.url);
    let mut changed = Instant::now();
    let mut reloads = 0;
    while Instant::now() < until && !rendition.list.has_ended {
        let before = &rendition.list;
        let can_block = before.control.is_some_and(|control| control.can_block);
        let part = before.part_target_s.map(|_| before.open_parts.len());
        let (asked, url) = match can_block {
            true => (Some((before.next_number(), part)), blocking(&rendition.url, before.next_number(), part)),
            false => {
                tokio::time::sleep(pause(before).min(until.saturating_duration_since(Instant::now()))).await;
                (None, rendition.url.clone())
            }
        };
        let Some(after) = read(source, &url, false, &mut report, &place).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        reloads += 1;
        if let Some((number, part)) = asked {
            reload::blocked(&after, number, part, &mut report.at(&place));
        }
        reload::between(before, &after, &mut report.at(&place));
        reload::hinted(before, &after, &mut report.at(&place));
        let has_news = (before.next_number(), before.open_parts.len()) != (after.next_number(), after.open_parts.len());
        if has_news {
            changed = Instant::now();
        } else {
            reload::stale(&after, changed.elapsed().as_secs_f64(), &mut report.at(&place));
            tokio::time::sleep(PAUSE).await;
        }
        let known = std::mem::replace(&mut rendition.list, after);
        if !rendition.is_text {
            news(source, &mut rendition, &known, &mut report).await;
        }
        let can_skip = rendition.list.control.is_some_and(|control| control.skip_until_s.is_some());
        if can_skip && reloads % DELTA_EVERY == 0 {
            let mut url = rendition.url.clone();
            url.query_pairs_mut().append_pair("_HLS_skip", "YES");
            if let Some(delta) = read(source, &url, true, &mut report, &place).await {
                reload::delta(&rendition.list, &delta, &mut report.at(&place));
            }
        }
    }
    report
}

async fn read(source: &Source, url: &Url, is_delta: bool, report: &mut Report, place: &str) -> Option<MediaList> {
    match source.text(url).await {
        Ok(text) => {
            report.playlists += 1;
            Some(media::read(&text, is_delta, &mut report.at(place)))
        }
        Err(why) => {
            let query = url.query().unwrap_or_default();
            report.at(place).breaks(&rules::AVAILABLE, None, format!("the playlist itself ({query}): {why}"));
            None
        }
    }
}

fn blocking(url: &Url, number: u64, part: Option<usize>) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut().append_pair("_HLS_msn", &number.to_string());
    if let Some(part) = part {
        url.query_pairs_mut().append_pair("_HLS_part", &part.to_string());
    }
    url
}

/// How long a player waits where reloads do not block (HLS 6.3.4): half a target duration where nothing was new.
fn pause(list: &MediaList) -> Duration {
    #[allow(clippy::cast_precision_loss, reason = "target durations are small")]
    Duration::from_secs_f64((list.target_s.unwrap_or(1) as f64 / 2.0).clamp(0.2, 30.0))
}

/// Looks into what is new since `known`: parts, and whole segments.
async fn news(source: &Source, rendition: &mut Rendition, known: &MediaList, report: &mut Report) {
    let place = short(&rendition.url);
    let next = known.next_number();
    let mut parts = Vec::new();
    if rendition.is_open {
        let now = &rendition.list;
        let of_open = (now.next_number(), &now.open_parts);
        let of_whole = now.segments.iter().filter(|one| one.number >= next).map(|one| (one.number, &one.parts));
        for (number, list) in of_whole.chain([of_open]) {
            let seen = if number == next { known.open_parts.len() } else { 0 };
            parts.extend(list.iter().skip(seen).filter(|part| !part.is_gap).cloned());
        }
    }
    for part in parts {
        match source.part(&rendition.url, &part.uri, part.range).await {
            Ok(bytes) => {
                report.segments += 1;
                if part.is_encrypted {
                    report.leave_out(ENCRYPTED);
                } else {
                    rendition.track.part(&part, &bytes, &mut report.at(&place));
                }
            }
            Err(why) => report.at(&place).breaks(&rules::AVAILABLE, Some(part.line), format!("`{}`: {why}", part.uri)),
        }
    }
    let whole: Vec<_> = rendition.list.segments.iter().filter(|one| one.number >= next).cloned().collect();
    for segment in whole {
        look_into(source, rendition, &segment, false, report).await;
    }
}
