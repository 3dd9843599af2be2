//! An image in the OCI image layout, as one archive. Docker's own list of the same blobs is beside it, for engines that
//! know only that.
//!
//! Source: opencontainers/image-spec, `image-layout.md`, `manifest.md`, `config.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;
use flate2::{Compression, GzBuilder};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::tar::Tree;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What an image is made of.
pub(super) struct Image {
    /// Under which name a runtime finds it: `name:tag`.
    pub(super) reference: String,
    /// `amd64` or `arm64`: Go's words.
    pub(super) architecture: String,
    /// What runs if nothing else is said.
    pub(super) entrypoint: String,
    /// `org.opencontainers.image.*`.
    pub(super) labels: BTreeMap<String, String>,
    /// From below, each with what it is for.
    pub(super) layers: Vec<(&'static str, Tree)>,
    /// 0 stores, 9 takes longest.
    pub(super) compression: u32,
}

/// The archive and what can be said of it.
pub(super) struct Archive {
    /// The bytes of the file.
    pub(super) bytes: Vec<u8>,
    /// Of the manifest: what names this very image.
    pub(super) digest: String,
    /// What a registry would keep: the compressed layers and the two documents.
    pub(super) compressed: usize,
}

/// The user that the programs run as: that of distroless images.
pub(super) const USER: u32 = 65532;

/// Builds the archive: the same from the same content.
pub(super) fn archive(image: &Image) -> Result<Archive> {
    let mut blobs = Blobs::default();
    let mut layers = Vec::new();
    let mut diff_ids = Vec::new();
    let mut history = Vec::new();
    for (purpose, tree) in &image.layers {
        let tar = tree.archive()?;
        diff_ids.push(sha256(&tar));
        layers.push(blobs.put(LAYER, gzip(&tar, image.compression)?));
        history.push(json!({"created": EPOCH, "created_by": purpose}));
    }
    let config = json!({
        "created": EPOCH,
        "architecture": image.architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "Env": ["PATH=/usr/local/bin"],
            "Entrypoint": [image.entrypoint],
            "WorkingDir": "/",
            "Labels": image.labels,
        },
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    });
    let config = blobs.put(CONFIG, serde_json::to_vec(&config)?);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers, "annotations": image.labels,
    });
    let mut manifest = blobs.put(MANIFEST, serde_json::to_vec(&manifest)?);
    let compressed = blobs.0.values().map(Vec::len).sum();
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    let tag = image.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    manifest["platform"] = json!({"architecture": image.architecture, "os": "linux"});
    manifest["annotations"] =
        json!({"org.opencontainers.image.ref.name": tag, "io.containerd.image.name": image.reference});
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]});
    let path = |descriptor: &Value| blob_path(descriptor["digest"].as_str().unwrap_or_default());
    let docker = json!([{
        "Config": path(&config),
        "RepoTags": [image.reference],
        "Layers": layers.iter().map(path).collect::<Vec<_>>(),
    }]);

    let mut tree = Tree::default();
    tree.file("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    tree.file("index.json", serde_json::to_vec(&index)?);
    tree.file("manifest.json", serde_json::to_vec(&docker)?);
    blobs.0.into_iter().for_each(|(digest, content)| tree.file(&blob_path(&digest), content));
    Ok(Archive { bytes: tree.archive()?, digest, compressed })
}

/// The time of everything: an image says what it was made of by its labels.
const EPOCH: &str = "1970-01-01T00:00:00Z";

/// By digest.
#[derive(Default)]
struct Blobs(BTreeMap<String, Vec<u8>>);

impl Blobs {
    /// Keeps the content and returns its descriptor.
    fn put(&mut self, media_type: &str, content: Vec<u8>) -> Value {
        let digest = sha256(&content);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": content.len()});
        self.0.insert(digest, content);
        descriptor
    }
}

fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// `sha256:…`.
pub(super) fn sha256(content: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in digest(&SHA256, content).as_ref() {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// Without a name or a time in its header. zstd would save a tenth; every engine reads gzip.
fn gzip(content: &[u8], level: u32) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::new(level));
    gzip.write_all(content)?;
    Ok(gzip.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let mut tree = Tree::default();
        tree.program("usr/local/bin/steersman", "#!");
        Image {
            reference: "localhost/steersman:1".to_owned(),
            architecture: "amd64".to_owned(),
            entrypoint: "/usr/local/bin/steersman".to_owned(),
            labels: BTreeMap::from([("org.opencontainers.image.title".to_owned(), "steersman".to_owned())]),
            layers: vec![("programs", tree)],
            compression: 6,
        }
    }

    #[test]
    fn the_same_content_makes_the_same_archive() {
        let (one, two) = (archive(&image()).unwrap(), archive(&image()).unwrap());
        assert_eq!(one.bytes, two.bytes);
        let mut other = image();
        other.labels.insert("org.opencontainers.image.version".to_owned(), "2".to_owned());
        assert_ne!(archive(&other).unwrap().digest, one.digest);
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sha256(b""), empty);
    }
}
