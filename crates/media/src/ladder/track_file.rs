//! One track on its way to disk: `<track>.mp4` grows segment by segment, `<track>.index.json` comes last.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use flame_cmaf::{Figures, Sample, Segmentation, TrackConfig, TrackWriter, WriteError};

use crate::fault::MediaError;

/// An open track.
pub(crate) struct TrackFile {
    path: PathBuf,
    index_path: PathBuf,
    file: BufWriter<File>,
    writer: TrackWriter,
}

/// A written track, measured.
pub(crate) struct WrittenTrack {
    /// RFC 6381 codec string.
    pub(crate) codec: String,
    /// Its figures.
    pub(crate) figures: Figures,
}

/// Paths of a track's object and index in `folder`.
pub(crate) fn paths(folder: &Path, name: &str) -> [PathBuf; 2] {
    [folder.join(format!("{name}.mp4")), folder.join(format!("{name}.index.json"))]
}

// === impl TrackFile ===

impl TrackFile {
    /// Begins the track `name` in `folder`.
    pub(crate) fn create(folder: &Path, name: &str, config: &TrackConfig) -> Result<Self, MediaError> {
        let [path, index_path] = paths(folder, name);
        let writer = TrackWriter::new(config, Segmentation::OnCall).map_err(|error| refused(&path, &error))?;
        let file = File::create(&path).map_err(|error| failed(&path, &error))?;
        let mut file = BufWriter::new(file);
        file.write_all(writer.init()).map_err(|error| failed(&path, &error))?;
        Ok(Self { path, index_path, file, writer })
    }

    /// Makes the next sample begin a segment.
    pub(crate) fn begin_segment(&mut self) {
        self.writer.begin_segment();
    }

    /// Takes the next sample in decode order.
    pub(crate) fn push(&mut self, sample: Sample) -> Result<(), MediaError> {
        let segment = self.writer.push(sample).map_err(|error| refused(&self.path, &error))?;
        if let Some(segment) = segment {
            self.file.write_all(&segment.bytes).map_err(|error| failed(&self.path, &error))?;
        }
        Ok(())
    }

    /// Ends the track and writes its index.
    pub(crate) fn finish(mut self) -> Result<WrittenTrack, MediaError> {
        let finished = self.writer.finish().map_err(|error| refused(&self.path, &error))?;
        self.file
            .write_all(&finished.last_segment.bytes)
            .and_then(|()| self.file.flush())
            .map_err(|error| failed(&self.path, &error))?;
        std::fs::write(&self.index_path, finished.index.to_json()).map_err(|error| failed(&self.index_path, &error))?;
        Ok(WrittenTrack { codec: finished.index.codec, figures: finished.figures })
    }
}

fn failed(path: &Path, error: &std::io::Error) -> MediaError {
    MediaError::environment(format!("cannot write {}: {error}", path.display()))
}

fn refused(path: &Path, error: &WriteError) -> MediaError {
    MediaError::environment(format!("what the encoder gave makes no track {}: {error}", path.display()))
}
