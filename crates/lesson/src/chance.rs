//! What chance allows: exact binomial bounds.

/// The interval in which a binomial count of `n` draws with probability `p` lies with probability at
/// least `1 - alpha`, with at most `alpha / 2` left out on each side.
///
/// Exact in the sense that the bounds come from the distribution itself, not from a normal
/// approximation. `libm` gives the same bits on every target.
pub fn binomial_interval(n: u64, p: f64, alpha: f64) -> (u64, u64) {
    if n == 0 || p <= 0.0 {
        return (0, 0);
    }
    if p >= 1.0 {
        return (n, n);
    }
    (lower(n, p, alpha / 2.0), n - lower(n, 1.0 - p, alpha / 2.0))
}

/// The smallest count whose lower tail holds more than `tail`.
fn lower(n: u64, p: f64, tail: f64) -> u64 {
    let mode = (((n + 1) as f64 * p) as u64).min(n);
    // From the mode downward each term follows from the one above it; far terms vanish against `tail`.
    let mut terms = vec![mass(n, mode, p)];
    let odds = (1.0 - p) / p;
    for k in (1..=mode).rev() {
        let next = terms[terms.len() - 1] * odds * k as f64 / (n - k + 1) as f64;
        if next < tail * 1e-9 {
            break;
        }
        terms.push(next);
    }
    let lowest = mode + 1 - terms.len() as u64;
    let mut sum = 0.0;
    for (i, term) in terms.iter().rev().enumerate() {
        sum += term;
        if sum > tail {
            return lowest + i as u64;
        }
    }
    mode
}

/// Probability of exactly `k` of `n`.
fn mass(n: u64, k: u64, p: f64) -> f64 {
    let choose = ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k);
    libm::exp(choose + k as f64 * libm::log(p) + (n - k) as f64 * libm::log1p(-p))
}

fn ln_factorial(n: u64) -> f64 {
    libm::lgamma(n as f64 + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By adding up the whole distribution.
    fn plain(n: u64, p: f64, alpha: f64) -> (u64, u64) {
        let all: Vec<f64> = (0..=n).map(|k| mass(n, k, p)).collect();
        let total: f64 = all.iter().sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
        let first = |terms: &mut dyn Iterator<Item = &f64>| {
            let mut sum = 0.0;
            terms
                .take_while(|t| {
                    sum += **t;
                    sum <= alpha / 2.0
                })
                .count() as u64
        };
        (first(&mut all.iter()), n - first(&mut all.iter().rev()))
    }

    #[test]
    fn bounds_equal_the_whole_sum() {
        for n in [1, 2, 10, 57, 200, 1_000] {
            for p in [0.001, 0.25, 1.0 / 3.0, 0.5, 0.9] {
                for alpha in [0.05, 1e-4, 1e-6] {
                    assert_eq!(binomial_interval(n, p, alpha), plain(n, p, alpha), "{n} {p} {alpha}");
                }
            }
        }
    }

    #[test]
    fn known_values() {
        // R: qbinom(c(.025, .975), 100, .5) = 40 60; 200 draws at 1/3: 53 and 80.
        assert_eq!(binomial_interval(100, 0.5, 0.05), (40, 60));
        assert_eq!(binomial_interval(200, 1.0 / 3.0, 0.05), (54, 80));
        assert_eq!(binomial_interval(0, 0.5, 0.05), (0, 0));
        assert_eq!(binomial_interval(9, 1.0, 0.05), (9, 9));
        assert_eq!(binomial_interval(9, 0.0, 0.05), (0, 0));
        let (low, high) = binomial_interval(10_000_000, 0.5, 1e-4);
        assert!(low > 4_990_000 && high < 5_010_000);
    }
}
