//! The webhook server of these tests in a process of its own, with certificates made for it.

use std::path::Path;
use std::process::Stdio;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running server. It ends when this is dropped.
pub struct WebhookServer {
    /// The port at which it listens on this machine.
    pub port: u16,
    /// The certificate of the authority that signed its own, in PEM.
    pub authority: String,
    _process: Child,
    _files: Option<TempDir>,
}

impl WebhookServer {
    /// Starts the program `binary` with a certificate for these names.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start(binary: &str, names: &[&str]) -> Self {
        let files = tempfile::tempdir().expect("a temporary folder can be made");
        let authority = certify(files.path(), names).expect("certificates can be made");
        let server = Self::run(binary, files.path(), None).await;
        Self { authority, _files: Some(files), ..server }
    }

    /// Starts the program `binary` with what was mounted for it: `tls.crt`, `tls.key` and `ca.crt` in one folder, and the
    /// service account in another, beside the URL of the API.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn run(binary: &str, certificates: &Path, api: Option<(&Path, &str)>) -> Self {
        let mut command = Command::new(binary);
        command.args(["tls.crt", "tls.key"].map(|name| certificates.join(name)));
        if let Some((account, url)) = api {
            command.arg(account).arg(url);
        }
        let process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut process = process.expect("the server is built together with the tests");
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().expect("it was piped"));
        output.read_line(&mut line).await.expect("it says where it listens");
        let port = line.trim().parse().expect("it prints its port");
        let authority = std::fs::read_to_string(certificates.join("ca.crt")).unwrap_or_default();
        Self { port, authority, _process: process, _files: None }
    }
}

/// Writes a certificate and its key, and returns the authority's certificate.
fn certify(folder: &Path, names: &[&str]) -> Result<String, Box<dyn std::error::Error>> {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate()?)?;
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(names)?.signed_by(&key, &authority)?;
    std::fs::write(folder.join("tls.crt"), certificate.pem())?;
    std::fs::write(folder.join("tls.key"), key.serialize_pem())?;
    Ok(authority.pem())
}
