//! `flame quality conform`: whether playlists and segments keep their rules. What the rules are is decided in
//! [`flame_quality::conformance`]; this fetches what there is to look at, and follows what is live for a while.

mod fetch;
mod live;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use flame_quality::conformance::media::{self, Listed, MediaList};
use flame_quality::conformance::multivariant::{self, Multivariant};
use flame_quality::conformance::segments::{self, Closed, Track};
use flame_quality::conformance::{Finding, Report, rules};
use flame_quality::gate::Gate;
use flame_quality::junit;
use futures_util::future::join_all;
use url::Url;

use self::fetch::Source;
use super::{input, write_junit};
use crate::args::{Conform, Global};
use crate::exit::Exit;
use crate::output::{self, Progress};

/// Most playlists of one presentation that are looked at.
const RENDITIONS_MAX: usize = 64;
/// What is said of segments and parts that nobody here has the key of.
const ENCRYPTED: &str = "what is in encrypted segments: only their sizes and lines of the playlist are looked at";
/// Findings that are printed.
const SHOWN_MAX: usize = 100;

/// How far it looks.
#[derive(Debug, Clone, Copy)]
pub struct Reach {
    /// Segments of each rendition, at most.
    pub segments: usize,
    /// How long what is live is followed.
    pub lasts: Duration,
}

/// A media playlist, and what is known of its rendition.
struct Rendition {
    url: Url,
    list: MediaList,
    track: Track,
    /// Whether segments are looked into, or weighed only.
    is_open: bool,
    /// Whether segments are left alone: subtitles, single pictures.
    is_text: bool,
}

pub async fn run(global: &Global, args: &Conform) -> Result<(), Exit> {
    let begun = std::time::Instant::now();
    let reach = Reach { segments: args.segments, lasts: args.lasts.0 };
    let place = input(global, &args.media, None).await?;
    let class = format!("conformance of {}", args.media);
    let progress = Progress::new("looking", global.json);
    let found = measure(&place, reach).await;
    progress.finish();
    let report = match found {
        Ok(report) => report,
        Err(why) => {
            let (name, outcome) = ("measured".to_owned(), junit::Outcome::Error(why.clone()));
            let case = junit::Case { class, name, time_s: begun.elapsed().as_secs_f64(), outcome };
            write_junit(args.junit.as_deref(), &[case])?;
            return Err(Exit::not_carried_out(anyhow!("{why}")));
        }
    };
    write_junit(args.junit.as_deref(), &cases(&class, &report, begun.elapsed().as_secs_f64()))?;
    if global.json {
        output::print_json(&report)?;
    } else {
        print(&report)?;
    }
    let fails = if args.strict { report.must + report.should } else { report.must };
    if fails > 0 {
        let Report { must, should, .. } = report;
        return Err(Exit::failed(anyhow!("{must} rules that say must are not kept, and {should} that say should")));
    }
    Ok(())
}

/// What a gate asks of a report.
pub fn judge(report: &Report, gate: &Gate) -> Option<f64> {
    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    match gate.conformance_figure()? {
        "must" => Some(report.must as f64),
        "should" => Some(report.should as f64),
        "playlists" => Some(report.playlists as f64),
        "segments" => Some(report.segments as f64),
        _ => None,
    }
}

