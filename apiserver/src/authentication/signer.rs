//! The key that signs tokens, made when it is needed first: most clusters never sign one.

use tokio::sync::OnceCell;

use super::keys::{Error, SigningKey};

/// Which key signs tokens.
#[derive(Clone, Debug, Default)]
pub enum KeyChoice {
    /// A new one on the curve P-256, which is made in no time.
    #[default]
    Curve,
    /// A new RSA key, which every client in the world can verify.
    Rsa,
    /// This one.
    Given(SigningKey),
}

/// Signs tokens.
#[derive(Debug)]
pub struct Signer {
    choice: KeyChoice,
    key: OnceCell<SigningKey>,
}

impl Signer {
    pub(super) fn new(choice: KeyChoice) -> Self {
        Self { choice, key: OnceCell::new() }
    }

    /// The key, which is made now if it has not been needed before.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub async fn key(&self) -> Result<&SigningKey, Error> {
        self.key.get_or_try_init(|| self.make()).await
    }

    /// The key if anything can have been signed with it.
    pub(super) fn if_made(&self) -> Option<&SigningKey> {
        match &self.choice {
            KeyChoice::Given(key) => Some(key),
            KeyChoice::Curve | KeyChoice::Rsa => self.key.get(),
        }
    }

    async fn make(&self) -> Result<SigningKey, Error> {
        match &self.choice {
            KeyChoice::Given(key) => Ok(key.clone()),
            KeyChoice::Curve => SigningKey::generate(),
            // On a thread of its own: other requests are answered meanwhile.
            KeyChoice::Rsa => tokio::task::spawn_blocking(SigningKey::generate_rsa).await.map_err(|_| Error::Random)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_key_is_made_once() {
        for choice in [KeyChoice::Curve, KeyChoice::Rsa] {
            let signer = Signer::new(choice);
            assert!(signer.if_made().is_none());
            let key = signer.key().await.unwrap().clone();
            assert_eq!(signer.key().await.unwrap().public(), key.public());
            let signature = key.sign(b"m").unwrap();
            assert!(key.public().verifies(key.public().algorithm(), b"m", &signature));
        }
    }
}
