//! Simulated time as a date, as the API and kubectl write it.

use lab_base::Time;

/// The moment at which every run begins: 2026-01-01T00:00:00Z, in seconds since 1970. A run has no date of its own,
/// and one that is the same each time keeps runs the same.
const EPOCH: u64 = 1_767_225_600;

/// Year, month, day, hour, minute, second, day of the week (0: Sunday).
fn civil(time: Time) -> [u64; 7] {
    let seconds = EPOCH.saturating_add(time.as_micros() / 1_000_000);
    let days = seconds / 86_400;
    // Days since 0000-03-01, in eras of 400 years (Hinnant, "chrono-compatible low-level date algorithms").
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    [year, month, day, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60, (days + 4) % 7]
}

/// `2026-01-01T00:00:30Z`, as in `metadata.creationTimestamp`.
pub fn rfc3339(time: Time) -> String {
    let [year, month, day, hour, minute, second, _] = civil(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// `2026-01-01T00:00:30.250000Z`, as in `metav1.MicroTime`.
pub fn rfc3339_micro(time: Time) -> String {
    let whole = rfc3339(time);
    format!("{}.{:06}Z", whole.trim_end_matches('Z'), time.as_micros() % 1_000_000)
}

/// `Thu, 01 Jan 2026 00:00:30 +0000`, as `kubectl describe` writes a moment (Go's `time.RFC1123Z`).
pub fn rfc1123z(time: Time) -> String {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [year, month, day, hour, minute, second, weekday] = civil(time);
    let name = |names: &[&'static str], i: u64| names.get(i as usize).copied().unwrap_or_default();
    let (weekday, month) = (name(&DAYS, weekday), name(&MONTHS, month - 1));
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} +0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of `date -u -d @N`.
    #[test]
    fn dates() {
        for (seconds, want) in [
            (0, "Thu, 01 Jan 2026 00:00:00 +0000"),
            (30, "Thu, 01 Jan 2026 00:00:30 +0000"),
            (86_399, "Thu, 01 Jan 2026 23:59:59 +0000"),
            (68_169_600, "Tue, 29 Feb 2028 00:00:00 +0000"),
            (68_256_000, "Wed, 01 Mar 2028 00:00:00 +0000"),
            (100_000_000, "Sat, 03 Mar 2029 09:46:40 +0000"),
        ] {
            assert_eq!(rfc1123z(Time::from_secs(seconds)), want);
        }
        assert_eq!(rfc3339(Time::from_secs(68_169_600)), "2028-02-29T00:00:00Z");
        assert_eq!(rfc3339_micro(Time::from_millis(1_250)), "2026-01-01T00:00:01.250000Z");
    }
}
