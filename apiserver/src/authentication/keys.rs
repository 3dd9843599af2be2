//! Keys that sign and verify tokens: RSA and the elliptic curves P-256 and P-384.
//! Source: RFC 7517 and 7518; `k8s.io/kubernetes/pkg/serviceaccount` (`keyIDFromPublicKey`, `algorithmForPublicKey`).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::{digest, signature};
use rustls::SignatureScheme;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, SubjectPublicKeyInfoDer};
use serde_json::{Value, json};
use x509_parser::prelude::FromDer;
use x509_parser::public_key;
use x509_parser::x509::SubjectPublicKeyInfo;

use super::rsa;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no key in the file.
    #[error("no PEM block holds a private key, a public key or a certificate")]
    NoKey,
    /// The key is of another kind.
    #[error("the key is neither RSA nor on the curve P-256 or P-384")]
    Kind,
    /// A key in a set has a member missing or wrong.
    #[error("the key set is not valid: {0}")]
    Set(String),
    /// The system has no randomness.
    #[error("the system gives no randomness for a key")]
    Random,
    /// A new key could not be made.
    #[error("a key could not be made")]
    Generate(#[from] rcgen::Error),
    /// The private key is damaged.
    #[error("the private key is not valid")]
    Private(#[from] rustls::Error),
}

/// What a key is made of.
#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The point, uncompressed.
    Ec {
        curve: Curve,
        point: Vec<u8>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
}

impl Curve {
    /// The bytes of a coordinate.
    fn size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
        }
    }

    fn of_size(size: usize) -> Option<Self> {
        [Self::P256, Self::P384].into_iter().find(|curve| curve.size() == size)
    }

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
        }
    }
}

/// A key that verifies tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    id: String,
    material: Material,
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.algorithm(), self.id)
    }
}

