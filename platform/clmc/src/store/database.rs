//! One database: its names, its files, and how points get into the last of them.
//!
//! Appending is one write into the page cache under the caller's lock; syncing is the caller's, outside of it. It never
//! waits for a disk but when it begins a file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use flame_telemetry::line::Line;

use super::codec::{Reader, put_u64, put_value};
use super::dictionary::{self, Dictionary, Rejection, Room};
use super::segment::{self, Segment};
use super::{ScanError, Selection};
use crate::series::{Column, Series, Shape, put_in_order};

/// Points in one frame: what is read and checked at once.
const FRAME_POINTS: usize = 4_096;

/// A database that is open.
#[derive(Debug)]
pub struct Database {
    folder: PathBuf,
    dictionary: Dictionary,
    /// Oldest first; the last one is written to, if it is not closed.
    segments: Vec<Arc<Segment>>,
    active: Option<Segment>,
    next_sequence: u64,
}

/// Where an append ended: synced up to there, it is safe.
#[derive(Debug, Clone)]
pub struct Mark {
    pub file: Arc<File>,
    pub sequence: u64,
    pub length: u64,
}

/// What became of points.
#[derive(Debug, Default)]
pub struct Taken {
    pub accepted: usize,
    /// By their places among those given.
    pub rejected: Vec<(usize, Rejection)>,
    pub mark: Option<Mark>,
    /// Whether a file was closed: it may be time to delete another one.
    pub has_rolled: bool,
}

/// What limits an append.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub room: Room,
    /// Points before this are not taken.
    pub oldest_ns: i64,
    pub segment_bytes: u64,
    pub segment_age: Duration,
}

/// What is to be read, resolved while the names could not change.
#[derive(Debug)]
pub struct Plan {
    stretches: Vec<(Arc<File>, u64, u64)>,
    /// Which place in the answer a series has.
    places: HashMap<u32, usize>,
    fields: HashMap<u32, String>,
    series: Vec<Series>,
    from_ns: i64,
    to_ns: i64,
}

// === impl Database ===

