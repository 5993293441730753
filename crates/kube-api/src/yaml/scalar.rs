//! YAML 1.1 scalars, as go-yaml 2 (`resolve.go`) understands them and Go's encoding/json writes them again.

use super::Value;

/// What a plain scalar means.
pub(super) fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Value::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Value::Bool(false);
        }
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Value::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Value::Float(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    number(text).unwrap_or_else(|| Value::text(text))
}

/// Whether a text can be written without quotes in block style and is read as the same text.
pub fn plain(text: &str) -> bool {
    let safe = |c: char| {
        c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | ':' | ' ' | '%' | '+' | '=' | '(' | ')' | ',')
    };
    let first = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_'));
    let ends = !text.ends_with([' ', ':']) && !text.contains(": ");
    first && ends && text.chars().all(safe) && matches!(resolve(text), Value::Str { .. })
}

/// A number, if it is one.
pub(super) fn number(text: &str) -> Option<Value> {
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) {
        return None;
    }
    if text.len() > 400 {
        return None;
    }
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    int(&plain).map(Value::Int).or_else(|| float_text(&plain).map(Value::Float))
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`.
fn int(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let lower = digits.get(..2).map(str::to_ascii_lowercase);
    let (radix, digits) = match lower.as_deref() {
        Some("0x") => (16, &digits[2..]),
        Some("0b") => (2, &digits[2..]),
        Some("0o") => (8, &digits[2..]),
        _ if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_digit(radix)) {
        return None;
    }
    let value = i128::from_str_radix(digits, radix).ok()?;
    let value = if negative { -value } else { value };
    // ParseUint takes no sign.
    let fits = if text.starts_with(['+', '-']) { i64::try_from(value).is_ok() } else { u64::try_from(value).is_ok() };
    fits.then_some(value)
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn float_text(text: &str) -> Option<f64> {
    let body = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match body.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e.strip_prefix(['+', '-']).unwrap_or(e))),
        None => (body, None),
    };
    let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    let (whole, part) = mantissa.split_once('.').map_or((mantissa, None), |(w, p)| (w, Some(p)));
    let right = digits(whole)
        && part.is_none_or(digits)
        && (!whole.is_empty() || part.is_some_and(|p| !p.is_empty()))
        && exponent.is_none_or(|e| !e.is_empty() && digits(e));
    right.then(|| text.parse().ok()).flatten().filter(|f: &f64| f.is_finite())
}

/// A float as Go's encoding/json writes it.
pub fn float(f: f64) -> String {
    let size = f.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{f:e}");
        if text.contains("e-") { text } else { text.replace('e', "e+") }
    } else {
        f.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_1_1_traps() {
        for (text, value) in [
            ("no", Value::Bool(false)),
            ("on", Value::Bool(true)),
            ("y", Value::Bool(true)),
            ("0777", Value::Int(511)),
            ("0o17", Value::Int(15)),
            ("0x1F", Value::Int(31)),
            ("0b101", Value::Int(5)),
            ("1_000", Value::Int(1000)),
            ("1e3", Value::Float(1000.0)),
            ("-80", Value::Int(-80)),
            ("+80", Value::Int(80)),
            ("80.", Value::Float(80.0)),
            (".5", Value::Float(0.5)),
            ("08", Value::Float(8.0)),
            ("18446744073709551615", Value::Int(18_446_744_073_709_551_615)),
            ("1:30", Value::text("1:30")),
            ("2024-01-01", Value::text("2024-01-01")),
            ("1e", Value::text("1e")),
            (".", Value::text(".")),
            ("-", Value::text("-")),
            ("0x", Value::text("0x")),
            ("~", Value::Null),
            ("", Value::Null),
            ("nulL", Value::text("nulL")),
        ] {
            assert_eq!(resolve(text), value, "{text}");
        }
    }

    #[test]
    fn what_needs_no_quotes() {
        for text in ["web", "10.0.0.1", "http://web:80/", "a b", "25%", "名字", "/healthz", "app=web,tier=x"] {
            assert!(plain(text), "{text}");
        }
        for text in
            ["", "80", "true", "no", "~", "1e3", "- x", "a: b", "a ", "#x", "a:", "*", "{}", "'x'", "x\ny", "?", "a #b"]
        {
            assert!(!plain(text), "{text}");
        }
    }

    #[test]
    fn floats_as_json() {
        assert_eq!(float(80.5), "80.5");
        assert_eq!(float(1e3), "1000");
        assert_eq!(float(1e21), "1e+21");
        assert_eq!(float(1e-7), "1e-7");
    }
}
