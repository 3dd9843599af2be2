//! A token in a file that somebody else renews. Source: `k8s.io/client-go/transport` (`cachingTokenSource`).

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::time::Instant;

/// How long a token is used before the file is read again.
const PERIOD: Duration = Duration::from_secs(50);

/// The token of a file, read again from time to time. White space around it does not count.
pub(super) struct TokenFile {
    path: PathBuf,
    /// With when it was read; without, if the server refused it.
    cached: Mutex<(HeaderValue, Option<Instant>)>,
}

impl TokenFile {
    /// Reads it for the first time.
    pub(super) fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let header = read(&path)?;
        Ok(Self { path, cached: Mutex::new((header, Some(Instant::now()))) })
    }

    /// The value of `Authorization`. If the file cannot be read any more, the last token stays.
    pub(super) fn header(&self, now: Instant) -> HeaderValue {
        let mut cached = self.cached.lock();
        if cached.1.is_none_or(|read| now.saturating_duration_since(read) >= PERIOD) {
            cached.1 = Some(now);
            match read(&self.path) {
                Ok(header) => cached.0 = header,
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the token stays as it is"),
            }
        }
        cached.0.clone()
    }

    /// The server refused the token of a request that was sent at that time: the next one reads the file.
    pub(super) fn refused(&self, sent: Instant) {
        let mut cached = self.cached.lock();
        if cached.1.is_some_and(|read| read <= sent) {
            cached.1 = None;
        }
    }
}

fn read(path: &PathBuf) -> Result<HeaderValue> {
    let token = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let header = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
    let mut header = header.with_context(|| format!("{} does not hold a token", path.display()))?;
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_renewed_token_is_used_and_an_absent_one_stays() {
        let folder = std::env::temp_dir().join(format!("steersman-token-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        fs::write(&path, "first\n").unwrap();
        let token = TokenFile::open(&path).unwrap();
        let start = Instant::now();
        assert_eq!(token.header(start), "Bearer first");
        fs::write(&path, "second").unwrap();
        assert_eq!(token.header(start + Duration::from_secs(49)), "Bearer first");
        assert_eq!(token.header(start + Duration::from_secs(50)), "Bearer second");
        // Refused: read at once, but not for those that were sent before it was read.
        fs::write(&path, "third").unwrap();
        token.refused(start);
        assert_eq!(token.header(start + Duration::from_secs(51)), "Bearer second");
        token.refused(start + Duration::from_secs(51));
        assert_eq!(token.header(start + Duration::from_secs(51)), "Bearer third");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(token.header(start + Duration::from_secs(200)), "Bearer third");
        assert!(TokenFile::open(&path).is_err());
    }
}
