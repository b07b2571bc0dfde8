//! Scores a film against its reference: each side is decoded once, and every metric looks at the same pair of frames.
//!
//! Films mostly correspond frame by frame, so pairs are scored in that order while signatures of all frames are kept. If
//! the signatures then say that other frames belong together, both films are gone through once more with the right
//! pairs; and if they say that these are different films, nothing is scored. Nothing but signatures and scores is kept,
//! so memory does not grow with the size of frames times their number.

mod film;
mod images;
mod raw;
pub(crate) mod shape;
pub mod sheets;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
    thread::Scope,
};

use flame_api::quality::{Column, Comparison, Film as FilmAbout, Form, FrameScores, Metric, Scores};
use flame_media_child::protocol::ComparePlan;
use flame_quality::{
    alignment::{self, Correspondence, Pair, SHIFT_FRAMES_MAX},
    columns,
    inspect::extent,
    plane::Picture,
    pooling, psnr,
    signature::Signature,
    ssim,
    xpsnr::{self, Xpsnr},
};

use self::{
    film::{Film, Playing, Shown},
    shape::{Common, Converter, Kind},
};
use crate::{
    fault::MediaError,
    vmaf::{self, Vmaf, Wanted},
};

/// Most frames of a film: their signatures take 115 MB.
const FRAMES_MAX: usize = 400_000;
/// Frames of each film after which it is looked whether they correspond in order.
const PREVIEW_FRAMES: usize = 100;

/// Compares two films. `on_progress` hears how far it is, 0 to 1.
///
/// # Errors
/// [`MediaError`] in people's words: what cannot be opened, decoded or compared, or that these are different films.
pub fn compare(plan: &ComparePlan, on_progress: &mut dyn FnMut(f64)) -> Result<(Comparison, Scores), MediaError> {
    if plan.metrics.is_empty() || plan.subsample == 0 {
        return Err(MediaError::input("nothing to compute: name a metric, and score every n-th pair with n from 1"));
    }
    let reference = Film::open(&plan.reference, plan.reference_form.as_ref(), plan.follow_playlists)?;
    let distorted = Film::open(&plan.distorted, plan.distorted_form.as_ref(), plan.follow_playlists)?;
    if reference.about.rotation_deg != distorted.about.rotation_deg {
        return Err(MediaError::input(format!(
            "the reference is shown turned by {} degrees and the distorted film by {}: turn one of them first",
            reference.about.rotation_deg, distorted.about.rotation_deg
        )));
    }
    std::thread::scope(|scope| Pass::first(plan, reference, distorted, scope)?.run(on_progress))
}

/// Writes scores to a file as JSON.
///
/// # Errors
/// The file cannot be written.
pub fn write(scores: &Scores, path: &Path) -> Result<(), MediaError> {
    let failed =
        |error: &dyn std::fmt::Display| MediaError::environment(format!("cannot write {}: {error}", path.display()));
    let mut file = BufWriter::new(File::create(path).map_err(|error| failed(&error))?);
    serde_json::to_writer(&mut file, scores).map_err(|error| failed(&error))?;
    file.flush().map_err(|error| failed(&error))
}

/// Both films on their way through.
struct Pass<'plan, 'scope> {
    plan: &'plan ComparePlan,
    scope: &'scope Scope<'scope, 'plan>,
    common: Common,
    notes: Vec<String>,
    abouts: [FilmAbout; 2],
    expected_ms: Option<f64>,
    /// What did not come of either.
    lacks: [Vec<String>; 2],
    reference: Side<'scope>,
    distorted: Side<'scope>,
}

/// One of the films.
struct Side<'scope> {
    playing: Playing<'scope>,
    ahead: Option<Shown>,
    converter: Converter,
    signatures: Vec<Signature>,
}

/// What becomes of pairs.
struct Scorer {
    metrics: Vec<Metric>,
    subsample: u64,
    vmaf: Option<Vmaf>,
    pairs: u64,
    frames: Vec<FrameScores>,
    /// Of each column of PSNR, over all frames.
    errors: Vec<f64>,
    /// What XPSNR knows of the reference.
    xpsnr: Option<Xpsnr>,
    /// Of each column of XPSNR, over all frames.
    roots: Vec<f64>,
    /// The largest value of a sample.
    max: f64,
}

