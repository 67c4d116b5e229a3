//! Room for more cells or entries than fit a slot.

use crate::shim::{AtomicPtr, Ordering};

const BLOCK: usize = 16;

/// More cells or entries than fit a slot.
pub(super) struct Block<T> {
    pub(super) items: [T; BLOCK],
    next: AtomicPtr<Block<T>>,
}

impl<T> Block<T> {
    pub(super) fn walk(first: &AtomicPtr<Block<T>>) -> impl Iterator<Item = &'static Block<T>>
    where
        T: 'static,
    {
        // SAFETY: blocks are leaked, so every pointer in the chain is null or good for ever. Acquire pairs with the
        // Release in `extend`.
        let mut next = unsafe { first.load(Ordering::Acquire).as_ref() };
        std::iter::from_fn(move || {
            let block = next?;
            // SAFETY: as above.
            next = unsafe { block.next.load(Ordering::Acquire).as_ref() };
            Some(block)
        })
    }

    /// Puts a new block in front. Only the poller may.
    pub(super) fn extend(first: &AtomicPtr<Block<T>>, item: impl Fn() -> T) -> &'static Block<T> {
        let next = AtomicPtr::new(first.load(Ordering::Relaxed));
        let block = Box::leak(Box::new(Block { items: std::array::from_fn(|_| item()), next }));
        first.store(block, Ordering::Release);
        block
    }
}
