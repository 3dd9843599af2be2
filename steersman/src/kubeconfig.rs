//! The kubeconfig that tells kubectl, helm and every other client where the cluster is and who they are.

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
}
