//! The wait cells of a slot: a few inside of it, more in blocks.

use super::{
    Slot,
    block::Block,
    cell::{self, WaitCell},
};
use crate::{limits, shim::Ordering};
use std::ptr;

/// In `used` of a slot that is done: children that it polled may have cells of it.
const LENT: u32 = 1 << 31;

impl Slot {
    /// Claims an unused cell. Only the poller may.
    pub(crate) fn claim_cell(&'static self) -> &'static WaitCell {
        let used = self.used.load(Ordering::Relaxed);
        for (index, cell) in self.cells.iter().enumerate() {
            if used & (1 << index) == 0 {
                self.used.store(used | (1 << index), Ordering::Relaxed);
                return cell;
            }
            if cell.phase() == cell::ABANDONED {
                return cell;
            }
        }
        self.claim_more(used)
    }

    #[cold]
    fn claim_more(&'static self, used: u32) -> &'static WaitCell {
        self.used.store(used | (1 << limits::INLINE_CELLS), Ordering::Relaxed);
        let blocks = Block::walk(&self.more_cells);
        for cell in blocks.flat_map(|block| &block.items) {
            if matches!(cell.phase(), cell::UNUSED | cell::ABANDONED) {
                return cell;
            }
        }
        let block = Block::extend(&self.more_cells, WaitCell::new);
        block.items.iter().for_each(|cell| cell.set_owner(self));
        &block.items[0]
    }

    /// Gives a cell back. Only the poller may; others leave it [`ABANDONED`](cell::ABANDONED).
    pub(crate) fn free_cell(&self, cell: &'static WaitCell) {
        cell.set_phase(cell::UNUSED);
        for (index, inline) in self.cells.iter().enumerate() {
            if ptr::eq(inline, cell) {
                let used = self.used.load(Ordering::Relaxed);
                self.used.store(used & !(1 << index), Ordering::Relaxed);
                return;
            }
        }
        if Block::walk(&self.more_cells)
            .flat_map(|block| &block.items)
            .all(|cell| cell.phase() == cell::UNUSED)
        {
            let used = self.used.load(Ordering::Relaxed);
            self.used.store(used & !(1 << limits::INLINE_CELLS), Ordering::Relaxed);
        }
    }

    #[inline]
    pub(crate) fn has_waits(&self) -> bool {
        self.used.load(Ordering::Relaxed) & !LENT != 0
    }

    /// By the poller, at its end: none of its cells is a wait any more. `lent`: children that live on may have some, and nobody
    /// else can use these before they are given back.
    pub(super) fn end_waits(&self, lent: bool) {
        self.used.store(if lent { LENT } else { 0 }, Ordering::Relaxed);
    }

    /// Whether a child that outlived it has a cell of it.
    pub(super) fn lends_cells(&'static self) -> bool {
        let mut lends = false;
        if self.used.load(Ordering::Relaxed) & LENT != 0 {
            self.every_cell(|cell| lends |= !matches!(cell.phase(), cell::UNUSED | cell::ABANDONED));
        }
        lends
    }

    /// The cells in use. Only for the poller, or under a freeze.
    pub(crate) fn waits(&'static self) -> impl Iterator<Item = &'static WaitCell> {
        let used = self.used.load(Ordering::Relaxed);
        let inline = self.cells.iter().enumerate().filter(move |(index, _)| used & (1 << index) != 0);
        let blocks =
            if used & (1 << limits::INLINE_CELLS) == 0 { None } else { Some(Block::walk(&self.more_cells)) };
        inline
            .map(|(_, cell)| cell)
            .chain(blocks.into_iter().flatten().flat_map(|block| &block.items))
            .filter(|cell| !matches!(cell.phase(), cell::UNUSED | cell::ABANDONED))
    }

    /// Calls `visit` with every cell, used or not.
    pub(crate) fn every_cell(&'static self, visit: impl FnMut(&'static WaitCell)) {
        self.cells.iter().chain(Block::walk(&self.more_cells).flat_map(|block| &block.items)).for_each(visit);
    }

    /// Takes abandoned cells back. Only the poller may.
    pub(crate) fn reclaim(&'static self) {
        let used = self.used.load(Ordering::Relaxed);
        for (index, cell) in self.cells.iter().enumerate() {
            if used & (1 << index) != 0 && cell.phase() == cell::ABANDONED {
                self.free_cell(cell);
            }
        }
        if used & (1 << limits::INLINE_CELLS) != 0 {
            for cell in Block::walk(&self.more_cells).flat_map(|block| &block.items) {
                if cell.phase() == cell::ABANDONED {
                    self.free_cell(cell);
                }
            }
        }
    }
}
