//! Why a cluster did not start, or does not serve.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a cluster did not start, or does not serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens at the address.
    #[error("port {} of {} is taken: stop what listens there, or choose another port", .0.port(), .0.ip())]
    AddressInUse(SocketAddr),
    /// The address cannot be listened at for another reason.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The kubeconfig cannot be written.
    #[error("cannot write the kubeconfig to {}", path.display())]
    Kubeconfig {
        /// Where.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The folder of the cluster cannot be used: it is damaged, another process has it, or the disk refuses.
    #[error("cannot use {}", path.display())]
    DataDir {
        /// Which folder, or which file in it.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An option makes no sense; the text says which and why.
    #[error("{0}")]
    InvalidOption(String),
    /// No certificates could be made.
    #[error("cannot make certificates")]
    Certificates(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Other API servers cannot be told whom to believe.
    #[error("cannot publish the certificates of the front proxy: {0}")]
    FrontProxy(String),
    /// The API server cannot be made, for example because an admission plugin is unknown.
    #[error(transparent)]
    ApiServer(#[from] steersman_apiserver::Error),
    /// A component stopped although nobody told it to.
    #[error("{component} stopped: {reason}")]
    Component {
        /// Its name.
        component: &'static str,
        /// What it says.
        reason: String,
    },
    /// The API server refused something that the start needs, a definition for example.
    #[error("cannot prepare the cluster")]
    Api(#[source] Box<kube::Error>),
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

impl From<steersman_apiserver::tls::Error> for Error {
    fn from(error: steersman_apiserver::tls::Error) -> Self {
        Self::Certificates(Box::new(error))
    }
}

impl Error {
    /// Tells a taken address from other reasons.
    pub(crate) fn listen(address: SocketAddr, source: std::io::Error) -> Self {
        if source.kind() == std::io::ErrorKind::AddrInUse {
            Self::AddressInUse(address)
        } else {
            Self::Listen { address, source }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named() {
        let address = SocketAddr::from(([127, 0, 0, 1], 6443));
        let error = Error::listen(address, std::io::ErrorKind::AddrInUse.into());
        assert_eq!(
            error.to_string(),
            "port 6443 of 127.0.0.1 is taken: stop what listens there, or choose another port"
        );
        let error = Error::listen(address, std::io::ErrorKind::PermissionDenied.into());
        assert_eq!(error.to_string(), "cannot listen at 127.0.0.1:6443");
    }
}
