//! A viewer of something live: begins near its end, asks for the playlist again and again (waiting, where the server can), and measures how
//! far behind it is. Where it is and what comes next is decided in [`crate::edge`].

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use url::Url;

use super::{Lost, Session, Track, media};
use crate::buffer::State;
use crate::cmcd::Kind;
use crate::edge::{Edge, Start, Step};
use crate::ladder::{Seen, choose};

/// The shortest pause before a playlist that has not changed is asked for again.
const PAUSE_MIN: Duration = Duration::from_millis(100);

/// A track, and where its viewer is.
struct Followed {
    track: Track,
    rung: usize,
    edge: Edge,
    /// The playlist was asked for, and had nothing new.
    waited: bool,
}

impl Session<'_> {
    /// Watches what goes on, to its end if it has one.
    pub(super) async fn follow(&mut self, tracks: Vec<Track>) -> Result<(), Lost> {
        let mut followed = Vec::new();
        let mut first: Option<Start> = None;
        for mut track in tracks {
            self.reload(&mut track, 0, None).await?;
            let start = track.rungs[0].media.as_ref().and_then(Edge::join).ok_or_else(|| self.unreadable())?;
            // Sound begins where it begins: before or after the pictures.
            let apart_ms = first.and_then(|first| Some(start.date_ms? - first.date_ms?)).unwrap_or(0);
            track.end_ms = u64::try_from(apart_ms).unwrap_or(0);
            if first.is_none() {
                first = Some(start);
            }
            followed.push(Followed { track, rung: 0, edge: start.edge, waited: false });
        }
        let Some(first) = first else { return Err(self.unreadable()) };
        // There is no more to begin with than what lies before the end.
        self.buffer.needs(self.shared.load.start_ms.min(first.behind_ms / 2));
        let mut inits = BTreeSet::new();
        loop {
            let open = followed.iter_mut().filter(|one| !one.track.is_done);
            let Some(next) = open.min_by_key(|one| one.track.end_ms) else { break };
            self.buffer.pass(self.shared.now_ms());
            self.advance(next, &mut inits).await?;
            let is_whole = followed.iter().all(|one| one.track.is_done);
            let ends = followed.iter().filter(|one| !one.track.is_done || is_whole).map(|one| one.track.end_ms);
            if let Some(end_ms) = ends.min() {
                self.buffer.reaches(self.shared.now_ms(), end_ms, is_whole);
                self.note();
                self.note_delay(first.date_ms);
            }
        }
        self.buffer.pass(self.shared.now_ms());
        tokio::time::sleep(Duration::from_millis(self.buffer.ahead_ms())).await;
        Ok(())
    }

    /// Fetches what comes next of a track, or its playlist if that says nothing new.
    async fn advance(&mut self, one: &mut Followed, inits: &mut BTreeSet<Url>) -> Result<(), Lost> {
        let Some(listed) = &one.track.rungs[one.rung].media else { return Err(Lost) };
        let before = one.edge;
        match one.edge.step(listed) {
            Step::Over => one.track.is_done = true,
            Step::Wait(number, part) => {
                let can_block = listed.control.can_block;
                if !can_block {
                    // Once nothing was new, half a target duration (section 6.3.4).
                    let target_ms = 1000 * listed.target_s.clamp(1, 60);
                    let pause_ms = if one.waited { target_ms / 2 } else { target_ms };
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                } else if one.waited {
                    tokio::time::sleep(PAUSE_MIN).await;
                }
                one.waited = true;
                let rung = one.rung;
                self.reload(&mut one.track, rung, can_block.then_some((number, part))).await?;
            }
            Step::Fetch(unit) => {
                one.waited = false;
                if unit.begins_segment && one.track.kind != Kind::Audio && self.switch(one, before).await? {
                    return Ok(());
                }
                let url = one.track.rungs[one.rung].url.clone();
                if !unit.is_gap {
                    if let Some(init) = &unit.init {
                        let at = self.resolve(&url, init)?;
                        if inits.insert(at.clone()) {
                            self.get(&at, init.range, Kind::Init, None, None).await?;
                        }
                    }
                    let at = self.resolve(&url, &unit.part)?;
                    let bps = one.track.rungs[one.rung].bps;
                    let top = one.track.rungs.last().map_or(bps, |top| top.bps);
                    let bitrate = (one.track.kind != Kind::Audio).then_some((bps, top));
                    let (body, took_s) =
                        self.get(&at, unit.part.range, one.track.kind, bitrate, Some(unit.duration_ms)).await?;
                    if one.track.kind != Kind::Audio {
                        self.throughput.note(body.len() as u64, took_s);
                    }
                }
                one.track.end_ms += unit.duration_ms;
            }
        }
        Ok(())
    }

    /// Goes over to another rendition where a segment begins, if that is better and has it. Whether it did.
    async fn switch(&mut self, one: &mut Followed, before: Edge) -> Result<bool, Lost> {
        let rungs: Vec<u64> = one.track.rungs.iter().map(|rung| rung.bps).collect();
        let buffer_ms = self.buffer.ahead_ms();
        // What is live fills no buffer: the one that there is counts as full.
        let seen = Seen {
            current: self.rung,
            throughput_bps: self.throughput.bps(),
            buffer_ms,
            buffer_max_ms: self.shared.load.buffer_ms.min(buffer_ms.max(1)),
        };
        let wanted = choose(&rungs, seen);
        if wanted == one.rung {
            self.rung = Some(wanted);
            return Ok(false);
        }
        self.reload(&mut one.track, wanted, None).await?;
        let mut trial = before;
        let has_it = one.track.rungs[wanted].media.as_ref().map(|media| trial.step(media));
        if !matches!(has_it, Some(Step::Fetch(unit)) if unit.begins_segment) {
            self.rung = Some(one.rung);
            return Ok(false);
        }
        if self.rung.is_some() {
            self.shared.ledger.switched(self.shared.now_ms());
        }
        (one.rung, one.edge, self.rung) = (wanted, before, Some(wanted));
        Ok(true)
    }

    /// Asks for a playlist again; `wait` is what the answer is to have.
    async fn reload(&mut self, track: &mut Track, rung: usize, wait: Option<(u64, Option<u64>)>) -> Result<(), Lost> {
        let mut url = track.rungs[rung].url.clone();
        if let Some((number, part)) = wait {
            url.query_pairs_mut().append_pair("_HLS_msn", &number.to_string());
            if let Some(part) = part {
                url.query_pairs_mut().append_pair("_HLS_part", &part.to_string());
            }
        }
        let text = self.get(&url, None, Kind::Playlist, None, None).await?.0;
        track.rungs[rung].media = Some(media(&text).ok_or_else(|| self.unreadable())?);
        Ok(())
    }

    /// Notes how far behind what is live the picture on the screen is.
    fn note_delay(&self, began_ms: Option<i64>) {
        let (Some(began_ms), State::Playing) = (began_ms, self.buffer.state()) else { return };
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let shown_ms = began_ms.saturating_add(i64::try_from(self.buffer.position_ms()).unwrap_or(i64::MAX));
        let delay_ms = i64::try_from(now_ms).unwrap_or(i64::MAX).saturating_sub(shown_ms);
        self.shared.ledger.delayed(self.shared.now_ms(), u64::try_from(delay_ms).unwrap_or(0));
    }
}
