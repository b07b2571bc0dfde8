//! What a member holds of a transfer: symbols that came by multicast, parts that came by unicast, and what the leg
//! says they must add up to.
//!
//! It is a state machine without sockets. Packets are given to it as they arrive, frames as they are read; it says
//! which blocks are right, which are spoiled, and what is lacking. A block is given out in order and only after its
//! digest was right. It holds at most its window of blocks, whatever is sent to it; packets of others are dropped.

use std::collections::BTreeMap;

use bytes::Bytes;
use flame_naming::group::{Lack, SYMBOLS_MAX, SymbolSet};

use crate::alc::{Malformed, Symbol};
use crate::coding;
use crate::leg::{DIGEST_BYTES, Welcome};
use crate::seal::{Dropped, Opener};

/// What a member holds.
#[derive(Debug)]
pub struct Reception {
    opener: Opener,
    transfer: u32,
    symbol_bytes: u16,
    window_blocks: u32,
    /// The first block that was not given out.
    next: u32,
    blocks: BTreeMap<u32, Assembly>,
    counts: Counts,
}

/// What came by multicast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Symbols that were new.
    pub taken: u64,
    /// Packets that were dropped unread: wrong seal, seen before.
    pub dropped: u64,
    /// Packets that were of no use: held already, given out already, out of the window.
    pub useless: u64,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It was dropped unread.
    #[error(transparent)]
    Dropped(#[from] Dropped),
    /// It is no packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is of no use.
    #[error("it is of no use")]
    Useless,
}

/// A frame that cannot be true: the leg is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Nonsense {
    /// A block is announced that is out of the window, empty, too long, or announced already otherwise.
    #[error("block {0} is announced out of order or with an impossible length")]
    Block(u32),
    /// A part does not lie within its block.
    #[error("a part of block {0} does not lie within it")]
    Data(u32),
}

/// What a complete block turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its digest is right.
    Right(u32),
    /// Its digest is wrong; it will be taken by unicast only.
    Spoiled(u32),
}

