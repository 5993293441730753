//! Lengths of time as kubectl tells them (`apimachinery/pkg/util/duration`).

use lab_base::{Span, Time};

/// `HumanDuration`: two units at most, coarser the longer it is.
pub fn human(span: Span) -> String {
    let seconds = span.as_micros() / 1_000_000;
    let two = |high: u64, h: char, low: u64, l: char| {
        if low == 0 { format!("{high}{h}") } else { format!("{high}{h}{low}{l}") }
    };
    let (minutes, hours) = (seconds / 60, seconds / 3_600);
    let days = hours / 24;
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, 'm', seconds % 60, 's')
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, 'h', minutes % 60, 'm')
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 192 {
        two(days, 'd', hours % 24, 'h')
    } else if days < 730 {
        format!("{days}d")
    } else if days < 365 * 8 {
        two(days / 365, 'y', days % 365, 'd')
    } else {
        format!("{}y", days / 365)
    }
}

/// Age of something, as in a table's last column.
pub fn age(now: Time, since: Option<Time>) -> String {
    since.map_or_else(|| "<unknown>".into(), |since| human(now.since(since)))
}

/// Reads Go's `time.ParseDuration`: `30s`, `1m30s`, `0`.
pub fn parse(text: &str) -> Option<Span> {
    if text == "0" { Some(Span::ZERO) } else { cluster::parse_duration(text) }
}

/// Go's `Duration.String` for whole seconds and below: `30s`, `1m30s`, `500ms`.
pub fn go(span: Span) -> String {
    let micros = span.as_micros();
    if micros == 0 {
        return "0s".into();
    }
    if micros < 1_000_000 {
        let (whole, rest) = (micros / 1_000, micros % 1_000);
        return if whole == 0 { format!("{micros}µs") } else { format!("{whole}{}ms", fraction(rest, 3)) };
    }
    let (hours, minutes, seconds) = (micros / 3_600_000_000, micros / 60_000_000 % 60, micros / 1_000_000 % 60);
    let seconds = format!("{seconds}{}s", fraction(micros % 1_000_000, 6));
    match (hours, minutes) {
        (0, 0) => seconds,
        (0, m) => format!("{m}m{seconds}"),
        (h, m) => format!("{h}h{m}m{seconds}"),
    }
}

fn fraction(rest: u64, digits: usize) -> String {
    if rest == 0 { String::new() } else { format!(".{rest:0digits$}").trim_end_matches('0').into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `TestHumanDuration` of `apimachinery/pkg/util/duration/duration_test.go`.
    #[test]
    fn as_in_apimachinery() {
        const S: u64 = 1;
        const M: u64 = 60;
        const H: u64 = 3_600;
        const D: u64 = 24 * H;
        const Y: u64 = 365 * D;
        for (seconds, want) in [
            (S, "1s"),
            (70 * S, "70s"),
            (190 * S, "3m10s"),
            (70 * M, "70m"),
            (47 * H, "47h"),
            (49 * H, "2d1h"),
            (8 * D + 2 * H, "8d"),
            (367 * D, "367d"),
            (2 * Y + 25 * D, "2y25d"),
            (8 * Y + 2 * D, "8y"),
            (2 * M, "2m"),
            (10 * M - 1, "9m59s"),
            (10 * M, "10m"),
            (3 * H - 1, "179m"),
            (3 * H, "3h"),
            (8 * H - 1, "7h59m"),
            (8 * H, "8h"),
            (48 * H - 1, "47h"),
            (48 * H, "2d"),
            (8 * D - 1, "7d23h"),
            (8 * D, "8d"),
            (2 * Y - 1, "729d"),
            (2 * Y, "2y"),
            (8 * Y - 1, "7y364d"),
            (8 * Y, "8y"),
        ] {
            assert_eq!(human(Span::from_secs(seconds)), want, "{seconds}");
        }
    }

    #[test]
    fn durations_as_go_prints_them() {
        for (micros, want) in [
            (0, "0s"),
            (5, "5µs"),
            (1_500, "1.5ms"),
            (30_000_000, "30s"),
            (90_000_000, "1m30s"),
            (3_600_000_000, "1h0m0s"),
            (1_250_000, "1.25s"),
        ] {
            assert_eq!(go(Span::from_micros(micros)), want);
        }
    }
}
