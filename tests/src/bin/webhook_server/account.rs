//! The server as a service account of the cluster.

use std::path::Path;

use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::config::AuthInfo;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// A client of the account whose files are in the folder, which holds the lease of its namespace.
pub(super) async fn connect(folder: &Path, url: &str) -> Client {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the account was mounted");
    let mut config = Config::new(url.parse().expect("a URL"));
    config.root_cert = Some(certificates(&read("ca.crt")));
    let token_file = Some(folder.join("token").display().to_string());
    config.auth_info = AuthInfo { token_file, ..AuthInfo::default() };
    let client = Client::try_from(config).expect("the authority is valid");
    hold(&client, &read("namespace")).await.expect("the account's role allows it");
    client
}

fn certificates(text: &str) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(text.as_bytes()).map(|it| it.expect("a certificate in PEM").to_vec()).collect()
}

/// Takes the lease, or renews it.
async fn hold(client: &Client, namespace: &str) -> kube::Result<()> {
    let leases = of(client, namespace, ("coordination.k8s.io", "v1", "Lease"));
    let spec = json!({"spec": {"holderIdentity": "webhook", "leaseDurationSeconds": 15}});
    match leases.patch("policy-webhook", &PatchParams::default(), &Patch::Merge(&spec)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let lease =
                DynamicObject::new("policy-webhook", &resource(("coordination.k8s.io", "v1", "Lease"))).data(spec);
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        other => other.map(drop),
    }
}

/// The images that the namespace of a request may use in any version.
pub(super) async fn exempted(api: Option<&Client>, request: &Value) -> kube::Result<Vec<String>> {
    let Some(client) = api else { return Ok(vec![]) };
    let namespace = request["namespace"].as_str().unwrap_or_default();
    let found = of(client, namespace, ("policy.example.com", "v1", "Exemption")).list(&ListParams::default()).await?;
    Ok(found.into_iter().filter_map(|it| Some(it.data["spec"]["image"].as_str()?.to_owned())).collect())
}

fn of(client: &Client, namespace: &str, kind: (&str, &str, &str)) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

fn resource((group, version, kind): (&str, &str, &str)) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
