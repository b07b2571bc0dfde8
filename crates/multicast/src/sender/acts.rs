//! Doing what the group decided.

use std::collections::VecDeque;

use bytes::Bytes;
use flame_naming::group::{Act, MemberId, SymbolSet};

use super::{Conductor, Job};
use crate::alc::Symbol;
use crate::coding::{self, Block};
use crate::leg::Frame;
use crate::seal::Sealer;

/// Seals one symbol, padded, into `out`.
pub(super) fn seal(
    sealer: &mut Sealer,
    out: &mut Vec<u8>,
    transfer: u32,
    block: u32,
    esi: u8,
    octets: &[u8],
    symbol_bytes: u16,
) {
    sealer.seal(out, |out| {
        Symbol { transfer, block, esi, octets }.write(out);
        out.resize(out.len() + usize::from(symbol_bytes) - octets.len(), 0);
    });
}

// === impl Conductor ===

impl Conductor {
    /// Takes the next block of the response.
    pub(super) fn block(&mut self, bytes: Bytes) {
        let digest = coding::digest_of(&bytes);
        let length_bytes = u32::try_from(bytes.len()).expect("blocks are short");
        let held = Block::new(bytes, self.symbol_bytes);
        let (block, acts) = self.group.block(held.symbols(), self.now());
        tracing::trace!(transfer = self.transfer, block, length_bytes, "a block is there");
        self.blocks.insert(block, held);
        let announcement = Frame::Block { block, length_bytes, digest };
        self.tell_all(&announcement);
        self.announced.insert(block, announcement);
        self.act(acts);
    }

    /// Says that there are no more blocks.
    pub(super) fn end(&mut self) {
        let blocks = self.blocks.keys().next_back().map_or(0, |last| last + 1);
        (self.ended, self.ended_at) = (Some(blocks), Some(self.now()));
        self.tell_all(&Frame::End { blocks });
    }

    pub(super) fn act(&mut self, acts: Vec<Act>) {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Source { block } => {
                    let symbols = self.symbols_of(block);
                    self.summary.source_symbols += u64::from(symbols.len());
                    let job = self.job(block, symbols);
                    self.jobs.extend(job);
                }
                Act::Resend { block, symbols } => {
                    self.summary.repair_symbols += u64::from(symbols.len());
                    // Repair goes first: everything behind the block waits for it.
                    if let Some(job) = self.job(block, symbols) {
                        self.jobs.push_front(job);
                    }
                }
                Act::Repair { block, count } => {
                    self.summary.repair_symbols += u64::from(count);
                    let made = self.blocks.get_mut(&block).map(|block| block.repair(count)).unwrap_or_default();
                    let symbols = made.into_iter().map(|(esi, octets)| (esi, octets.into())).collect();
                    self.jobs.push_front(Job { block, symbols });
                }
                Act::Unicast { member, block, symbols } => self.give(member, block, symbols),
                Act::Ask { member, block, round } => self.tell(member, Frame::Ask { block, round }),
                Act::Slow => self.pool.slow_down(),
                Act::FellBack { member } => {
                    tracing::info!(member = member.0, "a member loses too much: it gets the rest by unicast");
                    self.summary.fell_back += 1;
                }
                Act::Dismiss { member } => {
                    tracing::info!(member = member.0, "a member makes no progress: it is dismissed");
                    self.summary.dismissed += 1;
                    self.members.remove(&member);
                    self.peers.remove(&member);
                }
                Act::Forget { block } => {
                    self.blocks.remove(&block);
                    self.announced.remove(&block);
                }
            }
        }
    }

    /// Breaks with a member, or gives its seat back.
    pub(super) fn lose(&mut self, id: MemberId) {
        self.seats.remove(&id);
        self.peers.remove(&id);
        if self.members.remove(&id) {
            let acts = self.group.left(id, self.now());
            self.act(acts);
        }
    }

    pub(super) fn tell_all(&mut self, frame: &Frame) {
        let members: Vec<MemberId> = self.members.iter().copied().collect();
        for id in members {
            self.tell(id, frame.clone());
        }
    }

    /// Queues a frame for one; who has let its queue run full is broken with.
    pub(super) fn tell(&mut self, id: MemberId, frame: Frame) {
        let Some(peer) = self.peers.get(&id) else { return };
        if peer.try_send(frame).is_err() {
            tracing::info!(member = id.0, "a member takes nothing more: its leg is closed");
            self.lose(id);
        }
    }

    fn symbols_of(&self, block: u32) -> SymbolSet {
        self.blocks.get(&block).map(|block| SymbolSet::first(block.symbols())).unwrap_or_default()
    }

    fn job(&self, number: u32, symbols: SymbolSet) -> Option<Job> {
        let block = self.blocks.get(&number)?;
        let symbols = coding::octets_of(symbols).into_iter();
        let symbols = symbols.map(|esi| (esi, block.source(esi.into(), u32::from(esi) + 1))).collect();
        Some(Job { block: number, symbols })
    }

    /// Gives one the symbols of a block, those that lie together in one frame.
    fn give(&mut self, member: MemberId, number: u32, symbols: SymbolSet) {
        let Some(block) = self.blocks.get(&number) else { return };
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for symbol in symbols.iter() {
            match runs.last_mut() {
                Some((_, end)) if *end == symbol => *end += 1,
                Some(_) | None => runs.push((symbol, symbol + 1)),
            }
        }
        let parts: Vec<(u32, Bytes)> = runs.into_iter().map(|(first, end)| (first, block.source(first, end))).collect();
        for (symbol, octets) in parts {
            self.summary.unicast_bytes += octets.len() as u64;
            self.tell(member, Frame::Data { block: number, symbol, octets });
        }
    }
}