impl PublicKey {
    /// Reads the keys of a PEM file: public ones, those of private ones, those of certificates.
    ///
    /// # Errors
    /// If there is none, or one of a kind that is not supported.
    pub fn read_pem(pem: &str) -> Result<Vec<Self>, Error> {
        let mut keys = Vec::new();
        for key in SubjectPublicKeyInfoDer::pem_slice_iter(pem.as_bytes()).flatten() {
            keys.push(Self::from_spki(&key)?);
        }
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()).flatten() {
            let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|_| Error::NoKey)?;
            keys.push(Self::from_spki(parsed.public_key().raw)?);
        }
        for key in PrivateKeyDer::pem_slice_iter(pem.as_bytes()).flatten() {
            keys.push(SigningKey::new(&key)?.public().clone());
        }
        if keys.is_empty() { Err(Error::NoKey) } else { Ok(keys) }
    }

    /// Reads a JWK set, as in RFC 7517. Keys that are not for signatures are left out.
    ///
    /// # Errors
    /// If it is no key set, or one of its keys is incomplete or of a kind that is not supported.
    pub fn read_set(set: &str) -> Result<Vec<Self>, Error> {
        let set: Value = serde_json::from_str(set).map_err(|error| Error::Set(error.to_string()))?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or_else(|| Error::Set("the member \"keys\" is missing".to_owned()))?;
        let keys: Result<Vec<Self>, Error> =
            keys.iter().filter(|key| key.get("use").is_none_or(|used| used == "sig")).map(Self::from_jwk).collect();
        keys.and_then(|keys| if keys.is_empty() { Err(Error::Set("it is empty".to_owned())) } else { Ok(keys) })
    }

    fn from_jwk(key: &Value) -> Result<Self, Error> {
        let text = |name: &str| key.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = |name: &str| {
            let decoded = URL_SAFE_NO_PAD.decode(text(name)).ok().filter(|bytes| !bytes.is_empty());
            decoded.ok_or_else(|| Error::Set(format!("the member {name:?} of a key is missing or not base64url")))
        };
        let material = match (text("kty"), text("crv")) {
            ("RSA", _) => Material::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
            ("EC", name @ ("P-256" | "P-384")) => {
                let curve = if name == "P-256" { Curve::P256 } else { Curve::P384 };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != curve.size() || y.len() != curve.size() {
                    return Err(Error::Set(format!("a coordinate of a key on {name} has the wrong length")));
                }
                Material::Ec { curve, point: [&[4], &x[..], &y[..]].concat() }
            }
            _ => return Err(Error::Kind),
        };
        Ok(Self { id: text("kid").to_owned(), material })
    }

    fn from_spki(der: &[u8]) -> Result<Self, Error> {
        let (_, info) = SubjectPublicKeyInfo::from_der(der).map_err(|_| Error::Kind)?;
        let material = match info.parsed().map_err(|_| Error::Kind)? {
            public_key::PublicKey::RSA(key) => {
                Material::Rsa { modulus: unpadded(key.modulus), exponent: unpadded(key.exponent) }
            }
            public_key::PublicKey::EC(point) => {
                let point = point.data().to_vec();
                let curve = Curve::of_size(point.len().saturating_sub(1) / 2).filter(|_| point.first() == Some(&4));
                Material::Ec { curve: curve.ok_or(Error::Kind)?, point }
            }
            _ => return Err(Error::Kind),
        };
        let id = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, der));
        Ok(Self { id, material })
    }

    /// The name by which tokens refer to it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm of tokens that are signed with it.
    pub fn algorithm(&self) -> &'static str {
        match &self.material {
            Material::Rsa { .. } => "RS256",
            Material::Ec { curve: Curve::P256, .. } => "ES256",
            Material::Ec { curve: Curve::P384, .. } => "ES384",
        }
    }

    /// The key as RFC 7517 writes it.
    pub fn to_jwk(&self) -> Value {
        let mut key = json!({"use": "sig", "kid": self.id, "alg": self.algorithm()});
        let members = match &self.material {
            Material::Rsa { modulus, exponent } => {
                vec![("kty", "RSA".to_owned()), ("n", base64url(modulus)), ("e", base64url(exponent))]
            }
            Material::Ec { curve, point } => {
                let (x, y) = point[1..].split_at(curve.size());
                let (kty, crv) = ("EC".to_owned(), curve.name().to_owned());
                vec![("kty", kty), ("crv", crv), ("x", base64url(x)), ("y", base64url(y))]
            }
        };
        for (name, value) in members {
            key[name] = value.into();
        }
        key
    }

    /// Whether the signature is this key's, by that algorithm of RFC 7518. The algorithm has to fit the key: what a token
    /// says of itself never chooses what is done with a key.
    pub fn verifies(&self, algorithm: &str, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                let parameters = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                    "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                    "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                    "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                    _ => return false,
                };
                let key = signature::RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }
            Material::Ec { curve, point } => {
                let parameters = match (curve, algorithm) {
                    (Curve::P256, "ES256") => &signature::ECDSA_P256_SHA256_FIXED,
                    (Curve::P384, "ES384") => &signature::ECDSA_P384_SHA384_FIXED,
                    _ => return false,
                };
                signature::UnparsedPublicKey::new(parameters, point).verify(message, signature).is_ok()
            }
        }
    }
}

/// An integer without the zero that keeps DER from reading it as negative.
fn unpadded(integer: &[u8]) -> Vec<u8> {
    integer.iter().copied().skip_while(|byte| *byte == 0).collect()
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A key that signs tokens. It is never shown.
#[derive(Clone)]
pub struct SigningKey {
    key: Arc<dyn rustls::sign::SigningKey>,
    public: PublicKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public.id)
    }
}