/// Looks at a playlist, a path or an `http://` URL, and at all that it leads to.
///
/// # Errors
/// It cannot be had, in people's words. What it leads to and cannot be had is a finding.
pub async fn measure(place: &str, reach: Reach) -> Result<Report, String> {
    let (source, url) = Source::of(place)?;
    let text = source.text(&url).await.map_err(|why| format!("{place}: {why}"))?;
    let mut report = Report { playlists: 1, ..Report::default() };
    let name = short(&url);
    if !media::is_multivariant(&text) {
        let mut rendition = rendition(url, &text, false, &mut report);
        look(&source, &mut rendition, false, reach, &mut report).await;
        live::follow(&source, vec![rendition], reach, &mut report).await;
        return Ok(report);
    }
    let main = multivariant::read(&text, &mut report.at(&name));
    let mut renditions = listed(&source, &url, &main, &mut report).await;
    same_target(&renditions, &mut report);
    for rendition in renditions.values_mut() {
        look(&source, rendition, main.is_independent, reach, &mut report).await;
    }
    for variant in &main.variants {
        let own = renditions.get(&variant.uri);
        let Some(target_s) = own.and_then(|own| own.list.target_s) else { continue };
        let mut tracks: Vec<&Track> = own.map(|own| &own.track).into_iter().collect();
        for (kind, group) in variant.groups.iter().filter(|(kind, _)| *kind == "AUDIO") {
            let members = main.renditions.iter().filter(|one| one.kind == *kind && one.group == *group);
            let members = members.filter_map(|one| renditions.get(one.uri.as_ref()?)).map(|one| &one.track);
            #[allow(clippy::cast_precision_loss, reason = "target durations are small")]
            let heaviest = members.max_by(|a, b| a.peak_bps(target_s as f64).total_cmp(&b.peak_bps(target_s as f64)));
            tracks.extend(heaviest);
        }
        #[allow(clippy::cast_precision_loss, reason = "target durations are small")]
        segments::variant(variant, &tracks, target_s as f64, &mut report.at(&name));
    }
    live::follow(&source, renditions.into_values().collect(), reach, &mut report).await;
    Ok(report)
}

/// All media playlists that a multivariant one names, by their URI there.
async fn listed(source: &Source, base: &Url, main: &Multivariant, report: &mut Report) -> BTreeMap<String, Rendition> {
    let subtitles = main.renditions.iter().filter(|one| one.kind == "SUBTITLES").filter_map(|one| one.uri.clone());
    let others = main.renditions.iter().filter(|one| one.kind != "SUBTITLES").filter_map(|one| one.uri.clone());
    let variants = main.variants.iter().map(|variant| variant.uri.clone());
    let kinds = variants.chain(others).map(|uri| (uri, false));
    let kinds = kinds.chain(main.iframes.iter().cloned().chain(subtitles).map(|uri| (uri, true)));
    let mut renditions = BTreeMap::new();
    for (uri, is_text) in kinds {
        if renditions.contains_key(&uri) {
            continue;
        }
        if renditions.len() == RENDITIONS_MAX {
            report.leave_out(format!("media playlists behind the first {RENDITIONS_MAX}"));
            break;
        }
        let fetched = match base.join(&uri) {
            Ok(url) => source.text(&url).await.map(|text| (url, text)),
            Err(error) => Err(error.to_string()),
        };
        match fetched {
            Ok((url, text)) => {
                report.playlists += 1;
                renditions.insert(uri, rendition(url, &text, is_text, report));
            }
            Err(why) => report.at(short(base)).breaks(&rules::AVAILABLE, None, format!("`{uri}`: {why}")),
        }
    }
    renditions
}

fn rendition(url: Url, text: &str, is_text: bool, report: &mut Report) -> Rendition {
    let list = media::read(text, false, &mut report.at(short(&url)));
    let is_text = is_text || list.is_iframes;
    Rendition { url, list, track: Track::new(), is_open: true, is_text }
}

/// Playlists of one presentation agree on their target duration; those of subtitles and of single pictures need not.
fn same_target(renditions: &BTreeMap<String, Rendition>, report: &mut Report) {
    let mut timed = renditions.values().filter(|one| !one.is_text);
    let Some(first) = timed.next() else { return };
    for other in timed.filter(|other| other.list.target_s != first.list.target_s) {
        let found = format!("{:?} s, and {} has {:?} s", other.list.target_s, short(&first.url), first.list.target_s);
        report.at(short(&other.url)).breaks(&rules::SAME_TARGET, None, found);
    }
}

/// Looks into the segments that a playlist lists.
async fn look(source: &Source, rendition: &mut Rendition, of_all: bool, reach: Reach, report: &mut Report) {
    if rendition.is_text {
        report.leave_out("what is in the segments of subtitles and of I-frame playlists");
        return;
    }
    let all = std::mem::take(&mut rendition.list.segments);
    if all.len() > reach.segments {
        // Of what is live the end; of the rest the beginning.
        report.leave_out(format!("segments of a rendition beyond {} (--segments)", reach.segments));
    }
    let from = if rendition.list.has_ended { 0 } else { all.len().saturating_sub(reach.segments) };
    for segment in all.iter().skip(from).take(reach.segments) {
        look_into(source, rendition, segment, of_all, report).await;
    }
    rendition.list.segments = all;
}

