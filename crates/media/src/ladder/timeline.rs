//! What the tracks of a ladder agree on: where the presentation begins and where its grid lies.
//!
//! Video and audio arrive on threads of their own and neither may wait for the other (the demuxer in front
//! of both would stand still). So each reports when it begins, keeps what it has encoded, and writes once
//! [`Timeline::settled`] answers.

use std::sync::Mutex;

/// Shared by all tracks of one ladder.
#[derive(Debug)]
pub(crate) struct Timeline {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    video: Start,
    audio: Vec<Start>,
    settled: Option<Settled>,
}

/// What is known of the start of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    Unknown,
    None,
    At { running_ns: u64 },
}

/// The agreement. It never changes once made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Running time that is presented at 0: the earliest of the first frame and the first sample of any sound.
    pub(crate) zero_ns: u64,
    /// Running time where the grid of GOPs and segments begins: the first frame, or without video the first
    /// audio sample.
    pub(crate) grid_ns: u64,
}

/// Pictures or one of the sounds, as far as the timeline distinguishes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pictures.
    Video,
    /// The sound of this place in the plan.
    Audio(usize),
}

// === impl Timeline ===

impl Timeline {
    /// A timeline of a ladder that wants pictures, if `video` is set, and so many sounds.
    pub(crate) fn new(video: bool, sounds: usize) -> Self {
        let video = if video { Start::Unknown } else { Start::None };
        Self { state: Mutex::new(State { video, audio: vec![Start::Unknown; sounds], settled: None }) }
    }

    /// A timeline that others have agreed on before.
    pub(crate) fn after(video: bool, sounds: usize, settled: Settled) -> Self {
        let timeline = Self::new(video, sounds);
        timeline.lock().settled = Some(settled);
        timeline
    }

    /// The first frame or sample of `kind` plays at `running_ns`. Later calls change nothing.
    pub(crate) fn begins(&self, kind: Kind, running_ns: u64) {
        self.learn(kind, Start::At { running_ns });
    }

    /// `kind` has ended; without a call of [`Timeline::begins`] before, it has nothing.
    pub(crate) fn ended(&self, kind: Kind) {
        self.learn(kind, Start::None);
    }

    /// Running time of the first frame or sample of `kind`, once there is one.
    pub(crate) fn start_ns(&self, kind: Kind) -> Option<u64> {
        let state = self.lock();
        let start = match kind {
            Kind::Video => Some(state.video),
            Kind::Audio(sound) => state.audio.get(sound).copied(),
        };
        match start {
            Some(Start::At { running_ns }) => Some(running_ns),
            Some(Start::Unknown | Start::None) | None => None,
        }
    }

    /// The agreement, once all kinds are known, or at once from those that are if `now` is set.
    pub(crate) fn settled(&self, now: bool) -> Option<Settled> {
        let mut state = self.lock();
        if state.settled.is_none() {
            state.settled = settle(state.video, &state.audio, now);
        }
        state.settled
    }

    fn learn(&self, kind: Kind, start: Start) {
        let mut state = self.lock();
        let known = match kind {
            Kind::Video => Some(&mut state.video),
            Kind::Audio(sound) => state.audio.get_mut(sound),
        };
        if let Some(known) = known.filter(|known| **known == Start::Unknown) {
            *known = start;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no panic while it is held")
    }
}

fn settle(video: Start, audio: &[Start], now: bool) -> Option<Settled> {
    if !now && std::iter::once(&video).chain(audio).any(|start| *start == Start::Unknown) {
        return None;
    }
    let at = |start: &Start| match start {
        Start::At { running_ns } => Some(*running_ns),
        Start::Unknown | Start::None => None,
    };
    let zero_ns = std::iter::once(&video).chain(audio).filter_map(at).min()?;
    Some(Settled { zero_ns, grid_ns: at(&video).unwrap_or(zero_ns) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_all_and_starts_with_the_earliest() {
        let timeline = Timeline::new(true, 2);
        timeline.begins(Kind::Video, 80);
        assert_eq!(timeline.settled(false), None);
        timeline.begins(Kind::Audio(1), 50);
        assert_eq!(timeline.settled(false), None, "the first sound may begin earlier");
        timeline.begins(Kind::Audio(0), 60);
        assert_eq!(timeline.settled(false), Some(Settled { zero_ns: 50, grid_ns: 80 }));
    }

    #[test]
    fn an_end_without_a_beginning_counts_as_none() {
        let timeline = Timeline::new(true, 1);
        timeline.begins(Kind::Audio(0), 50);
        timeline.ended(Kind::Audio(0));
        timeline.ended(Kind::Video);
        assert_eq!(timeline.settled(false), Some(Settled { zero_ns: 50, grid_ns: 50 }));
    }

    #[test]
    fn what_was_settled_in_need_stays() {
        let timeline = Timeline::new(true, 1);
        timeline.begins(Kind::Video, 80);
        let settled = timeline.settled(true);
        assert_eq!(settled, Some(Settled { zero_ns: 80, grid_ns: 80 }));
        timeline.begins(Kind::Audio(0), 10);
        assert_eq!(timeline.settled(false), settled);
    }

    #[test]
    fn what_was_agreed_on_before_waits_for_nobody_and_stays() {
        let settled = Settled { zero_ns: 50, grid_ns: 80 };
        let timeline = Timeline::after(false, 1, settled);
        assert_eq!(timeline.settled(false), Some(settled));
        timeline.begins(Kind::Audio(0), 60);
        assert_eq!((timeline.settled(true), timeline.start_ns(Kind::Audio(0))), (Some(settled), Some(60)));
    }
}
