use freehold::runtime::Runtime;
use serde::{Serialize, Serializer};
use std::fmt;

/// The id of a task: 128 random bits from a cryptographically secure source, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TaskId(u128);

impl TaskId {
    pub(super) fn random(runtime: &dyn Runtime) -> Self {
        let mut bytes = [0; 16];
        runtime.fill_random(&mut bytes);
        Self(u128::from_ne_bytes(bytes))
    }

    /// The id in this text; one spelling only.
    pub(super) fn read(text: &str) -> Option<Self> {
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(digits) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for TaskId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::TaskId;

    #[test]
    fn one_spelling_round_trips_and_others_are_no_ids() {
        let text = "00ff00ff00ff00ff00ff00ff00ff00ff";
        assert_eq!(TaskId::read(text).unwrap().to_string(), text);
        for bad in ["", "0", &text.to_uppercase(), &format!("+{}", &text[1..]), &format!("{text}0")] {
            assert_eq!(TaskId::read(bad), None, "{bad}");
        }
    }
}
