//! Walks the boxes of a stored MP4, and those of its movie, before any demuxer sees it, so that a cut or lying file is refused in
//! clear words.

use bytes::Bytes;
use flame_cmaf::boxes::{BoxError, BoxWalk, Layout, Step};
use flame_cmaf::movie::check_nesting;
use flame_object_store::Store;

use super::Trouble;

/// Bytes that are read at once: the headers of neighbouring small boxes come along.
const WINDOW_BYTES: u64 = 64 * 1024;
/// A `moov` that is larger is not looked into: some twenty hours have so much.
const MOOV_MAX_BYTES: u64 = 32 << 20;

/// What has been read last.
#[derive(Default)]
struct Window {
    begins_at_bytes: u64,
    bytes: Bytes,
}

/// Refuses a file of the ISO family whose boxes do not fit into it, or says where they lie. Other files are none of its
/// business.
pub(super) async fn walk(store: &Store, key: &str, size_bytes: u64) -> Result<Option<Layout>, Trouble> {
    let mut walk = BoxWalk::new(size_bytes);
    let mut window = Window::default();
    let mut step = walk.step();
    loop {
        step = match step {
            Ok(Step::Done(layout)) => return Ok(Some(layout)),
            Err(BoxError::NotIso) => return Ok(None),
            Ok(Step::Read { offset_bytes, length_bytes }) => {
                let head = window.read(store, key, size_bytes, offset_bytes, length_bytes).await?;
                walk.feed(&head)
            }
            Err(error @ BoxError::ShortRead { .. }) => return Err(Trouble::Later(error.to_string())),
            Err(
                error @ (BoxError::PastEnd { .. }
                | BoxError::PastParent { .. }
                | BoxError::TooSmall { .. }
                | BoxError::HeaderCut { .. }
                | BoxError::NoMoov),
            ) => return Err(Trouble::Refused(error.to_string())),
        };
    }
}

/// The `moov`, whose boxes fit into each other; `None` where it is too large to be looked into.
pub(super) async fn movie(store: &Store, key: &str, layout: &Layout) -> Result<Option<Bytes>, Trouble> {
    if layout.moov_size_bytes > MOOV_MAX_BYTES {
        return Ok(None);
    }
    let place = layout.moov_offset_bytes..layout.moov_offset_bytes + layout.moov_size_bytes;
    let moov = store.get_range(key, place).await.map_err(|error| Trouble::away(&error))?;
    check_nesting(&moov, layout.moov_offset_bytes).map_err(|error| Trouble::Refused(error.to_string()))?;
    Ok(Some(moov))
}

// === impl Window ===

impl Window {
    async fn read(
        &mut self,
        store: &Store,
        key: &str,
        size_bytes: u64,
        offset: u64,
        length: u64,
    ) -> Result<Bytes, Trouble> {
        let holds = |window: &Self| {
            let end = window.begins_at_bytes + window.bytes.len() as u64;
            (window.begins_at_bytes..=end).contains(&offset) && offset + length <= end
        };
        if !holds(self) {
            let end = (offset + WINDOW_BYTES).min(size_bytes);
            let bytes = store.get_range(key, offset..end).await.map_err(|error| Trouble::away(&error))?;
            *self = Self { begins_at_bytes: offset, bytes };
        }
        let start = usize::try_from(offset - self.begins_at_bytes).expect("within the window");
        let end = (start + usize::try_from(length).expect("a box header is short")).min(self.bytes.len());
        Ok(self.bytes.slice(start.min(end)..end))
    }
}
