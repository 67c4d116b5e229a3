//! The wait cells of a slot: a few inside of it, more in blocks.

use super::{
    Slot,
    block::Block,
    cell::{self, WaitCell},
};
use crate::{limits, shim::Ordering};
use std::ptr;

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
        self.used.load(Ordering::Relaxed) != 0
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