/// What belongs to the errors of a whole film, by the name of the column.
type OfFilm = Vec<(&'static str, f64)>;

// === impl Pass ===

impl<'plan, 'scope> Pass<'plan, 'scope> {
    fn first(
        plan: &'plan ComparePlan,
        reference: Film,
        distorted: Film,
        scope: &'scope Scope<'scope, 'plan>,
    ) -> Result<Self, MediaError> {
        let abouts = [reference.about.clone(), distorted.about.clone()];
        let expected_ms = abouts.iter().filter_map(|about| about.duration_ms).reduce(f64::max);
        let mut playing = [reference.play(scope, "reference")?, distorted.play(scope, "distorted")?];
        let mut first = Vec::new();
        let mut kinds = Vec::new();
        for (playing, input) in playing.iter_mut().zip([&plan.reference, &plan.distorted]) {
            let Some(shown) = playing.next() else {
                playing.stop()?;
                return Err(MediaError::input(format!("no frame of the video of {input} can be decoded")));
            };
            kinds.push(Kind::of(&shown.frame)?);
            first.push(Some(shown));
        }
        let (common, notes) = shape::common(kinds[0], kinds[1])?;
        for &metric in &plan.metrics {
            if let Some(refusal) = columns::refusal(metric, common.width, common.height) {
                return Err(MediaError::input(refusal));
            }
        }
        let mut abouts =
            abouts.into_iter().zip([&plan.reference, &plan.distorted]).zip(&kinds).map(|((about, input), kind)| {
                FilmAbout {
                    input: input.clone(),
                    codec: about.codec,
                    shape: kind.shape(),
                    frames: 0,
                    frame_rate: about.frame_rate,
                    duration_ms: 0.0,
                    missing_ms: None,
                    decode_errors: 0,
                }
            });
        let abouts = [abouts.next().expect("there are two"), abouts.next().expect("there are two")];
        let mut sides = playing.into_iter().zip(first).map(|(playing, ahead)| Side {
            playing,
            ahead,
            converter: Converter::new(common),
            signatures: Vec::new(),
        });
        let (reference, distorted) = (sides.next().expect("there are two"), sides.next().expect("there are two"));
        let lacks = [Vec::new(), Vec::new()];
        Ok(Self { plan, scope, common, notes, abouts, expected_ms, lacks, reference, distorted })
    }

    fn run(mut self, on_progress: &mut dyn FnMut(f64)) -> Result<(Comparison, Scores), MediaError> {
        let mut scorer = Some(Scorer::new(self.plan, self.common, self.abouts[0].frame_rate)?);
        self.look(&mut scorer, on_progress)?;
        self.finish_sides()?;
        let found = alignment::align(&self.reference.signatures, &self.distorted.signatures);
        if found.confidence < self.plan.confidence_min {
            return Err(refusal(&found, self.plan.confidence_min));
        }
        let frames = (self.reference.signatures.len(), self.distorted.signatures.len());
        let scorer = match scorer.filter(|_| found.is_in_order(frames.0, frames.1)) {
            Some(scorer) => scorer,
            None => self.score_again(&found.pairs, on_progress)?,
        };
        let alignment = found.describe(self.reference.playing.times_ms(), self.distorted.playing.times_ms());
        let (scores, of_film) = scorer.finish()?;
        on_progress(1.0);
        self.notes.extend(self.partial());
        // What the reference lacks is missed where there is something to be scored against it.
        let [of_reference, mut incomplete] = self.lacks;
        if alignment.tail_distorted > 0 {
            incomplete.extend(of_reference);
        } else {
            self.notes.extend(of_reference);
        }
        let comparison = Comparison {
            incomplete,
            compared_as: self.common.shape(),
            columns: summary(&self.plan.metrics, &scores, &of_film),
            notes: self.notes,
            alignment,
            scored_frames: scores.frames.len() as u64,
            subsample: self.plan.subsample,
            libvmaf: vmaf::version(),
            reference: self.abouts[0].clone(),
            distorted: self.abouts[1].clone(),
        };
        Ok((comparison, scores))
    }

    /// Goes through both films, frame by frame. The scorer is dropped as soon as their order is not each other's.
    fn look(&mut self, scorer: &mut Option<Scorer>, on_progress: &mut dyn FnMut(f64)) -> Result<(), MediaError> {
        let wanted = self.frames_wanted();
        let mut pairs = 0;
        loop {
            let (mut reference, mut distorted) = (None, None);
            if self.reference.signatures.len() < wanted {
                reference = self.reference.next();
            }
            if self.distorted.signatures.len() < wanted {
                distorted = self.distorted.next();
            }
            if reference.is_none() && distorted.is_none() {
                return Ok(());
            }
            let time_ms = distorted.as_ref().or(reference.as_ref()).map_or(0.0, |shown| shown.time_ms);
            let seen = self.reference.signatures.len().max(self.distorted.signatures.len());
            let corresponds = seen != PREVIEW_FRAMES || self.corresponds_so_far();
            let reference = self.reference.look_at(&mut reference)?;
            let distorted = self.distorted.look_at(&mut distorted)?;
            if seen >= FRAMES_MAX {
                return Err(MediaError::input(format!(
                    "a film has more than {FRAMES_MAX} frames; compare it in parts, or only its begin (--frames)"
                )));
            }
            let (Some(reference), Some(distorted)) = (reference, distorted) else { continue };
            if !corresponds {
                *scorer = None;
            }
            if let Some(scorer) = scorer.as_mut().filter(|_| self.plan.frames_max.is_none_or(|max| pairs < max)) {
                let pair = Pair { reference: pairs as usize, distorted: pairs as usize };
                scorer.score(&reference, &distorted, pair, time_ms)?;
            }
            pairs += 1;
            self.report(time_ms, on_progress);
        }
    }

    fn corresponds_so_far(&self) -> bool {
        let found = alignment::align(&self.reference.signatures, &self.distorted.signatures);
        let pairs = found.pairs.iter().take(PREVIEW_FRAMES / 2);
        found.pairs.len() > PREVIEW_FRAMES / 2
            && pairs.enumerate().all(|(at, pair)| pair.reference == at && pair.distorted == at)
    }

    /// Frames of each film that are looked at.
    fn frames_wanted(&self) -> usize {
        let wanted = self.plan.frames_max.and_then(|max| usize::try_from(max).ok());
        wanted.map_or(usize::MAX, |max| max.saturating_add(SHIFT_FRAMES_MAX))
    }

    fn finish_sides(&mut self) -> Result<(), MediaError> {
        let names = ["the reference", "the distorted film"];
        let sides = [&mut self.reference, &mut self.distorted].into_iter().zip(&mut self.abouts);
        for ((side, about), (name, lacks)) in sides.zip(names.into_iter().zip(&mut self.lacks)) {
            let ended = side.playing.stop()?;
            about.decode_errors = ended.refused;
            about.frames = side.signatures.len() as u64;
            about.duration_ms = side.playing.duration_ms();
            if ended.refused > 0 {
                let refused = ended.refused;
                lacks.push(format!(
                    "{name} is damaged: {refused} of its pictures could not be decoded, or only in part"
                ));
            }
            if ended.is_broken {
                lacks.push(format!("{name} ends in the middle: what follows could not be read"));
            }
            let (stated_ms, missing_ms) = side.playing.missing_ms(ended.refused);
            about.missing_ms = missing_ms;
            lacks.extend(extent::said(name, stated_ms, missing_ms));
        }
        Ok(())
    }

    /// A second pass, with pairs that are known.
    fn score_again(&mut self, pairs: &[Pair], on_progress: &mut dyn FnMut(f64)) -> Result<Scorer, MediaError> {
        let mut scorer = Scorer::new(self.plan, self.common, self.abouts[0].frame_rate)?;
        let plan = self.plan;
        let open = |input: &str, form: Option<&Form>| Film::open(input, form, plan.follow_playlists);
        let reference = open(&plan.reference, plan.reference_form.as_ref())?;
        let distorted = open(&plan.distorted, plan.distorted_form.as_ref())?;
        let (mut reference, mut distorted) =
            (reference.play(self.scope, "reference")?, distorted.play(self.scope, "distorted")?);
        let (mut next_reference, mut next_distorted) = (0, 0);
        let mut converters = (Converter::new(self.common), Converter::new(self.common));
        let wanted = self.plan.frames_max.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        for (done, pair) in pairs.iter().take(wanted).enumerate() {
            let changed = || MediaError::environment("a film has fewer frames when it is read for the second time");
            let mut reference = skip_to(&mut reference, &mut next_reference, pair.reference).ok_or_else(changed)?;
            let mut distorted = skip_to(&mut distorted, &mut next_distorted, pair.distorted).ok_or_else(changed)?;
            let time_ms = distorted.time_ms;
            let reference = converters.0.convert(&mut reference.frame)?;
            let distorted = converters.1.convert(&mut distorted.frame)?;
            scorer.score(&reference, &distorted, *pair, time_ms)?;
            on_progress(done as f64 / pairs.len() as f64);
        }
        reference.stop()?;
        distorted.stop()?;
        self.notes.push("the films do not correspond frame by frame: both were decoded twice".to_owned());
        Ok(scorer)
    }

    fn report(&self, time_ms: f64, on_progress: &mut dyn FnMut(f64)) {
        if let Some(expected_ms) = self.expected_ms.filter(|expected_ms| *expected_ms > 0.0) {
            on_progress((time_ms / expected_ms).min(1.0));
        }
    }

    /// What makes the result a partial one.
    fn partial(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let is_longer = |max: &u64| self.abouts.iter().any(|about| about.frames > *max);
        if let Some(max) = self.plan.frames_max.filter(is_longer) {
            notes.push(format!("only the first {max} pairs were asked for"));
        }
        notes
    }
}

fn skip_to(playing: &mut Playing<'_>, next: &mut usize, wanted: usize) -> Option<Shown> {
    loop {
        let shown = playing.next()?;
        *next += 1;
        if *next == wanted + 1 {
            return Some(shown);
        }
    }
}

fn refusal(found: &Correspondence, confidence_min: f64) -> MediaError {
    MediaError::input(format!(
        "the films do not correspond: of {} pairs of frames that were tried the confidence is {:.2}, less than {confidence_min:.2}; \
         no score is given, because it would be one of unrelated frames. Are these the right two files? To score them \
         nevertheless, ask for a lower confidence",
        found.pairs.len(),
        found.confidence
    ))
}

fn summary(metrics: &[Metric], scores: &Scores, of_film: &[(&str, f64)]) -> Vec<Column> {
    let firsts: Vec<_> = metrics.iter().map(|metric| columns::of(*metric)[0]).collect();
    let columns = scores.columns.iter().enumerate().filter_map(|(at, name)| {
        let values: Vec<f64> = scores.frames.iter().map(|frame| frame.values[at]).collect();
        let pooled = pooling::pool(&values)?;
        let worst = if firsts.contains(&name.as_str()) { pooling::worst(scores, at) } else { Vec::new() };
        Some(Column {
            name: name.clone(),
            pooled,
            of_mean_error: of_film.iter().find(|(column, _)| column == name).map(|(_, figure)| *figure),
            worst,
        })
    });
    columns.collect()
}

// === impl Side ===

impl Side<'_> {
    fn next(&mut self) -> Option<Shown> {
        self.ahead.take().or_else(|| self.playing.next())
    }

    fn look_at<'a>(&'a mut self, shown: &'a mut Option<Shown>) -> Result<Option<Picture<'a>>, MediaError> {
        let Some(shown) = shown else { return Ok(None) };
        let picture = self.converter.convert(&mut shown.frame)?;
        self.signatures.push(Signature::of(&picture.planes[0]));
        Ok(Some(picture))
    }
}