#[derive(Debug, Default)]
struct Assembly {
    announced: Option<Announced>,
    octets: Vec<u8>,
    got: SymbolSet,
    /// By number, none twice: so there are fewer than [`SYMBOLS_MAX`].
    repair: Vec<(u8, Vec<u8>)>,
    right: Option<Bytes>,
    is_unicast_only: bool,
    /// Counts what arrived, so that somebody can see whether it still does.
    arrived: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Announced {
    length: usize,
    symbols: u32,
    digest: [u8; DIGEST_BYTES],
}

// === impl Reception ===

impl Reception {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(welcome: &Welcome) -> Self {
        Self {
            opener: Opener::new(&welcome.key, welcome.transfer),
            transfer: welcome.transfer,
            symbol_bytes: welcome.symbol_bytes,
            window_blocks: welcome.window_blocks,
            next: 0,
            blocks: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    /// What came by multicast so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The first block that was not given out.
    #[must_use]
    pub fn next(&self) -> u32 {
        self.next
    }

    /// Takes a sealed packet; `true` where a block may be complete by it.
    pub fn packet(&mut self, sealed: &mut [u8]) -> Result<bool, Refused> {
        let taken = self.take_packet(sealed);
        match taken {
            Ok(_) => self.counts.taken += 1,
            Err(Refused::Useless) => self.counts.useless += 1,
            Err(Refused::Dropped(_) | Refused::Malformed(_)) => self.counts.dropped += 1,
        }
        taken
    }

    fn take_packet(&mut self, sealed: &mut [u8]) -> Result<bool, Refused> {
        let symbol = Symbol::read(self.opener.open(sealed)?)?;
        let in_window = self.holds(symbol.block);
        if symbol.transfer != self.transfer || symbol.octets.len() != usize::from(self.symbol_bytes) || !in_window {
            return Err(Refused::Useless);
        }
        let assembly = self.blocks.entry(symbol.block).or_default();
        if assembly.take(symbol.esi, symbol.octets) { Ok(assembly.is_complete()) } else { Err(Refused::Useless) }
    }

    /// Takes what a block must be.
    pub fn announce(&mut self, block: u32, length_bytes: u32, digest: [u8; DIGEST_BYTES]) -> Result<(), Nonsense> {
        let length = length_bytes as usize;
        let symbols = coding::symbols_of(length, self.symbol_bytes);
        let fits = (1..=crate::BLOCK_MAX_BYTES).contains(&length) && symbols <= SYMBOLS_MAX;
        if !fits || !self.holds(block) {
            return Err(Nonsense::Block(block));
        }
        let assembly = self.blocks.entry(block).or_default();
        let announced = Announced { length, symbols, digest };
        if assembly.announced.replace(announced).is_some_and(|before| before != announced) {
            return Err(Nonsense::Block(block));
        }
        assembly.fit(symbols, self.symbol_bytes);
        Ok(())
    }

    /// Takes a part that came by unicast.
    pub fn data(&mut self, block: u32, symbol: u32, octets: &[u8]) -> Result<(), Nonsense> {
        let size = usize::from(self.symbol_bytes);
        if block < self.next {
            return Ok(());
        }
        let assembly = self.blocks.get_mut(&block).ok_or(Nonsense::Data(block))?;
        let announced = assembly.announced.ok_or(Nonsense::Data(block))?;
        let begins = symbol as usize * size;
        let ends = begins + octets.len();
        let is_whole = octets.len().is_multiple_of(size) || ends == announced.length;
        if octets.is_empty() || ends > announced.length || !is_whole {
            return Err(Nonsense::Data(block));
        }
        if assembly.right.is_none() {
            assembly.arrived += 1;
            assembly.octets[begins..ends].copy_from_slice(octets);
            // The padding of the last symbol is part of what repair symbols are made of.
            let padded = ends.next_multiple_of(size);
            assembly.octets[ends..padded].fill(0);
            for symbol in symbol..coding::symbols_of(ends, self.symbol_bytes) {
                assembly.got.insert(symbol);
            }
        }
        Ok(())
    }

    /// Judges the blocks that are complete.
    pub fn judge(&mut self) -> Vec<Verdict> {
        let size = self.symbol_bytes;
        let complete = self.blocks.iter_mut().filter(|(_, assembly)| assembly.is_complete());
        complete.filter_map(|(block, assembly)| assembly.judge(*block, size)).collect()
    }

    /// The next block in order, once it is right.
    pub fn take(&mut self) -> Option<Bytes> {
        let bytes = self.blocks.get_mut(&self.next)?.right.take()?;
        self.blocks.remove(&self.next);
        self.next += 1;
        Some(bytes)
    }

    /// What is lacking of a block; `None` where nothing is.
    #[must_use]
    pub fn lack(&self, block: u32) -> Option<Lack> {
        let assembly = self.blocks.get(&block)?;
        let symbols = assembly.announced?.symbols;
        if assembly.right.is_some() {
            return None;
        }
        let missing = SymbolSet::first(symbols).without(assembly.got);
        let held = u32::try_from(assembly.repair.len()).unwrap_or(u32::MAX);
        Some(Lack { missing, short: missing.len().saturating_sub(held).max(1) })
    }

    /// How much of a block has arrived: a number that grows.
    #[must_use]
    pub fn arrived(&self, block: u32) -> u32 {
        self.blocks.get(&block).map_or(0, |assembly| assembly.arrived)
    }

    fn holds(&self, block: u32) -> bool {
        block >= self.next && block - self.next < self.window_blocks
    }
}

// === impl Assembly ===

impl Assembly {
    fn take(&mut self, esi: u8, octets: &[u8]) -> bool {
        // Above that number there are no symbols.
        if u32::from(esi) >= SYMBOLS_MAX || self.right.is_some() || self.is_unicast_only {
            return false;
        }
        // Which symbols are repair is not known before the announcement: all are kept as source until then.
        let is_repair = self.announced.is_some_and(|announced| u32::from(esi) >= announced.symbols);
        let is_new = if is_repair { self.take_repair(esi, octets) } else { self.got.insert(u32::from(esi)) };
        if is_new && !is_repair {
            let begins = usize::from(esi) * octets.len();
            if self.octets.len() < begins + octets.len() {
                self.octets.resize(begins + octets.len(), 0);
            }
            self.octets[begins..begins + octets.len()].copy_from_slice(octets);
        }
        self.arrived += u32::from(is_new);
        is_new
    }

    fn take_repair(&mut self, esi: u8, octets: &[u8]) -> bool {
        let is_new = self.repair.iter().all(|(held, _)| *held != esi);
        if is_new {
            self.repair.push((esi, octets.to_vec()));
        }
        is_new
    }

    /// Learns how many symbols there are: what came before and lies beyond is repair.
    fn fit(&mut self, symbols: u32, symbol_bytes: u16) {
        let size = usize::from(symbol_bytes);
        let beyond = self.got.without(SymbolSet::first(symbols));
        for esi in coding::octets_of(beyond) {
            let at = usize::from(esi) * size;
            let octets = self.octets[at..at + size].to_vec();
            self.take_repair(esi, &octets);
        }
        self.got = self.got.within(SymbolSet::first(symbols));
        self.octets.resize(symbols as usize * size, 0);
    }

    fn is_complete(&self) -> bool {
        let held = self.got.len() as usize + self.repair.len();
        self.right.is_none() && self.announced.is_some_and(|announced| held >= announced.symbols as usize)
    }

    fn judge(&mut self, block: u32, symbol_bytes: u16) -> Option<Verdict> {
        let announced = self.announced?;
        if !coding::restore(&mut self.octets, symbol_bytes, self.got, &self.repair) {
            return None;
        }
        let mut octets = std::mem::take(&mut self.octets);
        octets.truncate(announced.length);
        self.repair = Vec::new();
        if coding::digest_of(&octets) == announced.digest {
            self.octets = Vec::new();
            self.right = Some(octets.into());
            return Some(Verdict::Right(block));
        }
        // Which symbol was forged is not known: none of them is believed.
        self.got = SymbolSet::default();
        self.is_unicast_only = true;
        octets.resize(announced.symbols as usize * usize::from(symbol_bytes), 0);
        self.octets = octets;
        Some(Verdict::Spoiled(block))
    }
}
