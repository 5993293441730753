//! Small values of lesson files: amounts, lengths of time, texts in several languages.

use lab_base::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// How many: `3`, `{min: 1}`, `{max: 0}`, `{min: 1, max: 3}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawAmount")]
pub struct Amount {
    /// At least.
    pub min: Option<u64>,
    /// At most.
    pub max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawAmount {
    Exact(u64),
    Range(RawRange),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRange {
    min: Option<u64>,
    max: Option<u64>,
}

impl TryFrom<RawAmount> for Amount {
    type Error = String;
    fn try_from(raw: RawAmount) -> Result<Amount, String> {
        let amount = match raw {
            RawAmount::Exact(n) => Amount { min: Some(n), max: Some(n) },
            RawAmount::Range(r) => Amount { min: r.min, max: r.max },
        };
        match (amount.min, amount.max) {
            (None, None) => Err("an amount needs `min`, `max` or both".into()),
            (Some(a), Some(b)) if a > b => Err(format!("`min: {a}` is more than `max: {b}`")),
            _ => Ok(amount),
        }
    }
}

impl Amount {
    /// Whether `n` is as many as wanted.
    pub fn holds(&self, n: u64) -> bool {
        self.min.is_none_or(|m| n >= m) && self.max.is_none_or(|m| n <= m)
    }
    /// Whether `n` is too many, so that counting on can't help.
    pub fn exceeded(&self, n: u64) -> bool {
        self.max.is_some_and(|m| n > m)
    }
    /// Everything that this amount is not; None when that isn't one range.
    pub fn inverse(&self) -> Option<Amount> {
        match (self.min, self.max) {
            (Some(m), None) if m > 0 => Some(Amount { min: None, max: Some(m - 1) }),
            (None, Some(m)) | (Some(0), Some(m)) => Some(Amount { min: Some(m + 1), max: None }),
            _ => None,
        }
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (Some(a), Some(b)) if a == b => write!(f, "{a}"),
            (Some(a), Some(b)) => write!(f, "{a}–{b}"),
            (_, Some(0)) => f.write_str("0"),
            (None, Some(b)) => write!(f, "≤ {b}"),
            (a, None) => write!(f, "≥ {}", a.unwrap_or(0)),
        }
    }
}

/// A length of time as authors write it: `500ms`, `20s`, `1m30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Length(pub Span);

impl TryFrom<String> for Length {
    type Error = String;
    fn try_from(text: String) -> Result<Length, String> {
        let wrong = || format!("`{text}` is no length of time; write `500ms`, `20s` or `1m30s`");
        cluster::parse_duration(&text).map(Length).ok_or_else(wrong)
    }
}

/// A text in each language, by language (`en`, `zh`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Text(pub BTreeMap<String, String>);

impl Text {
    /// In this language, or empty.
    pub fn get(&self, language: &str) -> &str {
        self.0.get(language).map_or("", String::as_str)
    }
}

/// Seconds for people: `5`, `0.5`, `12.3`.
pub(crate) fn seconds(span: Span) -> String {
    let tenths = (span.as_micros() + 50_000) / 100_000;
    if tenths.is_multiple_of(10) { (tenths / 10).to_string() } else { format!("{}.{}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_api::yaml;

    #[test]
    fn lengths() {
        for (text, millis) in [("500ms", 500), ("20s", 20_000), ("1m30s", 90_000), ("1h", 3_600_000)] {
            assert_eq!(Length::try_from(text.to_owned()), Ok(Length(Span::from_millis(millis))));
        }
        for text in ["", "5", "s", "5 s", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(Length::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts() {
        let read = |text: &str| yaml::from_tree::<Amount>(&yaml::load(text).remove(0).unwrap());
        assert_eq!(read("3").unwrap().to_string(), "3");
        assert_eq!(read("{min: 3}").unwrap().to_string(), "≥ 3");
        assert_eq!(read("{max: 0}").unwrap().to_string(), "0");
        assert_eq!(read("{min: 1, max: 3}").unwrap().to_string(), "1–3");
        assert_eq!(read("{max: 2}").unwrap().inverse().unwrap().to_string(), "≥ 3");
        assert_eq!(read("{min: 1}").unwrap().inverse().unwrap().to_string(), "0");
        assert!(read("{min: 1, max: 3}").unwrap().inverse().is_none());
        for bad in ["{}", "{min: 3, max: 1}", "{least: 1}", "-1", "many"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_are_short() {
        assert_eq!(seconds(Span::from_millis(5_000)), "5");
        assert_eq!(seconds(Span::from_millis(12_340)), "12.3");
    }
}
