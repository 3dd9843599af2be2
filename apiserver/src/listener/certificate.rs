//! Client certificates. One that is not accepted does not end the connection: the client is told with each answer.
//! Source: `k8s.io/apiserver/pkg/authentication/request/x509`.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_parser::der_parser::asn1_rs::oid;

use crate::authentication::{CREDENTIAL_ID, Identity, UserInfo};

/// Lets every certificate pass whose key the client has; [`identity`] judges it.
#[derive(Debug)]
pub(super) struct Any(pub(super) Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Any {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Whose certificates say that they are a proxy in front.
#[derive(Clone)]
pub(super) struct Proxies {
    pub(super) clients: Arc<dyn ClientCertVerifier>,
    /// The common names that they may have; any, if there are none.
    pub(super) allowed_names: Arc<[String]>,
}

impl Proxies {
    /// Whether the client certificates of a connection are those of a proxy.
    pub(super) fn have(&self, certificates: &[CertificateDer<'_>], now: Timestamp) -> bool {
        let Some((certificate, others)) = certificates.split_first() else { return false };
        if self.clients.verify_client_cert(certificate, others, unix(now)).is_err() {
            return false;
        }
        let Ok((_, certificate)) = x509_parser::parse_x509_certificate(certificate) else { return false };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        self.allowed_names.is_empty() || name.is_some_and(|name| self.allowed_names.iter().any(|it| it == name))
    }
}

fn unix(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).unwrap_or_default()))
}

/// Who sends requests over a connection with these client certificates.
pub(super) fn identity(
    verifier: &dyn ClientCertVerifier,
    certificates: &[CertificateDer<'_>],
    now: Timestamp,
) -> Identity {
    let Some((certificate, others)) = certificates.split_first() else { return Identity::Unknown };
    match verifier.verify_client_cert(certificate, others, unix(now)) {
        Ok(_) => user_of(certificate).map_or(Identity::Refused, |user| user.map_or(Identity::Unknown, Identity::Known)),
        Err(error) => {
            tracing::debug!(%error, "a client certificate is not accepted");
            Identity::Refused
        }
    }
}

/// The user whom a certificate names: the common name, and the organizations as groups. Nobody without a common name;
/// `None` if it cannot be read or says two different things.
fn user_of(der: &[u8]) -> Option<Option<UserInfo>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let Some(name) = subject.iter_common_name().next().and_then(|name| name.as_str().ok()).filter(|it| !it.is_empty())
    else {
        return Some(None);
    };
    let groups: Vec<&str> = subject.iter_organization().filter_map(|it| it.as_str().ok()).collect();
    let uid_type = oid!(1.3.6.1.4.1.57683.2);
    let mut uids = subject.iter_by_oid(&uid_type);
    let uid = uids.next().map(|uid| uid.as_str().map(str::to_owned)).transpose().ok()?;
    if uids.next().is_some() || uid.as_deref() == Some("") {
        return None;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut id = "X509SHA256=".to_owned();
    for byte in digest.as_ref() {
        let _ = write!(id, "{byte:02x}");
    }
    let mut user = UserInfo { uid: uid.unwrap_or_default(), ..UserInfo::known(name, &groups) };
    user.extra.insert(CREDENTIAL_ID.to_owned(), vec![id]);
    Some(Some(user))
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::pki_types::pem::PemObject;
    use rustls::server::WebPkiClientVerifier;

    use super::*;
    use crate::tls::Authority;

    #[test]
    fn only_certificates_of_the_authority_name_a_user() {
        let (ours, theirs) = (Authority::generate().unwrap(), Authority::generate().unwrap());
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(der(&ours.certificate())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let now: Timestamp = "2026-05-01T10:00:00Z".parse().unwrap();
        let of = |certificate: &str| identity(&*verifier, &[der(certificate)], now);
        let Identity::Known(user) = of(&ours.client("jane", &["dev"]).unwrap().certificate) else {
            panic!("a certificate of the authority is not accepted");
        };
        assert_eq!((user.name.as_str(), user.groups.join(" ")), ("jane", "dev system:authenticated".to_owned()));
        assert!(user.extra[CREDENTIAL_ID][0].starts_with("X509SHA256="));
        assert_eq!(user.extra[CREDENTIAL_ID][0].len(), "X509SHA256=".len() + 64);
        assert!(matches!(of(&theirs.client("jane", &["system:masters"]).unwrap().certificate), Identity::Refused));
        // A certificate for servers says nothing about who asks.
        assert!(matches!(of(&ours.server(&[]).unwrap().certificate), Identity::Refused));
        assert!(matches!(of(&ours.client("", &["system:masters"]).unwrap().certificate), Identity::Unknown));
        assert!(matches!(identity(&*verifier, &[], now), Identity::Unknown));
    }
}