// === impl Scorer ===

impl Scorer {
    fn new(plan: &ComparePlan, common: Common, frame_rate: Option<f64>) -> Result<Self, MediaError> {
        let metrics = columns::ordered(&plan.metrics);
        let vmaf = Vmaf::start(&Wanted {
            metrics: &metrics,
            chroma_shifts: common.chroma_shifts,
            bits: u32::from(common.bits),
            width: common.width,
            height: common.height,
            threads: plan.threads,
            subsample: plan.subsample,
        })?;
        let subsample = u64::from(plan.subsample);
        let max = f64::from((1_u32 << common.bits) - 1);
        let xpsnr = metrics.contains(&Metric::Xpsnr).then(|| Xpsnr::new(frame_rate));
        let (errors, roots, frames) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { metrics, subsample, vmaf, pairs: 0, frames, errors, xpsnr, roots, max })
    }

    fn score(
        &mut self,
        reference: &Picture<'_>,
        distorted: &Picture<'_>,
        pair: Pair,
        time_ms: f64,
    ) -> Result<(), MediaError> {
        // libvmaf sees every pair also then: it measures motion from one to the next.
        if let Some(vmaf) = &mut self.vmaf {
            vmaf.read(reference, distorted)?;
        }
        if let Some(xpsnr) = &mut self.xpsnr {
            // So does this.
            xpsnr.look(&reference.planes[0]);
        }
        let is_wanted = self.pairs.is_multiple_of(self.subsample);
        self.pairs += 1;
        if !is_wanted {
            return Ok(());
        }
        let mut values = Vec::new();
        if self.metrics.contains(&Metric::Psnr) {
            let errors = psnr::errors(reference, distorted);
            values.push(errors.average_db());
            values.extend(errors.planes_db());
            self.errors.resize(1 + errors.planes.len(), 0.0);
            for (sum, error) in self.errors.iter_mut().zip([errors.average].iter().chain(&errors.planes)) {
                *sum += error;
            }
        }
        if self.metrics.contains(&Metric::Ssim) {
            let too_small = || MediaError::input("the pictures are too small for SSIM");
            let similarity = ssim::similarity(reference, distorted).ok_or_else(too_small)?;
            values.push(similarity.all);
            values.extend(similarity.planes);
        }
        if let Some(xpsnr) = &self.xpsnr {
            let errors = xpsnr.errors(reference, distorted);
            values.extend(errors.iter().map(|&error| psnr::ratio_db(error, self.max)));
            self.roots.resize(errors.len(), 0.0);
            for (sum, error) in self.roots.iter_mut().zip(&errors) {
                *sum += error.sqrt();
            }
        }
        let (reference, distorted) = (pair.reference as u64, pair.distorted as u64);
        self.frames.push(FrameScores { reference, distorted, time_ms, values });
        Ok(())
    }

    /// All scores, and what belongs to the errors of all frames, by the name of the column.
    fn finish(mut self) -> Result<(Scores, OfFilm), MediaError> {
        if let Some(vmaf) = &mut self.vmaf {
            vmaf.finish()?;
            for (number, frame) in (0_u64..).step_by(self.subsample as usize).zip(&mut self.frames) {
                frame.values.extend(vmaf.scores(u32::try_from(number).unwrap_or(u32::MAX))?);
            }
        }
        let count = self.frames.len().max(1) as f64;
        let max = self.max;
        let named = |metric| columns::of(metric).iter().copied();
        let errors = named(Metric::Psnr).zip(self.errors.iter().map(|sum| psnr::ratio_db(sum / count, max)));
        let roots = named(Metric::Xpsnr).zip(self.roots.iter().map(|sum| xpsnr::of_film_db(*sum, count, max)));
        let of_film = errors.chain(roots).collect();
        let names = self.metrics.iter().flat_map(|metric| columns::of(*metric));
        let columns = names.map(|name| (*name).to_owned()).collect();
        Ok((Scores { columns, frames: self.frames }, of_film))
    }
}
