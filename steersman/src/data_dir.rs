//! The folder of a cluster that outlives its process.
//!
//! ```text
//! store/       the objects
//! pki/ca.crt   the certificate authority, which clients trust
//! pki/ca.key
//! pki/sa.key   signs the tokens of service accounts
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use steersman_apiserver::authentication::KeyChoice;
use steersman_apiserver::authentication::keys::SigningKey;
use steersman_apiserver::tls::{Authority, Identity};
use steersman_store::DurableStore;
use steersman_store::durable::Options;

use crate::{Error, private_file};

const AUTHORITY_CERTIFICATE: &str = "pki/ca.crt";
const AUTHORITY_KEY: &str = "pki/ca.key";
const SERVICE_ACCOUNT_KEY: &str = "pki/sa.key";

/// An open folder. No other process can open it.
pub(crate) struct DataDir {
    path: PathBuf,
    pub(crate) store: Arc<DurableStore>,
}

impl DataDir {
    /// Opens the folder, which is made if it is not there, and reads all objects.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let store = DurableStore::open(&path.join("store"), Options::default());
        let store = store.map_err(|error| Self::failed(path, error))?;
        Ok(Self { path: path.to_owned(), store: Arc::new(store) })
    }

    /// The authority that was made when the folder was.
    pub(crate) fn authority(&self) -> Result<Authority, Error> {
        let (certificate, key) = (self.read(AUTHORITY_CERTIFICATE)?, self.read(AUTHORITY_KEY)?);
        if let (Some(certificate), Some(key)) = (certificate, key) {
            return Ok(Authority::from_identity(&Identity { certificate, key })?);
        }
        let authority = Authority::generate()?;
        let identity = authority.identity();
        // The key last: it is there only if the certificate is.
        self.write(AUTHORITY_CERTIFICATE, &identity.certificate)?;
        self.write(AUTHORITY_KEY, &identity.key)?;
        Ok(authority)
    }

    /// The key that signs tokens, so that those that were given out stay good.
    pub(crate) fn signing_key(&self) -> Result<KeyChoice, Error> {
        let pem = match self.read(SERVICE_ACCOUNT_KEY)? {
            Some(pem) => pem,
            None => {
                let pem = SigningKey::new_rsa_pem().map_err(|error| Self::failed(&self.path, error))?;
                self.write(SERVICE_ACCOUNT_KEY, &pem)?;
                pem
            }
        };
        let key = SigningKey::read_pem(&pem);
        key.map(KeyChoice::Given).map_err(|error| Self::failed(&self.path.join(SERVICE_ACCOUNT_KEY), error))
    }

    fn read(&self, name: &str) -> Result<Option<String>, Error> {
        let path = self.path.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Self::failed(&path, error)),
        }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.path.join(name);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| private_file::write(&path, text)).map_err(|error| Self::failed(&path, error))
    }

    fn failed(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
        Error::DataDir { path: path.to_owned(), source: Box::new(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_private() {
        let folder = tempfile::tempdir().unwrap();
        let keys = || {
            let data = DataDir::open(&folder.path().join("data")).unwrap();
            let KeyChoice::Given(key) = data.signing_key().unwrap() else { panic!("a key") };
            (data.authority().unwrap().certificate(), key.public().id().to_owned())
        };
        assert_eq!(keys(), keys());
        #[cfg(unix)]
        for name in [AUTHORITY_CERTIFICATE, AUTHORITY_KEY, SERVICE_ACCOUNT_KEY] {
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::metadata(folder.path().join("data").join(name)).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn a_damaged_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        drop(DataDir::open(folder.path()).unwrap());
        let log = folder.path().join("store/log-00000000000000000000");
        std::fs::write(&log, vec![b'x'; 64]).unwrap();
        let error = DataDir::open(folder.path()).err().unwrap();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
        assert!(source.contains("log-00000000000000000000 is damaged"), "{source}");
        assert_eq!(std::fs::read(&log).unwrap(), vec![b'x'; 64], "nothing was changed");
    }
}
