//! Figures as people read them.

/// A time in seconds.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0} \u{b5}s", s * 1e6),
        s if s < 0.1 => format!("{:.1} ms", s * 1e3),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

/// A rate a second.
pub(crate) fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { count(rate.round() as u64) }
}

/// A number with its thousands apart.
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, rate, time};

    #[test]
    fn figures_are_short() {
        let times = [0.0000123, 0.0123, 1.5, 600.0, 9_000.0].map(time);
        assert_eq!(times, ["12 \u{b5}s", "12.3 ms", "1.5 s", "10 min", "2.5 h"]);
        assert_eq!([0, 12, 1_234, 1_234_567].map(count), ["0", "12", "1,234", "1,234,567"]);
        assert_eq!([0.0, 1.25, 12.6, 12_345.6].map(rate), ["0", "1.2", "13", "12,346"]);
    }
}
