//! When a viewer sees moving pictures: media that has come in, time that passes, and what a viewer feels out. Pure; the clock is the
//! caller's, and only ever goes on.
//!
//! Playing begins when there is enough to begin with, stops where the buffer is empty, and goes on when there is enough again.

/// A player's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    state: State,
    /// When that began, milliseconds.
    since_ms: u64,
    /// What time it is.
    now_ms: u64,
    /// Where playing is, in media time.
    position_ms: u64,
    /// What is there, from the beginning of the media on.
    end_ms: u64,
    /// What it takes to begin, and to go on.
    start_ms: u64,
    /// Nothing more comes.
    is_whole: bool,
    startup_ms: Option<u64>,
    stalls: u32,
    stalled_ms: u64,
}

/// What the screen shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Starting,
    /// Moving pictures.
    Playing,
    /// A wheel that turns.
    Stalled,
    /// It was seen to its end.
    Ended,
}

// === impl Buffer ===

impl Buffer {
    /// A viewer who wants to see something from `now_ms` on; playing begins with `start_ms` of media.
    #[must_use]
    pub fn new(now_ms: u64, start_ms: u64) -> Self {
        Self {
            state: State::Starting,
            since_ms: now_ms,
            now_ms,
            position_ms: 0,
            end_ms: 0,
            start_ms: start_ms.max(1),
            is_whole: false,
            startup_ms: None,
            stalls: 0,
            stalled_ms: 0,
        }
    }

    /// Changes what it takes to begin, and to go on: who watches live has no more than is there.
    pub fn needs(&mut self, start_ms: u64) {
        self.start_ms = start_ms.max(1);
    }

    /// Lets time pass.
    pub fn pass(&mut self, now_ms: u64) {
        let now_ms = now_ms.max(self.now_ms);
        if self.state == State::Playing {
            let (ahead_ms, passed_ms) = (self.ahead_ms(), now_ms - self.now_ms);
            self.position_ms += passed_ms.min(ahead_ms);
            // The end of what is there is reached; at the end of all nothing is missing.
            let ends = if self.is_whole { passed_ms >= ahead_ms } else { passed_ms > ahead_ms };
            if ends {
                self.since_ms = self.now_ms + ahead_ms;
                self.state = if self.is_whole { State::Ended } else { State::Stalled };
                self.stalls += u32::from(!self.is_whole);
            }
        }
        self.now_ms = now_ms;
    }

    /// Notes that there is media up to `end_ms` now; with `is_whole`, that this is its end.
    pub fn reaches(&mut self, now_ms: u64, end_ms: u64, is_whole: bool) {
        self.pass(now_ms);
        self.end_ms = self.end_ms.max(end_ms);
        self.is_whole |= is_whole;
        let waits = matches!(self.state, State::Starting | State::Stalled);
        if !waits || (self.ahead_ms() < self.start_ms && !self.is_whole) {
            return;
        }
        let waited_ms = self.now_ms - self.since_ms;
        if self.state == State::Starting {
            self.startup_ms = Some(waited_ms);
        } else {
            self.stalled_ms += waited_ms;
        }
        (self.state, self.since_ms) = (State::Playing, self.now_ms);
        // Nothing is left to show: it has ended.
        if self.ahead_ms() == 0 {
            self.state = State::Ended;
        }
    }

    /// What the screen shows.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// Media that was not shown yet, milliseconds.
    #[must_use]
    pub fn ahead_ms(&self) -> u64 {
        self.end_ms - self.position_ms
    }

    /// Time from the wish to the first picture, milliseconds; `None` where there was none.
    #[must_use]
    pub fn startup_ms(&self) -> Option<u64> {
        self.startup_ms
    }

    /// How often it stalled.
    #[must_use]
    pub fn stalls(&self) -> u32 {
        self.stalls
    }

    /// How long it stalled until now, milliseconds; the one that lasts counts, too.
    #[must_use]
    pub fn stalled_ms(&self) -> u64 {
        self.stalled_ms + if self.state == State::Stalled { self.now_ms - self.since_ms } else { 0 }
    }

    /// Where playing is, in media time, milliseconds.
    #[must_use]
    pub fn position_ms(&self) -> u64 {
        self.position_ms
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, a millisecond at a time.
    struct Model {
        state: State,
        position_ms: u64,
        end_ms: u64,
        is_whole: bool,
        startup_ms: u64,
        stalls: u32,
        stalled_ms: u64,
    }

    impl Model {
        fn tick(&mut self) {
            match self.state {
                State::Starting => self.startup_ms += 1,
                State::Stalled => self.stalled_ms += 1,
                State::Playing if self.position_ms < self.end_ms => self.position_ms += 1,
                // This millisecond has nothing to show.
                State::Playing => {
                    (self.state, self.stalls, self.stalled_ms) = (State::Stalled, self.stalls + 1, self.stalled_ms + 1);
                }
                State::Ended => {}
            }
            if self.state == State::Playing && self.is_whole && self.position_ms == self.end_ms {
                self.state = State::Ended;
            }
        }

        fn reaches(&mut self, end_ms: u64, is_whole: bool, start_ms: u64) {
            self.end_ms = self.end_ms.max(end_ms);
            self.is_whole |= is_whole;
            let enough = self.end_ms - self.position_ms >= start_ms || self.is_whole;
            if enough && matches!(self.state, State::Starting | State::Stalled) {
                self.state = if self.end_ms == self.position_ms { State::Ended } else { State::Playing };
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_what_a_clock_of_milliseconds_makes_of_it(
            start_ms in 1u64..3000,
            pieces in prop::collection::vec((0u64..4000, 1u64..2500), 1..20),
            rest_ms in 0u64..20_000,
        ) {
            let mut buffer = Buffer::new(1000, start_ms);
            let mut model = Model {
                state: State::Starting, position_ms: 0, end_ms: 0, is_whole: false, startup_ms: 0, stalls: 0, stalled_ms: 0,
            };
            let (mut now_ms, mut end_ms) = (1000, 0);
            for (at, (after_ms, length_ms)) in pieces.iter().enumerate() {
                (0..*after_ms).for_each(|_| model.tick());
                (now_ms, end_ms) = (now_ms + after_ms, end_ms + length_ms);
                let is_whole = at + 1 == pieces.len();
                buffer.reaches(now_ms, end_ms, is_whole);
                model.reaches(end_ms, is_whole, start_ms);
                prop_assert_eq!(buffer.position_ms(), model.position_ms);
                prop_assert_eq!((buffer.state(), buffer.stalls()), (model.state, model.stalls));
                prop_assert_eq!(buffer.stalled_ms(), model.stalled_ms);
            }
            (0..rest_ms).for_each(|_| model.tick());
            buffer.pass(now_ms + rest_ms);
            prop_assert_eq!((buffer.state(), buffer.stalls(), buffer.position_ms()), (model.state, model.stalls, model.position_ms));
            prop_assert_eq!(buffer.startup_ms(), Some(model.startup_ms));
        }
    }
}