impl SigningKey {
    /// A new key on the curve P-256, from the system's randomness: whoever could guess it could be anybody.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate() -> Result<Self, Error> {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| Error::Kind)?;
        Self::new(&key)
    }

    /// A new RSA key. Takes some tenths of a second.
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn generate_rsa() -> Result<Self, Error> {
        let key = PrivatePkcs1KeyDer::from(rsa::generate().ok_or(Error::Random)?);
        Self::new(&PrivateKeyDer::from(key))
    }

    /// A new RSA key as the text of a PEM file, to be kept and read with [`SigningKey::read_pem`].
    ///
    /// # Errors
    /// If the system has no randomness.
    pub fn new_rsa_pem() -> Result<String, Error> {
        let encoded = STANDARD.encode(rsa::generate().ok_or(Error::Random)?);
        let lines = encoded.as_bytes().chunks(64).map(String::from_utf8_lossy);
        let body: String = lines.flat_map(|line| [line, "\n".into()]).collect();
        Ok(format!("-----BEGIN RSA PRIVATE KEY-----\n{body}-----END RSA PRIVATE KEY-----\n"))
    }

    /// Reads the first private key of a PEM file.
    ///
    /// # Errors
    /// If there is none, or one of a kind that is not supported.
    pub fn read_pem(pem: &str) -> Result<Self, Error> {
        Self::new(&PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| Error::NoKey)?)
    }

    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, Error> {
        let key = rustls::crypto::ring::sign::any_supported_type(key)?;
        let public = PublicKey::from_spki(&key.public_key().ok_or(Error::Kind)?)?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this one signs.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature in the form of RFC 7518; `None` if the system has no randomness.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (scheme, size) = match &self.public.material {
            Material::Rsa { .. } => (SignatureScheme::RSA_PKCS1_SHA256, 0),
            Material::Ec { curve: Curve::P256, .. } => (SignatureScheme::ECDSA_NISTP256_SHA256, Curve::P256.size()),
            Material::Ec { curve: Curve::P384, .. } => (SignatureScheme::ECDSA_NISTP384_SHA384, Curve::P384.size()),
        };
        let signature = self.key.choose_scheme(&[scheme])?.sign(message).ok()?;
        if size == 0 { Some(signature) } else { fixed(&signature, size) }
    }
}

/// The two integers of a signature on a curve: from ASN.1 (`SEQUENCE { INTEGER, INTEGER }`, below 128 bytes) to one after
/// the other.
fn fixed(der: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut rest = der.strip_prefix(&[0x30])?.get(1..)?;
    let mut fixed = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let (&[tag, length], tail) = rest.split_first_chunk::<2>()?;
        let (integer, tail) = tail.split_at_checked(usize::from(length)).filter(|_| tag == 2)?;
        let integer = unpadded(integer);
        fixed.extend(std::iter::repeat_n(0, size.checked_sub(integer.len())?));
        fixed.extend(integer);
        rest = tail;
    }
    Some(fixed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_verifies_what_it_signed_and_nothing_else() {
        let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        for message in ["", "a", "a long message"] {
            let signature = key.sign(message.as_bytes()).unwrap();
            assert_eq!(signature.len(), 64);
            assert!(key.public().verifies("ES256", message.as_bytes(), &signature));
            assert!(!key.public().verifies("ES256", b"another", &signature));
            assert!(!other.public().verifies("ES256", message.as_bytes(), &signature));
            for algorithm in ["none", "HS256", "RS256", "ES384", ""] {
                assert!(!key.public().verifies(algorithm, message.as_bytes(), &signature), "{algorithm}");
            }
        }
    }

    #[test]
    fn keys_are_read_from_files_and_sets() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let key = SigningKey::read_pem(&pair.serialize_pem()).unwrap();
        let signature = key.sign(b"m").unwrap();
        let both = format!("{}{}", pair.public_key_pem(), pair.serialize_pem());
        for public in PublicKey::read_pem(&both).unwrap() {
            assert_eq!(&public, key.public());
        }
        let set = json!({"keys": [key.public().to_jwk(), {"use": "enc"}]}).to_string();
        let [public] = PublicKey::read_set(&set).unwrap().try_into().unwrap();
        assert_eq!((public.algorithm(), public.id()), ("ES384", key.public().id()));
        assert!(public.verifies("ES384", b"m", &signature));
        for (bad, expect) in [
            ("", "not valid"),
            ("{}", "\"keys\" is missing"),
            (r#"{"keys":[]}"#, "empty"),
            (r#"{"keys":[{"kty":"oct"}]}"#, "neither"),
            (r#"{"keys":[{"kty":"RSA","n":"!"}]}"#, "\"n\""),
            (r#"{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}]}"#, "length"),
        ] {
            let error = PublicKey::read_set(bad).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
        assert!(matches!(PublicKey::read_pem("nothing"), Err(Error::NoKey)));
    }
}
