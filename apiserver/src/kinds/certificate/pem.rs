//! Certificate requests and certificates as PEM, in the words of Go's parsers as far as those can be told.
//! Source: Go's `encoding/pem`, `encoding/asn1` and `crypto/x509`; RFC 2986.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::Pem;
use x509_parser::prelude::{FromDer, X509Certificate};

const REQUEST: &str = "CERTIFICATE REQUEST";
const CERTIFICATE: &str = "CERTIFICATE";
/// The tag of a sequence in DER.
const SEQUENCE: u8 = 0x30;

/// Whether base64 holds a PEM block with a certificate request that is signed with the key in it.
///
/// # Errors
/// Why not.
pub(super) fn check_request(encoded: &str) -> Result<(), String> {
    let der = blocks(encoded).next().filter(|block| block.label == REQUEST);
    let der = der.ok_or("PEM block type must be CERTIFICATE REQUEST")?.contents;
    let (rest, request) =
        X509CertificationRequest::from_der(&der).map_err(|_| no_structure(&der, "certificateRequest"))?;
    if !rest.is_empty() {
        return Err("asn1: syntax error: trailing data".to_owned());
    }
    check_signature(&request)
}

/// Whether base64 holds certificates as PEM and nothing else, or nothing at all.
///
/// # Errors
/// Why not.
pub(super) fn check_certificates(encoded: &str) -> Result<(), String> {
    if encoded.is_empty() {
        return Ok(());
    }
    let mut found = false;
    for block in blocks(encoded) {
        if block.label != CERTIFICATE {
            return Err(format!("only CERTIFICATE PEM blocks are allowed, found {:?}", block.label));
        }
        found = true;
        if block.contents.is_empty() {
            return Err("found CERTIFICATE PEM block containing 0 certificates".to_owned());
        }
        X509Certificate::from_der(&block.contents).map_err(|_| "x509: malformed certificate")?;
    }
    if found { Ok(()) } else { Err("must contain at least one CERTIFICATE PEM block".to_owned()) }
}

/// The PEM blocks in base64. What is malformed is passed over, as Go does.
fn blocks(encoded: &str) -> impl Iterator<Item = Pem> {
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    Pem::iter_from_buffer(&bytes).filter_map(Result::ok).collect::<Vec<_>>().into_iter()
}

fn no_structure(der: &[u8], what: &str) -> String {
    match der {
        [] => "asn1: syntax error: sequence truncated".to_owned(),
        [SEQUENCE, ..] => format!("asn1: structure error: no {what}"),
        [tag, length, ..] => {
            let (class, compound) = (tag >> 6, tag & 0x20 != 0);
            format!(
                "asn1: structure error: tags don't match (16 vs {{class:{class} tag:{} length:{length} \
                 isCompound:{compound}}}) {{optional:false explicit:false application:false private:false \
                 defaultValue:<nil> tag:<nil> stringType:0 timeType:0 set:false omitEmpty:false}} {what} @2",
                tag & 0x1f,
            )
        }
        [_] => "asn1: syntax error: truncated tag or length".to_owned(),
    }
}

fn check_signature(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let (algorithm, complaint): (&dyn VerificationAlgorithm, _) =
        match request.signature_algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.11" => (&signature::RSA_PKCS1_2048_8192_SHA256, RSA),
            "1.2.840.113549.1.1.12" => (&signature::RSA_PKCS1_2048_8192_SHA384, RSA),
            "1.2.840.113549.1.1.13" => (&signature::RSA_PKCS1_2048_8192_SHA512, RSA),
            "1.2.840.10045.4.3.2" if key_bits(request) > 256 => (&signature::ECDSA_P384_SHA256_ASN1, ECDSA),
            "1.2.840.10045.4.3.2" => (&signature::ECDSA_P256_SHA256_ASN1, ECDSA),
            "1.2.840.10045.4.3.3" if key_bits(request) > 256 => (&signature::ECDSA_P384_SHA384_ASN1, ECDSA),
            "1.2.840.10045.4.3.3" => (&signature::ECDSA_P256_SHA384_ASN1, ECDSA),
            "1.3.101.112" => (&signature::ED25519, "x509: Ed25519 verification failure"),
            "1.2.840.113549.1.1.5" => return Err(insecure("SHA1-RSA")),
            "1.2.840.10045.4.1" => return Err(insecure("ECDSA-SHA1")),
            _ => return Err("x509: cannot verify signature: algorithm unimplemented".to_owned()),
        };
    let info = &request.certification_request_info;
    let key = UnparsedPublicKey::new(algorithm, &*info.subject_pki.subject_public_key.data);
    key.verify(info.raw, &request.signature_value.data).map_err(|_| complaint.to_owned())
}

const RSA: &str = "crypto/rsa: verification error";
const ECDSA: &str = "x509: ECDSA verification failure";

fn insecure(algorithm: &str) -> String {
    format!("x509: cannot verify signature: insecure algorithm {algorithm}")
}

/// The size of a coordinate of a point that is written without compression.
fn key_bits(request: &X509CertificationRequest<'_>) -> usize {
    request.certification_request_info.subject_pki.subject_public_key.data.len().saturating_sub(1) / 2 * 8
}
