//! Hashes of the hashing schedulers.

use std::net::{IpAddr, SocketAddr};

/// `GOLDEN_RATIO_32` of `include/linux/hash.h`.
const GOLDEN_RATIO_32: u32 = 0x61c8_8647;

/// Buckets of `sh` and `dh`: `1 << IP_VS_SH_TAB_BITS`, `1 << IP_VS_DH_TAB_BITS`.
pub(super) const BUCKETS: usize = 1 << BUCKET_BITS;
const BUCKET_BITS: u32 = 8;

/// Entries of an `mh` table: `primes[IP_VS_MH_TAB_INDEX]` with the default `CONFIG_IP_VS_MH_TAB_INDEX=12`.
pub(super) const MAGLEV_SIZE: usize = 4093;

/// `addr_fold` in host order: an IPv6 address is folded into 32 bits.
fn fold(ip: IpAddr) -> u32 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits(),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// The bucket of an address (`ip_vs_sh_hashkey` without port, `ip_vs_dh_hashkey`): `hash_32` of it.
pub(super) fn bucket(ip: IpAddr) -> usize {
    (fold(ip).wrapping_mul(GOLDEN_RATIO_32) >> (32 - BUCKET_BITS)) as usize
}

/// `hsiphash` of 32 bits on a 64-bit machine: SipHash-1-3 (`lib/siphash.c`), of which 32 bits are used.
fn hsiphash_u32(value: u32, key: [u64; 2]) -> u32 {
    let mut v = [
        0x736f_6d65_7073_6575 ^ key[0],
        0x646f_7261_6e64_6f6d ^ key[1],
        0x6c79_6765_6e65_7261 ^ key[0],
        0x7465_6462_7974_6573 ^ key[1],
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    };
    // The length in bytes stands in the highest byte of the last word.
    let last = 4 << 56 | u64::from(value);
    v[3] ^= last;
    round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    round(&mut v);
    round(&mut v);
    round(&mut v);
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

/// The two keys of `generate_hash_secret`: where an address stands, and how far it skips.
const OFFSET_KEY: [u64; 2] = [2_654_435_761; 2];
const SKIP_KEY: [u64; 2] = [2_654_446_892; 2];

/// `ip_vs_mh_hashkey`.
fn maglev_key(ip: IpAddr, port: u16, key: [u64; 2]) -> usize {
    hsiphash_u32(fold(ip).wrapping_add(u32::from(port)), key) as usize
}

/// The entry of the table that a client is looked up at.
pub(super) fn maglev_entry(ip: IpAddr, port: u16) -> usize {
    maglev_key(ip, port, OFFSET_KEY) % MAGLEV_SIZE
}

/// The table for these servers and weights: each entry is the place of a server (`ip_vs_mh_permutate`,
/// `ip_vs_mh_populate`). Empty if no server has a weight.
pub(super) fn maglev_table(servers: &[(SocketAddr, u32)]) -> Vec<u16> {
    let gcd = servers.iter().fold(0, |gcd, (_, weight)| super::scheduler::gcd(gcd, *weight));
    if gcd == 0 {
        return Vec::new();
    }
    // `ip_vs_mh_shift_weight`: no server gets more turns in a row than about half of the table's bits allow.
    let heaviest = servers.iter().map(|(_, weight)| weight / gcd).max().unwrap_or(0);
    let shift = (32 - heaviest.leading_zeros()).saturating_sub(12 / 2);
    struct Setup {
        at: usize,
        skip: usize,
        turns: u32,
    }
    let mut setups: Vec<Setup> = servers
        .iter()
        .map(|(addr, weight)| Setup {
            at: maglev_entry(addr.ip(), addr.port()),
            skip: maglev_key(addr.ip(), addr.port(), SKIP_KEY) % (MAGLEV_SIZE - 1) + 1,
            turns: ((weight / gcd) >> shift).max(u32::from(*weight > 0)),
        })
        .collect();
    const FREE: u16 = u16::MAX;
    let mut table = vec![FREE; MAGLEV_SIZE];
    let mut left = MAGLEV_SIZE;
    while left > 0 {
        for (server, setup) in setups.iter_mut().enumerate() {
            for _ in 0..(setup.turns as usize).min(left) {
                // The size is a prime, so that each skip comes by every entry.
                while table[setup.at] != FREE {
                    setup.at = (setup.at + setup.skip) % MAGLEV_SIZE;
                }
                table[setup.at] = server as u16;
                left -= 1;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_32_is_the_kernels() {
        // hash_32(val, 8) of include/linux/hash.h, worked out by hand: 1 * 0x61c88647 >> 24.
        assert_eq!(bucket([0, 0, 0, 1].into()), 0x61);
        assert_eq!(bucket([0, 0, 0, 2].into()), 0xc3);
        let v6: IpAddr = "fd00::1".parse().unwrap();
        assert_eq!(fold(v6), 0xfd00_0000 ^ 1);
    }

    #[test]
    fn a_maglev_table_is_nearly_even_and_changes_little() {
        let all: Vec<(SocketAddr, u32)> =
            (1..=10u8).map(|n| (SocketAddr::new([10, 244, 1, n].into(), 8080), 1)).collect();
        let table = maglev_table(&all);
        for n in 0..10u16 {
            // Eisenbud et al., section 3.4: entries differ by one at most where every server has one turn.
            let entries = table.iter().filter(|s| **s == n).count();
            assert!((409..=410).contains(&entries), "{entries}");
        }
        let without: Vec<(SocketAddr, u32)> = all[..9].to_vec();
        let fewer = maglev_table(&without);
        let moved = table.iter().zip(&fewer).filter(|(before, after)| **before != 9 && before != after).count();
        assert!(moved < MAGLEV_SIZE / 10, "{moved} entries moved without need");
        assert!(maglev_table(&[(all[0].0, 0)]).is_empty());
    }
}
