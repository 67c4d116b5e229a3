//! Spans of time as people write them: `500ms`, `30s`, `10m`, `2h`.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Period(Duration);

/// Milliseconds of each unit, largest first.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// Clocks end somewhere; no server needs more.
const LONGEST_MS: u64 = 366 * 24 * 3_600_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a span of time is a number and a unit (500ms, 30s, 10m, 2h), more than zero and at most a year")]
pub(crate) struct InvalidPeriod;

impl Period {
    pub(crate) const fn duration(self) -> Duration {
        self.0
    }

    fn from_milliseconds(milliseconds: u64) -> Result<Self, InvalidPeriod> {
        match milliseconds {
            1..=LONGEST_MS => Ok(Self(Duration::from_millis(milliseconds))),
            _ => Err(InvalidPeriod),
        }
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Period {
    type Err = InvalidPeriod;

    /// A number without a unit counts seconds.
    fn from_str(text: &str) -> Result<Self, InvalidPeriod> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| InvalidPeriod)?;
        let unit = if unit.is_empty() { "s" } else { unit.trim() };
        let (_, factor) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or(InvalidPeriod)?;
        Self::from_milliseconds(number.checked_mul(factor).ok_or(InvalidPeriod)?)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let milliseconds = self.0.as_millis();
        let fits = |(_, factor): &(&str, u64)| milliseconds.is_multiple_of(u128::from(*factor));
        let (unit, factor) = UNITS.into_iter().find(fits).unwrap_or(("ms", 1));
        write!(f, "{}{unit}", milliseconds / u128::from(factor))
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time such as \"30s\", or a number of seconds")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<Period, E> {
                seconds.to_string().parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidPeriod, Period};

    #[test]
    fn periods_as_people_write_them() {
        for (text, shown) in [
            ("500ms", "500ms"),
            ("30s", "30s"),
            ("30", "30s"),
            (" 2 h ", "2h"),
            ("90s", "90s"),
            ("600s", "10m"),
            ("60m", "1h"),
        ] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "0", "0s", "-1", "1.5s", "s", "10 parsecs", "9000000000h", "99999999999999999999"] {
            assert_eq!(bad.parse::<Period>(), Err(InvalidPeriod), "{bad}");
        }
    }
}
