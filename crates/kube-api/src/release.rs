use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A minor release of Kubernetes 1, whose behaviour is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Release(pub u16);

impl Release {
    /// The oldest release that can be chosen.
    pub const OLDEST: Release = Release(30);
    /// The newest release that can be chosen, and the default.
    pub const NEWEST: Release = Release(36);

    /// Every release that can be chosen, oldest first.
    pub fn all() -> impl Iterator<Item = Release> {
        (Self::OLDEST.0..=Self::NEWEST.0).map(Release)
    }
}

impl Default for Release {
    fn default() -> Self {
        Release::NEWEST
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for Release {
    type Err = String;

    /// Reads `1.30`, `v1.30` or `1.30.5`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.");
        let minor = rest.and_then(|r| r.split('.').next()).and_then(|m| m.parse().ok()).map(Release);
        minor
            .filter(|r| (Self::OLDEST..=Self::NEWEST).contains(r))
            .ok_or_else(|| format!("unknown release \"{text}\": from {} to {}", Self::OLDEST, Self::NEWEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        assert_eq!("1.30".parse(), Ok(Release(30)));
        assert_eq!("v1.34.2".parse(), Ok(Release(34)));
        assert_eq!(Release::default().to_string(), "1.36");
        assert!("1.29".parse::<Release>().is_err());
        assert!("2.30".parse::<Release>().is_err());
    }
}
