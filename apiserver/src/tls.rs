//! A certificate authority of the server's own, and the certificates that it signs.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ED25519, SanType,
};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// The names under which a pod would reach the server.
const SERVICE_NAMES: [&str; 5] =
    ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"];

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[error("a certificate could not be made")]
pub struct Error(#[from] rcgen::Error);

/// A certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key. Write it only to files that nobody else can read.
    pub key: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// A self-signed certificate authority.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// In PEM.
    certificate: String,
}

impl Authority {
    /// A new authority with a new key, from the system's randomness.
    pub fn generate() -> Result<Self, Error> {
        Self::with_key(KeyPair::generate()?)
    }

    /// The authority of that seed: the same key and the same certificate each time, byte by byte, for clusters that are to
    /// behave the same whenever they are run. Whoever knows the seed can sign, too.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, Error> {
        // Only signatures on this curve have no randomness in them. PKCS#8 without the public key, as in RFC 8410.
        const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        let key = [&PREFIX[..], &seed].concat();
        Self::with_key(KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ED25519)?)
    }

    /// The authority whose certificate and key these are, as [`Authority::identity`] gave them.
    pub fn from_identity(identity: &Identity) -> Result<Self, Error> {
        // Who issued a certificate is told by the name and the key, which are the same again.
        let authority = Self::with_key(KeyPair::from_pem(&identity.key)?)?;
        Ok(Self { certificate: identity.certificate.clone(), ..authority })
    }

    /// Its certificate and its key, to be kept.
    pub fn identity(&self) -> Identity {
        Identity { certificate: self.certificate(), key: self.issuer.key().serialize_pem() }
    }

    fn with_key(key: KeyPair) -> Result<Self, Error> {
        let mut params = named("steersman-ca", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let issuer = CertifiedIssuer::self_signed(params, key)?;
        Ok(Self { certificate: issuer.pem(), issuer })
    }

    /// The certificate that clients have to trust, in PEM.
    pub fn certificate(&self) -> String {
        self.certificate.clone()
    }

    /// A certificate for a server at these addresses, and on this machine.
    pub fn server(&self, addresses: &[IpAddr]) -> Result<Identity, Error> {
        let mut params = named("kube-apiserver", &[]);
        for name in SERVICE_NAMES {
            params.subject_alt_names.push(SanType::DnsName(name.try_into()?));
        }
        let local = [IpAddr::from([127, 0, 0, 1]), IpAddr::from([10, 0, 0, 1])];
        params.subject_alt_names.extend(local.iter().chain(addresses).map(|ip| SanType::IpAddress(*ip)));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(params)
    }

    /// A certificate for a client: the common name is the user, the organizations are the groups.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity, Error> {
        let mut params = named(user, groups);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity, Error> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

fn named(common_name: &str, organizations: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for organization in organizations {
        params.distinguished_name.push(DnType::OrganizationName, *organization);
    }
    params.distinguished_name.push(DnType::CommonName, common_name);
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_that_was_kept_is_the_same() {
        let first = Authority::generate().unwrap();
        let again = Authority::from_identity(&first.identity()).unwrap();
        assert_eq!(again.certificate(), first.certificate());
        assert_eq!(again.identity().key, first.identity().key);
    }

    #[test]
    fn one_seed_gives_one_authority() {
        let certificate = |seed| Authority::from_seed([seed; 32]).unwrap().certificate();
        assert_eq!(certificate(1), certificate(1));
        assert_ne!(certificate(1), certificate(2));
        assert!(Authority::from_seed([1; 32]).unwrap().client("jane", &[]).is_ok());
    }
}
