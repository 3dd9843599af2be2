//! Documents as they were sent, until what they describe changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use steersman_machinery::group::GroupVersion;

use super::{group_version_path, v2, v3};
use crate::http::respond;
use crate::registry::resource::Resource;

/// The documents of a server.
#[derive(Default)]
pub struct Cache {
    /// By the path of the group version, with the hash of what they describe.
    of_group_versions: Mutex<BTreeMap<String, Document>>,
    whole: Mutex<Option<Document>>,
    /// The part of the whole document that never changes.
    builtin: Mutex<Option<Arc<v2::Fragments>>>,
}

/// A document and the hash of what it describes, which is its ETag without quotes.
#[derive(Clone)]
pub struct Document {
    /// The hash.
    pub hash: String,
    /// The JSON.
    pub body: Bytes,
}

impl Cache {
    /// The OpenAPI 3.0 document of a group version that is served.
    pub fn v3(&self, catalog: &[Arc<Resource>], group_version: &GroupVersion) -> Document {
        let hash = v3::hash(catalog, &group_version.group, &group_version.version);
        let path = group_version_path(group_version);
        if let Some(known) = self.of_group_versions.lock().get(&path).filter(|known| known.hash == hash) {
            return known.clone();
        }
        let document = v3::document(catalog, &group_version.group, &group_version.version);
        let document = Document { hash, body: respond::json(&document, false).into() };
        let mut known = self.of_group_versions.lock();
        known.retain(|path, _| catalog.iter().any(|it| group_version_path(&it.gvk().group_version()) == *path));
        known.insert(path, document.clone());
        document
    }

    /// The Swagger 2.0 document of everything.
    pub fn v2(&self, catalog: &[Arc<Resource>]) -> Document {
        let hash = v2::hash(catalog);
        if let Some(known) = self.whole.lock().as_ref().filter(|known| known.hash == hash) {
            return known.clone();
        }
        let builtin = self.builtin.lock().clone().unwrap_or_else(|| Arc::new(v2::builtin(catalog)));
        *self.builtin.lock() = Some(builtin.clone());
        let document = Document { hash, body: v2::encode(&builtin, catalog).into() };
        *self.whole.lock() = Some(document.clone());
        document
    }
}
