//! A member's end of a transfer: reads the leg, reports, and gives the blocks out in order.
//!
//! It works while it is asked for the next block, and only then: a consumer that is slow holds its member up, whose
//! blocks are not reported as taken, and so the sender does not run ahead of it for more than the window.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use crate::leg::{BadFrame, Frame, NUDGES};
use crate::pool::{Listening, Pool};
use crate::reception::{Counts, Nonsense, Reception, Verdict};

/// Time after the leg said that a round is out in which packets may still arrive: leg and packets take different ways.
const GRACE: Duration = Duration::from_millis(2);
/// Most blocks that a member is ready to hold (16 MiB and what their symbols need).
const WINDOW_MAX_BLOCKS: u32 = 64;

/// A member's end of a transfer.
#[derive(Debug)]
pub struct Member<L> {
    leg: L,
    read: BytesMut,
    head: Bytes,
    listening: Listening,
    asked: BTreeMap<u32, Asked>,
    blocks: Option<u32>,
    /// When it last said something, and how many nudges followed.
    said: (Instant, usize),
}

/// Why a transfer ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The leg broke.
    #[error("the unicast leg broke")]
    Leg(#[source] std::io::Error),
    /// The sender closed the leg.
    #[error("the sender closed the unicast leg")]
    Closed,
    /// The leg is not understood.
    #[error("the unicast leg says what is no frame")]
    Frame(#[from] BadFrame),
    /// The leg says what cannot be.
    #[error("the unicast leg says what cannot be")]
    Nonsense(#[from] Nonsense),
    /// A frame that is not for members, or not now.
    #[error("the unicast leg sends a frame out of turn")]
    OutOfTurn,
    /// The response broke off at its origin.
    #[error("the response broke off: {0}")]
    Aborted(String),
}

#[derive(Debug, Clone, Copy)]
struct Asked {
    round: u8,
    due: Instant,
    arrived: u32,
}

// === impl Member ===

impl<L: AsyncRead + AsyncWrite + Unpin> Member<L> {
    /// Takes part in the transfer at the other end of `leg`; `already` was read from it before. Without a pool, or
    /// where its groups cannot be heard, everything comes over the leg.
    pub async fn begin(pool: Option<&Pool>, mut leg: L, already: &[u8]) -> Result<Self, Broken> {
        let mut read = BytesMut::from(already);
        let Frame::Welcome(welcome) = next_frame(&mut leg, &mut read).await? else { return Err(Broken::OutOfTurn) };
        if welcome.symbol_bytes == 0 || welcome.window_blocks > WINDOW_MAX_BLOCKS {
            return Err(Broken::OutOfTurn);
        }
        let (transfer, reception) = (welcome.transfer, Reception::new(&welcome));
        let heard = pool.and_then(|pool| pool.listen(transfer, Reception::new(&welcome)));
        let listening = heard.unwrap_or_else(|| Listening::deaf(transfer, reception));
        let (head, said) = (welcome.head, (Instant::now(), 0));
        let mut member = Self { leg, read, head, listening, asked: BTreeMap::new(), blocks: None, said };
        member.say(&[Frame::Ready]).await?;
        Ok(member)
    }

    /// What the response is, as its sender said.
    #[must_use]
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// What came by multicast so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.listening.slot.reception().counts()
    }

    /// The next block; `None` after the last.
    ///
    /// Nothing is lost when this is given up while it waits.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            let verdicts = self.listening.slot.reception().judge();
            if !verdicts.is_empty() {
                let said: Vec<Frame> = verdicts.into_iter().map(Frame::from).collect();
                self.say(&said).await?;
            }
            let (taken, next) = {
                let mut reception = self.listening.slot.reception();
                (reception.take(), reception.next())
            };
            if let Some(block) = taken {
                return Ok(Some(block));
            }
            if self.blocks.is_some_and(|blocks| next >= blocks) {
                return Ok(None);
            }
            if let Some(frame) = Frame::read(&mut self.read)? {
                self.heard(frame)?;
                continue;
            }
            let due = self.asked.values().map(|asked| asked.due).min();
            let nudge = NUDGES.get(self.said.1).map(|pause| self.said.0 + *pause);
            tokio::select! {
                read = self.leg.read_buf(&mut self.read) => match read {
                    Ok(0) => return Err(Broken::Closed),
                    Ok(_) => {}
                    Err(error) => return Err(Broken::Leg(error)),
                },
                () = self.listening.slot.complete.notified() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.report().await?,
                () = tokio::time::sleep_until(nudge.unwrap_or_else(Instant::now)), if nudge.is_some() => {
                    let nudges = self.said.1 + 1;
                    self.say(&[Frame::Nudge]).await?;
                    self.said.1 = nudges;
                }
            }
        }
    }

    fn heard(&mut self, frame: Frame) -> Result<(), Broken> {
        let mut reception = self.listening.slot.reception();
        match frame {
            Frame::Block { block, length_bytes, digest } => reception.announce(block, length_bytes, digest)?,
            Frame::Data { block, symbol, octets } => reception.data(block, symbol, &octets)?,
            Frame::Ask { block, round } => {
                let asked = Asked { round, due: Instant::now() + GRACE, arrived: reception.arrived(block) };
                self.asked.insert(block, asked);
            }
            Frame::Nudge => {}
            Frame::End { blocks } => self.blocks = Some(blocks),
            Frame::Abort { reason } => return Err(Broken::Aborted(reason)),
            Frame::Welcome(_) | Frame::Ready | Frame::Has { .. } | Frame::Lacks { .. } | Frame::Spoiled { .. } => {
                return Err(Broken::OutOfTurn);
            }
        }
        Ok(())
    }

    /// Says what is lacking of the blocks that were asked for, unless their packets still arrive.
    async fn report(&mut self) -> Result<(), Broken> {
        self.listening.catch_up();
        let now = Instant::now();
        let mut said = Vec::new();
        {
            let reception = self.listening.slot.reception();
            self.asked.retain(|block, asked| {
                if asked.due > now {
                    return true;
                }
                let Some(lack) = reception.lack(*block) else { return false };
                let arrived = reception.arrived(*block);
                if arrived != asked.arrived {
                    (asked.arrived, asked.due) = (arrived, now + GRACE);
                    return true;
                }
                said.push(Frame::Lacks { block: *block, round: asked.round, lack });
                false
            });
        }
        self.say(&said).await
    }

    async fn say(&mut self, frames: &[Frame]) -> Result<(), Broken> {
        if frames.is_empty() {
            return Ok(());
        }
        self.said = (Instant::now(), 0);
        let mut out = BytesMut::new();
        for frame in frames {
            frame.write(&mut out);
        }
        self.leg.write_all(&out).await.map_err(Broken::Leg)?;
        self.leg.flush().await.map_err(Broken::Leg)
    }
}

async fn next_frame<L: AsyncRead + Unpin>(leg: &mut L, read: &mut BytesMut) -> Result<Frame, Broken> {
    loop {
        if let Some(frame) = Frame::read(read)? {
            return Ok(frame);
        }
        if leg.read_buf(read).await.map_err(Broken::Leg)? == 0 {
            return Err(Broken::Closed);
        }
    }
}

impl From<Verdict> for Frame {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Right(block) => Self::Has { block },
            Verdict::Spoiled(block) => Self::Spoiled { block },
        }
    }
}