impl Database {
    /// Opens what is in `folder`, or makes it.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        if !folder.is_dir() {
            std::fs::create_dir_all(&folder)?;
            for folder in folder.ancestors().skip(1).take(2) {
                File::open(folder)?.sync_all()?;
            }
        }
        let mut sequences = Vec::new();
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "seg")
                && let Some(sequence) = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok())
            {
                sequences.push((sequence, path));
            }
        }
        sequences.sort();
        let (mut dictionary, mut segments) = (Dictionary::default(), Vec::new());
        let last = sequences.last().map(|(sequence, _)| *sequence);
        for (sequence, path) in sequences {
            segments.push(Segment::open(path, sequence, last == Some(sequence), &mut dictionary)?);
        }
        let next_sequence = segments.last().map_or(1, |last| last.sequence + 1);
        // A file with an index has been closed; another one goes on.
        let goes_on = segments.last().is_some_and(|last| !last.path.with_extension("idx").exists());
        let active = if goes_on { segments.pop() } else { None };
        let segments = segments.into_iter().map(Arc::new).collect();
        Ok(Self { folder, dictionary, segments, active, next_sequence })
    }

    /// Takes points, as far as they fit. They are in the file then, and not yet safe: see [`Mark`].
    pub fn append(&mut self, points: &[(Line<'_>, i64)], bounds: &Bounds) -> io::Result<Taken> {
        let mut taken = Taken::default();
        if let Some(active) = &self.active
            && (active.length >= bounds.segment_bytes || active.begun.elapsed() >= bounds.segment_age)
        {
            self.close()?;
            taken.has_rolled = true;
        }
        if self.active.is_none() {
            self.active = Some(Segment::create(&self.folder, self.next_sequence)?);
            self.next_sequence += 1;
        }
        for (at, chunk) in points.chunks(FRAME_POINTS).enumerate() {
            self.append_frame(chunk, at * FRAME_POINTS, bounds, &mut taken)?;
        }
        if let Some(active) = self.active.as_ref().filter(|_| taken.accepted > 0) {
            let (file, sequence, length) = (Arc::clone(&active.file), active.sequence, active.length);
            taken.mark = Some(Mark { file, sequence, length });
        }
        Ok(taken)
    }

    fn append_frame(
        &mut self,
        points: &[(Line<'_>, i64)],
        first: usize,
        bounds: &Bounds,
        taken: &mut Taken,
    ) -> io::Result<()> {
        let Some(active) = self.active.as_mut() else { return Ok(()) };
        let times = points.iter().map(|(_, time_ns)| *time_ns).filter(|time_ns| *time_ns >= bounds.oldest_ns);
        let (earliest_ns, latest_ns) =
            times.fold((i64::MAX, i64::MIN), |(low, high), time_ns| (low.min(time_ns), high.max(time_ns)));
        let (mut rows, mut row, mut fields) = (Vec::with_capacity(points.len() * 32), Vec::new(), Vec::new());
        let (mut new_series, mut new_fields) = (HashSet::new(), HashSet::new());
        let mut count = 0;
        for (at, (line, time_ns)) in points.iter().enumerate() {
            let known = if *time_ns < bounds.oldest_ns {
                Err(Rejection::TooOld)
            } else {
                self.dictionary.take(line, bounds.room, &mut fields)
            };
            let series = match known {
                Ok(series) => series,
                Err(rejection) => {
                    taken.rejected.push((first + at, rejection));
                    continue;
                }
            };
            row.clear();
            put_u64(&mut row, u64::from(series));
            put_u64(&mut row, time_ns.wrapping_sub(earliest_ns).cast_unsigned());
            for (id, (_, value)) in fields.iter().zip(&line.fields) {
                put_u64(&mut row, u64::from(*id));
                put_value(&mut row, value);
                if !active.fields.contains(id) {
                    new_fields.insert(*id);
                }
            }
            if !active.series.contains(&series) {
                new_series.insert(series);
            }
            put_u64(&mut rows, row.len() as u64);
            rows.extend_from_slice(&row);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        let new = (new_series.into_iter().collect(), new_fields.into_iter().collect());
        active.append(&segment::frame((earliest_ns, latest_ns), new, &self.dictionary, &rows))?;
        taken.accepted += count;
        Ok(())
    }

    /// Closes the file that is written to: syncs it, and writes its index.
    fn close(&mut self) -> io::Result<()> {
        let Some(active) = &self.active else { return Ok(()) };
        active.file.sync_data()?;
        if let Err(error) = active.write_index(&self.dictionary) {
            tracing::warn!(%error, path = %active.path.display(), "no index: the next start reads the file");
        }
        self.segments.extend(self.active.take().map(Arc::new));
        Ok(())
    }

    /// How far the file that is written to has got; `None` while there is none.
    pub fn mark(&self) -> Option<Mark> {
        let active = self.active.as_ref()?;
        Some(Mark { file: Arc::clone(&active.file), sequence: active.sequence, length: active.length })
    }

    /// Bytes of its files.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).chain(self.active.as_ref().map(|active| active.length)).sum()
    }

    /// Whether it has files that can be deleted.
    pub fn has_closed(&self) -> bool {
        !self.segments.is_empty()
    }

    /// Series that it knows.
    pub fn series_count(&self) -> usize {
        self.dictionary.series_count()
    }

    /// Deletes the files all of whose points are older.
    pub fn expire(&mut self, oldest_ns: i64, segment_age: Duration) -> io::Result<()> {
        if self.active.as_ref().is_some_and(|active| active.begun.elapsed() >= segment_age) {
            self.close()?;
        }
        let is_old = |segment: &Segment| segment.latest_ns < oldest_ns;
        let old: Vec<_> = self.segments.iter().filter(|segment| is_old(segment)).cloned().collect();
        self.delete(&old)
    }

    /// Deletes the oldest file that has been closed.
    pub fn delete_oldest(&mut self) -> io::Result<()> {
        let oldest: Vec<_> = self.segments.first().cloned().into_iter().collect();
        self.delete(&oldest)
    }

    fn delete(&mut self, gone: &[Arc<Segment>]) -> io::Result<()> {
        if gone.is_empty() {
            return Ok(());
        }
        for segment in gone {
            segment.delete()?;
            self.segments.retain(|kept| kept.sequence != segment.sequence);
        }
        let all = || self.segments.iter().map(AsRef::as_ref).chain(&self.active);
        let series = all().flat_map(|segment| segment.series.iter().copied()).collect();
        let fields = all().flat_map(|segment| segment.fields.iter().copied()).collect();
        self.dictionary.keep_only(&series, &fields);
        Ok(())
    }

    /// Names of its measurements, in order.
    pub fn measurements(&self) -> Vec<String> {
        self.dictionary.measurements().cloned().collect()
    }

    /// Fields and series of a measurement.
    pub fn shape(&self, measurement: &str) -> Option<Shape> {
        let known = self.dictionary.measurement(measurement)?;
        let fields = known.fields.iter().map(|(name, field)| (name.clone(), field.kind)).collect();
        let series = known.series.iter().filter_map(|id| self.dictionary.key(*id)).map(|key| dictionary::tags(key));
        Some(Shape { fields, series: series.collect() })
    }

    /// Resolves names, so that reading needs no lock.
    pub fn plan(&self, wanted: &Selection<'_>) -> Plan {
        let mut plan = Plan {
            stretches: Vec::new(),
            places: HashMap::new(),
            fields: HashMap::new(),
            series: Vec::new(),
            from_ns: wanted.from_ns,
            to_ns: wanted.to_ns,
        };
        let Some(known) = self.dictionary.measurement(wanted.measurement) else { return plan };
        for id in &known.series {
            let Some(key) = self.dictionary.key(*id) else { continue };
            let tags = dictionary::tags(key);
            if (wanted.series)(&tags) {
                plan.places.insert(*id, plan.series.len());
                plan.series.push(Series { tags, columns: BTreeMap::new() });
            }
        }
        let is_wanted = |name: &String| wanted.fields.is_none_or(|fields| fields.contains(name));
        plan.fields = known
            .fields
            .iter()
            .filter(|(name, _)| is_wanted(name))
            .map(|(name, field)| (field.id, name.clone()))
            .collect();
        if plan.places.is_empty() || plan.fields.is_empty() {
            return plan;
        }
        for segment in self.segments.iter().map(AsRef::as_ref).chain(&self.active) {
            if !plan.places.keys().any(|id| segment.series.contains(id)) {
                continue;
            }
            let stretches = segment.stretches(wanted.from_ns, wanted.to_ns);
            plan.stretches.extend(stretches.into_iter().map(|(from, to)| (Arc::clone(&segment.file), from, to)));
        }
        plan
    }
}

// === impl Plan ===

impl Plan {
    /// Reads at most `values_max` values.
    pub fn read(self, values_max: usize) -> Result<Vec<Series>, ScanError> {
        let Self { stretches, places, fields, mut series, from_ns, to_ns } = self;
        // Columns by place and field while reading: names are looked at once a field, not once a value.
        let mut columns: HashMap<(usize, u32), Column> = HashMap::new();
        let (mut bytes, mut values) = (Vec::new(), 0);
        for (file, from, to) in stretches {
            bytes.resize(usize::try_from(to - from).unwrap_or_default(), 0);
            file.read_exact_at(&mut bytes, from).map_err(ScanError::Io)?;
            let mut end = 0;
            for (frame_end, payload) in segment::frames(&bytes) {
                end = frame_end;
                let rows = (|| {
                    let ((earliest_ns, latest_ns), mut reader) = segment::times(payload)?;
                    segment::definitions(&mut reader, |_, _| {}, |_, _| {})?;
                    Some((earliest_ns, latest_ns, reader))
                })();
                let (earliest_ns, latest_ns, mut reader) = rows.ok_or(ScanError::Damaged)?;
                if latest_ns < from_ns || earliest_ns > to_ns {
                    continue;
                }
                while !reader.0.is_empty() {
                    let mut row = Reader(reader.sized().ok_or(ScanError::Damaged)?);
                    let place = places.get(&row.u32().ok_or(ScanError::Damaged)?);
                    let Some(place) = place else { continue };
                    let after = row.u64().ok_or(ScanError::Damaged)?;
                    let time_ns = earliest_ns.wrapping_add(after.cast_signed());
                    if time_ns < from_ns || time_ns > to_ns {
                        continue;
                    }
                    while !row.0.is_empty() {
                        let id = row.u32().ok_or(ScanError::Damaged)?;
                        if fields.contains_key(&id) {
                            let value = row.value().ok_or(ScanError::Damaged)?;
                            columns.entry((*place, id)).or_default().push((time_ns, value));
                            values += 1;
                        } else {
                            row.skip_value().ok_or(ScanError::Damaged)?;
                        }
                    }
                }
                if values > values_max {
                    return Err(ScanError::TooMany(values_max));
                }
            }
            if end != bytes.len() {
                return Err(ScanError::Damaged);
            }
        }
        for ((place, id), mut column) in columns {
            put_in_order(&mut column);
            series[place].columns.insert(fields[&id].clone(), column);
        }
        series.retain(|series| !series.columns.is_empty());
        Ok(series)
    }
}
