//! A thin typed layer over [`kube::Client`]: any resource, any object type that can be deserialized.
//!
//! ```no_run
//! use kube::api::Patch;
//! use serde_json::json;
//! use steersman_framework::api::{Api, Resource, is_conflict};
//! use steersman_framework::meta::{ObjectKey, Partial};
//!
//! static CONFIG_MAPS: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");
//!
//! # async fn example(client: kube::Client) -> Result<(), kube::Error> {
//! let api = Api::new(client, "my-controller");
//! let key = ObjectKey::new("default", "settings");
//! let found: Partial = api.get(&CONFIG_MAPS, &key).await?;
//! let version = &found.metadata.resource_version;
//! let patch = Patch::Merge(json!({"metadata": {"resourceVersion": version}, "data": {"color": "blue"}}));
//! match api.patch::<Partial>(&CONFIG_MAPS, &key, &patch).await {
//!     // Somebody was faster: look again.
//!     Err(error) if is_conflict(&error) => Ok(()),
//!     other => other.map(|_| ()),
//! }
//! # }
//! ```

use std::borrow::Cow;
use std::fmt;

use http_body_util::BodyExt;
use kube::api::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Client, Error};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::meta::{Meta, ObjectKey, null_default};

/// Sends a request of whose answer nothing matters but whether it is a success. The answer is read, so that the connection can be
/// used again, but not kept.
///
/// # Errors
/// As [`Client::request_text`]: [`Error::Api`] with what the server says, and whatever keeps a request from being answered.
pub async fn send(client: &Client, request: http::Request<Vec<u8>>) -> Result<(), Error> {
    let response = client.send(request.map(Body::from)).await?;
    let code = response.status();
    let mut body = response.into_body();
    if !(code.is_client_error() || code.is_server_error()) {
        while let Some(frame) = body.frame().await {
            frame?;
        }
        return Ok(());
    }
    let body = body.collect_bytes().await?;
    let unreadable = |_| {
        let text = String::from_utf8_lossy(&body);
        Status::failure(text.trim(), "Failed to parse error data").with_code(code.as_u16())
    };
    Err(Error::Api(serde_json::from_slice(&body).unwrap_or_else(unreadable).boxed()))
}

/// A mark for the extensions of a request: whoever awaits it does nothing else meanwhile, so that a server in the same process may
/// answer it in the task that awaits it. Over a socket it means nothing.
#[derive(Clone, Copy, Debug)]
pub struct Alone;

/// Names one resource of the API, for instance `apps/v1` `replicasets`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version in the group.
    pub version: Cow<'static, str>,
    /// The kind of its objects.
    pub kind: Cow<'static, str>,
    /// Its name in paths.
    pub plural: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Resource {
    /// A resource that lives in namespaces and is known at compile time.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced: true,
        }
    }

    /// A cluster-scoped resource that is known at compile time.
    pub const fn cluster(group: &'static str, version: &'static str, kind: &'static str, plural: &'static str) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced: false,
        }
    }

    /// `group/version`, or the version alone for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of the collection; over all namespaces if `namespace` is empty.
    pub fn path(&self, namespace: &str) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        let version = self.api_version();
        if namespace.is_empty() || !self.namespaced {
            format!("{root}/{version}/{}", self.plural)
        } else {
            format!("{root}/{version}/namespaces/{namespace}/{}", self.plural)
        }
    }
}

impl Resource {
    /// What tells it apart in metrics, as upstream labels them.
    pub fn labels(&self) -> [(&'static str, &str); 2] {
        [("group", self.group.as_ref()), ("resource", self.plural.as_ref())]
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(&self.plural) } else { write!(f, "{}.{}", self.plural, self.group) }
    }
}

/// One page of a list.
#[derive(Clone, Debug, serde::Deserialize)]
pub struct Page<T> {
    /// The list's own metadata.
    #[serde(default)]
    pub metadata: PageMeta,
    /// The objects.
    #[serde(default = "Vec::new", deserialize_with = "null_default", bound = "T: serde::de::Deserialize<'de>")]
    pub items: Vec<T>,
}

/// Metadata of a list.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PageMeta {
    /// The version at which the list was taken.
    pub resource_version: String,
    /// Where the next page begins; empty on the last one.
    #[serde(rename = "continue")]
    pub continue_token: String,
}

/// What is read of the answer to a write.
#[derive(Clone, Debug, Default, serde::Deserialize)]
pub struct Written {
    /// The object's metadata after the write.
    #[serde(default)]
    pub metadata: Meta,
}

/// Reads and writes objects under one field manager. Clones share the client.
#[derive(Clone)]
pub struct Api {
    client: Client,
    field_manager: &'static str,
}

impl Api {
    /// An API that writes as `field_manager`.
    pub fn new(client: Client, field_manager: &'static str) -> Self {
        Self { client, field_manager }
    }

