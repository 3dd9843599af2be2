//! The kubeconfig that tells kubectl, helm and every other client where the cluster is and who they are.

use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The name of cluster, context and user in the file.
const NAME: &str = "steersman";

/// What a kubeconfig says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Contents<'a> {
    /// The address of the API server, `https://127.0.0.1:6443`.
    pub(crate) server: &'a str,
    /// The certificate of the authority that signed the server's, PEM.
    pub(crate) authority: &'a str,
    /// The client's certificate, PEM.
    pub(crate) certificate: &'a str,
    /// The client's key, PEM.
    pub(crate) key: &'a str,
}

/// The file's text.
pub(crate) fn render(contents: Contents<'_>) -> String {
    let Contents { server, .. } = contents;
    let [authority, certificate, key] =
        [contents.authority, contents.certificate, contents.key].map(|pem| STANDARD.encode(pem));
    format!(
        "apiVersion: v1
kind: Config
clusters:
- name: {NAME}
  cluster:
    server: {server}
    certificate-authority-data: {authority}
contexts:
- name: {NAME}
  context:
    cluster: {NAME}
    namespace: default
    user: {NAME}
current-context: {NAME}
users:
- name: {NAME}
  user:
    client-certificate-data: {certificate}
    client-key-data: {key}
"
    )
}

/// Writes a file that only its owner may read, for it holds a key. A file that is there already is replaced.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // A new file beside the old one, then renamed: whoever reads sees the old text or the new one, and the mode of an
    // older file does not stay.
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = folder.join(name);
    let result = create_private(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path));
    if result.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

fn create_private(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTENTS: Contents<'_> =
        Contents { server: "https://127.0.0.1:6443", authority: "A", certificate: "B", key: "C" };

    #[test]
    fn kube_reads_what_we_write() {
        let config = kube::config::Kubeconfig::from_yaml(&render(CONTENTS)).unwrap();
        assert_eq!(config.current_context.as_deref(), Some(NAME));
        let cluster = config.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(cluster.server.as_deref(), Some(CONTENTS.server));
        assert_eq!(cluster.certificate_authority_data.as_deref(), Some("QQ=="));
        let user = config.auth_infos[0].auth_info.as_ref().unwrap();
        assert_eq!(user.client_certificate_data.as_deref(), Some("Qg=="));
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_may_read_the_file() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::fs::write(&path, "older, readable by all").unwrap();
        write(&path, "text").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