/// Looks into one segment.
async fn look_into(source: &Source, rendition: &mut Rendition, segment: &Listed, of_all: bool, report: &mut Report) {
    let place = short(&rendition.url);
    if segment.is_gap {
        return;
    }
    if let Some((uri, range)) = &segment.init
        && rendition.is_open
        && source.is_new(&rendition.url, uri, *range)
    {
        let init = source.part(&rendition.url, uri, *range).await;
        match init {
            Ok(bytes) => match rendition.track.init(&bytes, &mut report.at(&place)) {
                Ok(()) => {}
                Err(Closed::Encrypted) => {
                    rendition.is_open = false;
                    report.leave_out(ENCRYPTED);
                }
                Err(Closed::Several) => {
                    rendition.is_open = false;
                    report.leave_out("what is in segments of several tracks: only their sizes and lines of the playlist are looked at");
                }
                Err(Closed::Broken) => rendition.is_open = false,
            },
            Err(why) => {
                rendition.is_open = false;
                report.at(&place).breaks(&rules::AVAILABLE, Some(segment.line), format!("`{uri}`: {why}"));
            }
        }
    }
    let bytes = match source.part(&rendition.url, &segment.uri, segment.range).await {
        Ok(bytes) => bytes,
        Err(why) => {
            report.at(&place).breaks(&rules::AVAILABLE, Some(segment.line), format!("`{}`: {why}", segment.uri));
            return;
        }
    };
    report.segments += 1;
    // A transport stream begins with its synchronisation byte, and needs no init segment.
    let is_fragmented = bytes.first() != Some(&0x47) && !segment.is_encrypted;
    if !is_fragmented && !segment.is_encrypted {
        report.leave_out("what is in transport streams: only their sizes and lines of the playlist are looked at");
    }
    if segment.is_encrypted {
        report.leave_out(ENCRYPTED);
    }
    if is_fragmented && rendition.is_open {
        let is_independent = of_all || rendition.list.is_independent;
        rendition.track.segment(segment, is_independent, &bytes, &mut report.at(&place));
    } else {
        rendition.track.weigh(segment.duration_s, bytes.len() as u64);
    }
}

/// The end of a URL, which tells renditions apart.
fn short(url: &Url) -> String {
    let parts: Vec<_> = url.path().rsplit('/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// The place of a finding.
fn at(finding: &Finding) -> String {
    finding.line.map_or_else(|| finding.place.clone(), |line| format!("{}:{line}", finding.place))
}

fn cases(class: &str, report: &Report, time_s: f64) -> Vec<junit::Case> {
    let case = |name: String, outcome| junit::Case { class: class.to_owned(), name, time_s: 0.0, outcome };
    let failed = report.findings.iter().map(|finding| {
        let name = format!("{} ({} {})", finding.rule, finding.clause, finding.severity);
        let said = format!("{}: {}; {}", at(finding), finding.found, finding.asks);
        case(
            name,
            if finding.severity == rules::Severity::Must {
                junit::Outcome::Failed(said)
            } else {
                junit::Outcome::Passed(said)
            },
        )
    });
    let summary = format!("{} playlists, {} segments", report.playlists, report.segments);
    let measured = junit::Case { time_s, ..case("measured".to_owned(), junit::Outcome::Passed(summary)) };
    std::iter::once(measured).chain(failed).collect()
}

fn print(report: &Report) -> Result<(), Exit> {
    for finding in report.findings.iter().take(SHOWN_MAX) {
        let Finding { severity, clause, asks, found, .. } = finding;
        output::print_line(&format!(
            "{severity:<6} {clause:<12} {}: {found}\n                    {severity}: {asks}",
            at(finding)
        ))?;
    }
    let more = report.findings.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        output::print_line(&format!("and {more} more (--json has them)"))?;
    }
    for what in &report.not_checked {
        output::print_line(&format!("not looked at: {what}"))?;
    }
    let Report { must, should, playlists, segments, .. } = report;
    output::print_line(&format!(
        "{playlists} playlists, {segments} segments and parts: {must} rules that say must are not kept, {should} that say should"
    ))
}

/// Follows several at once; each has findings of its own, which are put together in order.
async fn together<F: Future<Output = Report>>(all: impl IntoIterator<Item = F>, report: &mut Report) {
    for found in join_all(all).await {
        report.take(found);
    }
}