    /// The client below.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Reads one object from the server, past all caches.
    pub async fn get<T: DeserializeOwned>(&self, resource: &Resource, key: &ObjectKey) -> Result<T, Error> {
        let request = Request::new(resource.path(&key.namespace)).get(&key.name, &GetParams::default());
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Reads a subresource of one object.
    pub async fn get_subresource<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        subresource: &str,
    ) -> Result<T, Error> {
        let request = Request::new(resource.path(&key.namespace)).get_subresource(subresource, &key.name);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Reads the metadata of one object from the server, past all caches.
    pub async fn get_metadata<T: DeserializeOwned>(&self, resource: &Resource, key: &ObjectKey) -> Result<T, Error> {
        let request = Request::new(resource.path(&key.namespace)).get_metadata(&key.name, &GetParams::default());
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Reads one page of a list.
    pub async fn list<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        params: &ListParams,
    ) -> Result<Page<T>, Error> {
        let request = Request::new(resource.path(namespace)).list(params);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Reads one page of a list, metadata only.
    pub async fn list_metadata<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        params: &ListParams,
    ) -> Result<Page<T>, Error> {
        let request = Request::new(resource.path(namespace)).list_metadata(params);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Creates an object.
    pub async fn create<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        namespace: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(Error::SerdeError)?;
        let request = Request::new(resource.path(namespace)).create(&self.post_params(), body);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Patches an object.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        patch: &Patch<impl Serialize + fmt::Debug>,
    ) -> Result<T, Error> {
        let request = Request::new(resource.path(&key.namespace)).patch(&key.name, &self.patch_params(), patch);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Patches the `status` subresource of an object.
    pub async fn patch_status<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        patch: &Patch<impl Serialize + fmt::Debug>,
    ) -> Result<T, Error> {
        let collection = Request::new(resource.path(&key.namespace));
        let request = collection.patch_subresource("status", &key.name, &self.patch_params(), patch);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Replaces an object; with a `resourceVersion` in `body` only if it has not changed since.
    pub async fn replace<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(Error::SerdeError)?;
        let request = Request::new(resource.path(&key.namespace)).replace(&key.name, &self.post_params(), body);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Replaces a subresource of an object.
    pub async fn replace_subresource<T: DeserializeOwned>(
        &self,
        resource: &Resource,
        key: &ObjectKey,
        subresource: &str,
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, Error> {
        let body = serde_json::to_vec(body).map_err(Error::SerdeError)?;
        let collection = Request::new(resource.path(&key.namespace));
        let request = collection.replace_subresource(subresource, &key.name, &self.post_params(), body);
        self.client.request(request.map_err(Error::BuildRequest)?).await
    }

    /// Asks for the deletion of an object.
    pub async fn delete(&self, resource: &Resource, key: &ObjectKey, params: &DeleteParams) -> Result<(), Error> {
        let request = Request::new(resource.path(&key.namespace)).delete(&key.name, params);
        send(&self.client, request.map_err(Error::BuildRequest)?).await
    }

    /// Asks for the deletion of all objects of a resource in a namespace.
    pub async fn delete_collection(
        &self,
        resource: &Resource,
        namespace: &str,
        params: &DeleteParams,
    ) -> Result<(), Error> {
        let request = Request::new(resource.path(namespace)).delete_collection(params, &ListParams::default());
        send(&self.client, request.map_err(Error::BuildRequest)?).await
    }

    fn post_params(&self) -> PostParams {
        PostParams { field_manager: Some(self.field_manager.to_owned()), ..PostParams::default() }
    }

    fn patch_params(&self) -> PatchParams {
        PatchParams { field_manager: Some(self.field_manager.to_owned()), ..PatchParams::default() }
    }
}

/// Whether the server answered with this code.
pub fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

/// Whether the object is not there.
pub fn is_not_found(error: &Error) -> bool {
    has_code(error, 404)
}

/// Whether the write met another version or another object than it was meant for.
pub fn is_conflict(error: &Error) -> bool {
    has_code(error, 409) && !is_already_exists(error)
}

/// Whether a create met an object of the same name.
pub fn is_already_exists(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.reason == "AlreadyExists")
}

/// Whether a create was refused since its namespace is going away.
pub fn is_namespace_terminating(error: &Error) -> bool {
    let Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// The server's own words if it answered, else the error's text.
pub fn message(error: &Error) -> String {
    match error {
        Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        let pods = Resource::namespaced("", "v1", "Pod", "pods");
        let sets = Resource::namespaced("apps", "v1", "ReplicaSet", "replicasets");
        let namespaces = Resource::cluster("", "v1", "Namespace", "namespaces");
        assert_eq!(pods.path("a"), "/api/v1/namespaces/a/pods");
        assert_eq!(sets.path(""), "/apis/apps/v1/replicasets");
        assert_eq!(namespaces.path("a"), "/api/v1/namespaces");
        assert_eq!((sets.to_string(), pods.to_string()), ("replicasets.apps".into(), "pods".into()));
    }
}
