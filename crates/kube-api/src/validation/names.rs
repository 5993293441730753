//! Rules for names, labels, ports and addresses (`apimachinery/pkg/util/validation/validation.go`).

use crate::Release;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const LABEL_1123: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const NON_EMPTY: &str = "must be non-empty";
/// What is wrong with a port number.
pub(super) const PORT: &str = "must be between 1 and 65535, inclusive";

fn regex_error(problem: &str, regex: &str, examples: &[&str]) -> String {
    let examples = examples.iter().map(|e| format!("'{e}', ")).collect::<Vec<_>>().join(" or ");
    format!("{problem} (e.g. {examples}regex used for validation is '{regex}')")
}

fn too_long(most: usize) -> String {
    format!("must be no more than {most} characters")
}

fn lower(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |c: Option<&u8>| c.is_some_and(|c| lower(*c));
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|c| lower(*c) || *c == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_qualified(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    let within = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(within)
}

/// A label of a domain name.
pub(super) fn dns1123_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !is_label(text) {
        errors.push(if is_subdomain(text) {
            "must not contain dots".into()
        } else {
            let problem = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            regex_error(problem, LABEL_1123, &["my-name", "123-abc"])
        });
    }
    errors
}

/// A domain name.
pub(super) fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 253 {
        errors.push(too_long(253));
    }
    if !is_subdomain(text) {
        let problem = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        errors.push(regex_error(problem, &format!("{LABEL_1123}(\\.{LABEL_1123})*"), &["example.com"]));
    }
    errors
}

/// A label of a domain name that begins with a letter.
pub(super) fn dns1035_label(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !(is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        let problem = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
        errors.push(regex_error(problem, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    errors
}

/// `example.com/name`: keys of labels and annotations.
pub(super) fn qualified_name(text: &str) -> Vec<String> {
    const REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
    let problem = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    let shape = |what: &str| regex_error(&format!("{what}{problem}"), REGEX, &["MyName", "my.name", "123-abc"]);
    let parts: Vec<&str> = text.split('/').collect();
    let mut errors = Vec::new();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push(format!("prefix part {NON_EMPTY}"));
            } else {
                errors.extend(dns1123_subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
            }
            name
        }
        _ => {
            let suffix = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![shape("a qualified name ") + suffix];
        }
    };
    if name.is_empty() {
        errors.push(format!("name part {NON_EMPTY}"));
    } else if name.len() > 63 {
        errors.push(format!("name part {}", too_long(63)));
    }
    if !is_qualified(name) {
        errors.push(shape("name part "));
    }
    errors
}

/// A label's value.
pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if text.len() > 63 {
        errors.push(too_long(63));
    }
    if !text.is_empty() && !is_qualified(text) {
        let problem = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
        let regex = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";
        errors.push(regex_error(problem, regex, &["MyValue", "my_value", "12345"]));
    }
    errors
}

/// A port's name (RFC 6335).
pub(super) fn port_name(text: &str) -> Vec<String> {
    let rules = [
        (text.len() > 15, "must be no more than 15 characters"),
        (
            text.is_empty() || !text.bytes().all(|c| lower(c) || c == b'-'),
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        ),
        (!text.bytes().any(|c| c.is_ascii_lowercase()), "must contain at least one letter (a-z)"),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (text.starts_with('-') || text.ends_with('-'), "must not begin or end with a hyphen"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, text)| text.to_string()).collect()
}

/// Whether a port number is one.
pub(super) fn is_port(port: i64) -> bool {
    (1..=65_535).contains(&port)
}

/// An address as `netutils.ParseIPSloppy` reads it: leading zeros count nothing.
pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(|ip| ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4));
    }
    let parts: Vec<&str> = text.split('.').collect();
    let [a, b, c, d] = parts[..] else { return None };
    let part = |p: &str| {
        let digits = !p.is_empty() && p.len() < 16 && p.bytes().all(|c| c.is_ascii_digit());
        digits.then(|| p.parse::<u64>().ok()).flatten().and_then(|n| u8::try_from(n).ok())
    };
    Some(IpAddr::V4(Ipv4Addr::new(part(a)?, part(b)?, part(c)?, part(d)?)))
}

/// An address.
pub(super) fn ip(text: &str, release: Release) -> Vec<String> {
    if parse_ip(text).is_none() {
        return vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".into()];
    }
    if release < STRICT_IP {
        return Vec::new();
    }
    match text.parse::<IpAddr>() {
        Err(_) => vec!["must not have leading 0s".into()],
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".into()]
        }
        Ok(_) => Vec::new(),
    }
}

/// Since when leading zeros and the like are refused (KEP-4858).
const STRICT_IP: Release = Release(36);

/// An address and the length of its prefix.
pub(super) fn cidr(text: &str, release: Release) -> Vec<String> {
    let found = text.split_once('/').and_then(|(address, length)| {
        let ip = parse_ip(address)?;
        let digits = !length.is_empty() && length.bytes().all(|c| c.is_ascii_digit());
        let bits: u32 = length.parse().ok().filter(|_| digits)?;
        let most = if address.contains(':') { 128 } else { 32 };
        (bits <= most).then_some((address, ip, bits))
    });
    let Some((address, ip, bits)) = found else {
        return vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".into()];
    };
    if release < STRICT_IP {
        return Vec::new();
    }
    if address.parse::<IpAddr>().is_err() {
        return vec!["must not have leading 0s in IP or prefix length".into()];
    }
    let masked = match ip {
        IpAddr::V4(ip) => u32::from(ip).checked_shl(bits).unwrap_or(0) != 0,
        IpAddr::V6(ip) => u128::from(ip).checked_shl(bits).unwrap_or(0) != 0,
    };
    if masked { vec!["must not have bits set beyond the prefix length".into()] } else { Vec::new() }
}

/// Addresses that no external IP or endpoint may have.
pub(super) fn non_special(text: &str) -> Vec<String> {
    let Some(ip) = parse_ip(text) else { return vec!["must be a valid IP address".into()] };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    };
    let multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    let rules = [
        (ip.is_unspecified(), format!("may not be unspecified ({text})")),
        (ip.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".into()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".into()),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".into()),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, text)| text).collect()
}
