//! A request's body, and how it arrives.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// All at once.
    Whole,
    /// In two parts, the second one later.
    Halves,
    /// Byte by byte.
    Drops,
    /// Broken off in the middle.
    BrokenOff,
    /// The second half never comes.
    Stalled,
    /// More was announced than any server takes.
    Boastful,
}

impl Delivery {
    pub(super) const ALL: [Self; 6] =
        [Self::Whole, Self::Halves, Self::Drops, Self::BrokenOff, Self::Stalled, Self::Boastful];

    pub(super) fn is_whole(self) -> bool {
        matches!(self, Self::Whole | Self::Halves | Self::Drops)
    }
}

pub(super) struct SentBody {
    parts: VecDeque<Bytes>,
    delivery: Delivery,
    /// The next part has not arrived yet.
    later: bool,
}

impl SentBody {
    pub(super) fn new(bytes: &[u8], delivery: Delivery) -> Self {
        let bytes = Bytes::copy_from_slice(bytes);
        let half = bytes.len() / 2;
        let parts = match delivery {
            Delivery::Whole | Delivery::Boastful => [bytes].into(),
            Delivery::Halves => [bytes.slice(..half), bytes.slice(half..)].into(),
            Delivery::Drops => (0..bytes.len()).map(|at| bytes.slice(at..=at)).collect(),
            Delivery::BrokenOff | Delivery::Stalled => [bytes.slice(..half)].into(),
        };
        Self { parts, delivery, later: false }
    }
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        let waits = matches!(self.delivery, Delivery::Halves | Delivery::Drops) && !self.later;
        self.later = waits;
        if waits {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        match (self.parts.pop_front(), self.delivery) {
            (Some(part), _) => Poll::Ready(Some(Ok(Frame::data(part)))),
            (None, Delivery::BrokenOff) => Poll::Ready(Some(Err("broken off"))),
            (None, Delivery::Stalled) => Poll::Pending,
            (None, _) => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        if self.delivery == Delivery::Boastful {
            hint.set_lower(u64::MAX);
        }
        hint
    }
}
