/// An input as answers to "which one?": each character is one, `0` to `9` the first ten, so that inputs can be read. What
/// is to be made takes them from the front, what is to be done with it from the back; where they meet is the end.
pub(crate) struct Choices<'a> {
    bytes: &'a [u8],
    /// Whose turn it is once the bytes have run out.
    turn: usize,
}

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, turn: 0 }
    }

    /// A number below `n`, from the front; 0 once there is nothing left.
    pub(crate) fn front(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        number(*first) % n
    }

    /// A number below `n`, from the back; one after the other once there is nothing left.
    pub(crate) fn back(&mut self, n: usize) -> usize {
        let Some((last, rest)) = self.bytes.split_last() else {
            self.turn = self.turn.wrapping_add(1);
            return self.turn % n;
        };
        self.bytes = rest;
        number(*last) % n
    }
}

fn number(character: u8) -> usize {
    usize::from(character.wrapping_sub(b'0'))
}
