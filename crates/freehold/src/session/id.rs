use crate::runtime::Runtime;
use serde::{Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The id of a session: 128 random bits from a cryptographically secure source, never reused, written as 32
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u128);

impl SessionId {
    pub(crate) fn random(runtime: &dyn Runtime) -> Self {
        let mut bytes = [0; 16];
        runtime.fill_random(&mut bytes);
        Self(u128::from_ne_bytes(bytes))
    }

    /// The id of a session that nobody can address (see [`Engine::ephemeral`](crate::Engine::ephemeral)).
    pub(crate) const fn unaddressed(serial: u64) -> Self {
        Self(serial as u128)
    }

    /// Enough of it to find it in a log, and too little to address it.
    #[must_use]
    pub fn abbreviated(self) -> String {
        match u64::try_from(self.0) {
            Ok(serial) => format!("#{serial}"),
            Err(_) => format!("{:08x}...", self.0 >> 96),
        }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text is not a session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 32 lower-case hexadecimal digits")]
#[non_exhaustive]
pub struct InvalidSessionId;

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        // One spelling only: `from_str_radix` would also take signs and capitals.
        let digits = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.as_bytes().iter().all(digits) {
            return Err(InvalidSessionId);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| InvalidSessionId)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidSessionId, SessionId};

    #[test]
    fn one_spelling_round_trips_and_others_are_refused() {
        let text = "00ff00ff00ff00ff00ff00ff00ff00ff";
        assert_eq!(text.parse::<SessionId>().unwrap().to_string(), text);
        for bad in ["", "0", &text.to_uppercase(), &format!("+{}", &text[1..]), &format!("{text}0")] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidSessionId), "{bad}");
        }
    }

    #[test]
    fn an_abbreviated_id_opens_no_session() {
        let id: SessionId = "00ff00ff00ff00ff00ff00ff00ff00ff".parse().unwrap();
        assert_eq!(id.abbreviated(), "00ff00ff...");
        assert_eq!(SessionId::unaddressed(7).abbreviated(), "#7");
    }
}
