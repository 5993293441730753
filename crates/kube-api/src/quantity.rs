//! Amounts of CPU and memory (`apimachinery/pkg/api/resource`), as far as they are compared and added up.

use std::fmt;

/// An amount in thousandths, and how it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quantity {
    thousandths: i128,
    /// Whether it is told in powers of 1024.
    binary: bool,
}

const DECIMAL: [(&str, i128); 8] = [
    ("", 1_000),
    ("m", 1),
    ("k", 1_000_000),
    ("M", 1_000_000_000),
    ("G", 1_000_000_000_000),
    ("T", 1_000_000_000_000_000),
    ("P", 1_000_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000_000),
];
const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];

impl Quantity {
    /// In thousandths.
    pub fn thousandths(self) -> i128 {
        self.thousandths
    }

    /// Reads `500m`, `8Gi`, `1.5`. What can't be read counts as nothing.
    pub fn parse(text: &str) -> Quantity {
        let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let binary = BINARY.iter().find(|(u, _)| *u == unit).map(|(_, shift)| 1_000_i128 << shift);
        let scale = binary.or_else(|| DECIMAL.iter().find(|(u, _)| *u == unit).map(|(_, s)| *s)).unwrap_or(0);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = fraction.len().min(9) as u32;
        let part: i128 = fraction.get(..digits as usize).and_then(|f| f.parse().ok()).unwrap_or(0);
        let whole: i128 = whole.parse().unwrap_or(0);
        let thousandths = whole.saturating_mul(scale).saturating_add(part.saturating_mul(scale) / 10_i128.pow(digits));
        Quantity { thousandths, binary: binary.is_some() }
    }

    /// The sum, in the form of the first that is something.
    pub fn plus(self, other: Quantity) -> Quantity {
        let binary = if self.thousandths == 0 { other.binary } else { self.binary };
        Quantity { thousandths: self.thousandths.saturating_add(other.thousandths), binary }
    }

    /// Hundredths of another, cut off.
    pub fn percent(self, of: Quantity) -> i128 {
        if of.thousandths == 0 { 0 } else { self.thousandths.saturating_mul(100) / of.thousandths }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.thousandths % 1_000 != 0 {
            return write!(f, "{}m", self.thousandths);
        }
        let value = self.thousandths / 1_000;
        if self.binary {
            let fits = BINARY.iter().rev().find(|(_, shift)| value != 0 && value % (1 << shift) == 0);
            return match fits {
                Some((unit, shift)) => write!(f, "{}{unit}", value >> shift),
                None => write!(f, "{value}"),
            };
        }
        let fits =
            DECIMAL.iter().rev().find(|(u, s)| !matches!(*u, "" | "m") && value != 0 && self.thousandths % s == 0);
        match fits {
            Some((unit, scale)) => write!(f, "{}{unit}", self.thousandths / scale),
            None => write!(f, "{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Canonical forms as `resource.Quantity` prints them.
    #[test]
    fn amounts() {
        for (text, want) in [
            ("500m", "500m"),
            ("1500m", "1500m"),
            ("2000m", "2"),
            ("0.5", "500m"),
            ("8Gi", "8Gi"),
            ("1024Mi", "1Gi"),
            ("1536Mi", "1536Mi"),
            ("1000", "1k"),
            ("0", "0"),
        ] {
            assert_eq!(Quantity::parse(text).to_string(), want, "{text}");
        }
        let sum = Quantity::parse("64Mi").plus(Quantity::parse("64Mi"));
        assert_eq!((sum.to_string().as_str(), sum.percent(Quantity::parse("8Gi"))), ("128Mi", 1));
        assert_eq!(Quantity::parse("100m").percent(Quantity::parse("4")), 2);
    }
}
