//! Numbers and addresses as text. `core::fmt` writes the same, but a cluster's rules hold half a million of them.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

/// Writes a number.
pub fn push_number(out: &mut String, number: u64) {
    let (mut digits, mut at, mut left) = ([0_u8; 20], 20, number);
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.push_str(std::str::from_utf8(&digits[at..]).unwrap_or_default());
}

/// Writes an address.
pub fn push_ip(out: &mut String, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            for (i, byte) in ip.octets().into_iter().enumerate() {
                if i > 0 {
                    out.push('.');
                }
                push_number(out, u64::from(byte));
            }
        }
        // Writing into a `String` cannot fail.
        IpAddr::V6(ip) => {
            let _ = write!(out, "{ip}");
        }
    }
}

/// Writes an address and port, as `10.0.0.1:80` or `[fd00::1]:80`.
pub fn push_addr(out: &mut String, addr: SocketAddr) {
    match addr {
        SocketAddr::V4(_) => push_ip(out, addr.ip()),
        SocketAddr::V6(_) => {
            out.push('[');
            push_ip(out, addr.ip());
            out.push(']');
        }
    }
    out.push(':');
    push_number(out, addr.port().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_written_as_by_fmt() {
        for n in [0, 9, 10, 255, 65_535, 10_000_000_000, u64::MAX] {
            let mut out = String::new();
            push_number(&mut out, n);
            assert_eq!(out, n.to_string());
        }
        for text in ["0.0.0.0:0", "10.96.0.1:80", "255.255.255.255:65535", "[::]:1", "[fd00::1:2]:8080"] {
            let addr: SocketAddr = text.parse().expect("an address");
            let mut out = String::new();
            push_addr(&mut out, addr);
            assert_eq!(out, text);
        }
    }
}
