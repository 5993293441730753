//! Lengths of time as text.

use lab_base::Span;
use serde::{Deserialize, Deserializer};

/// Reads a length of time as `250ms`, `20s`, `1.5s`, `1m30s`.
pub fn parse_duration(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total = 0.0f64;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at(split);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, after) = tail.split_at(end);
        let number: f64 = number.parse().ok()?;
        total += number
            * match unit {
                "us" => 1.0,
                "ms" => 1e3,
                "s" => 1e6,
                "m" => 60e6,
                "h" => 3600e6,
                _ => return None,
            };
        rest = after;
    }
    (!text.is_empty() && total.is_finite() && total <= 1e15).then(|| Span::from_micros(total as u64))
}

/// For `deserialize_with`.
pub(super) fn duration<'de, D: Deserializer<'de>>(d: D) -> Result<Span, D::Error> {
    let text = String::deserialize(d)?;
    parse_duration(&text).ok_or_else(|| serde::de::Error::custom("expected a time such as 250ms, 20s or 2m"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, want) in [
            ("250ms", Some(250_000)),
            ("1.5s", Some(1_500_000)),
            ("2m", Some(120_000_000)),
            ("1m30s", Some(90_000_000)),
            ("", None),
            ("1m30", None),
            ("20", None),
            ("s", None),
            ("-1s", None),
            ("1e9s", None),
            ("9999999999999h", None),
        ] {
            assert_eq!(parse_duration(text).map(Span::as_micros), want, "{text}");
        }
    }
}
