use super::limits::{WAITING_BYTES, WAITING_MESSAGES};
use freehold::Frame;
use std::collections::VecDeque;

/// Messages of a task for who reads next.
#[derive(Default)]
pub(super) struct Waiting {
    frames: VecDeque<Frame>,
    bytes: usize,
}

impl Waiting {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes one more; the oldest notifications make room. What there is no room for, to be dropped elsewhere.
    #[must_use = "it is dropped outside of the section"]
    pub(super) fn push(&mut self, frame: Frame) -> Vec<Frame> {
        let size = frame.bytes().len();
        let mut evicted = Vec::new();
        while size <= WAITING_BYTES && self.is_full_for(size) {
            let oldest = self.frames.iter().position(is_notification);
            // A question stays, as somebody waits for its answer, unless there are only questions, which are old then.
            let index = if self.frames.len() >= WAITING_MESSAGES { oldest.or(Some(0)) } else { oldest };
            let Some(old) = index.and_then(|index| self.frames.remove(index)) else { break };
            self.bytes -= old.bytes().len();
            evicted.push(old);
        }
        if is_notification(&frame) && self.is_full_for(size) {
            evicted.push(frame);
        } else {
            self.bytes += size;
            self.frames.push_back(frame);
        }
        evicted
    }

    fn is_full_for(&self, size: usize) -> bool {
        self.frames.len() >= WAITING_MESSAGES || self.bytes + size > WAITING_BYTES
    }

    /// All of them.
    pub(super) fn take(&mut self) -> VecDeque<Frame> {
        self.bytes = 0;
        std::mem::take(&mut self.frames)
    }

    /// The questions, which nobody needs an answer to any more.
    pub(super) fn take_questions(&mut self) -> Vec<Frame> {
        let (notifications, questions): (Vec<_>, _) = self.take().into_iter().partition(is_notification);
        self.bytes = notifications.iter().map(|frame| frame.bytes().len()).sum();
        self.frames = notifications.into();
        questions
    }
}

fn is_notification(frame: &Frame) -> bool {
    matches!(frame, Frame::Notification(_))
}

#[cfg(test)]
mod tests {
    use super::{WAITING_BYTES, WAITING_MESSAGES, Waiting};
    use bytes::Bytes;
    use freehold::Frame;

    const HALF: usize = WAITING_BYTES / 2;

    fn says(bytes: usize) -> Frame {
        Frame::Notification(Bytes::from(vec![b'n'; bytes]))
    }

    fn asks(bytes: usize) -> Frame {
        Frame::Question(Bytes::from(vec![b'q'; bytes]))
    }

    /// The sizes of what waits.
    fn sizes(waiting: &mut Waiting) -> Vec<usize> {
        let bytes = waiting.bytes();
        let sizes: Vec<_> = waiting.take().iter().map(|frame| frame.bytes().len()).collect();
        assert_eq!((sizes.iter().sum::<usize>(), waiting.bytes()), (bytes, 0));
        sizes
    }

    #[test]
    fn the_oldest_notifications_make_room_and_questions_stay() {
        let mut waiting = Waiting::default();
        for frame in [asks(1), says(2), says(HALF), says(3)] {
            assert!(waiting.push(frame).is_empty());
        }
        assert_eq!(waiting.push(says(HALF)), [says(2), says(HALF)]);
        assert_eq!(waiting.push(says(WAITING_BYTES + 1)), [says(WAITING_BYTES + 1)], "nothing goes for it");
        assert_eq!(waiting.push(asks(WAITING_BYTES)), [says(3), says(HALF)]);
        assert_eq!(waiting.push(says(1)), [says(1)], "what waits are questions");
        assert_eq!(sizes(&mut waiting), [1, WAITING_BYTES]);
    }

    #[test]
    fn no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        for _ in 0..WAITING_MESSAGES {
            assert!(waiting.push(asks(1)).is_empty());
        }
        assert_eq!(waiting.push(says(2)), [asks(1)]);
        assert_eq!(waiting.push(asks(3)), [says(2)]);
        assert_eq!(sizes(&mut waiting).len(), WAITING_MESSAGES);
    }

    #[test]
    fn questions_are_taken_out() {
        let mut waiting = Waiting::default();
        for frame in [asks(1), says(2), asks(3), says(4)] {
            assert!(waiting.push(frame).is_empty());
        }
        assert_eq!(waiting.take_questions(), [asks(1), asks(3)]);
        assert_eq!(sizes(&mut waiting), [2, 4]);
    }
}
