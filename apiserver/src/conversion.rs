//! Objects from one version of a resource into another: custom ones by the webhook of their definition, if it has one.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apiserver/conversion`; Kubernetes doc "Versions in
//! CustomResourceDefinitions", section "Webhook conversion".

mod answer;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::Entry;

use crate::crd::structural::{self, Structural};
use crate::object;
use crate::outbound;
use crate::outbound::target::Target;
use crate::registry::resource::Resource;
use crate::server::Server;

/// How long a conversion may take, in seconds.
const TIMEOUT_SECONDS: u64 = 30;
/// The group of conversion reviews.
const GROUP: &str = "apiextensions.k8s.io";

/// The conversion webhook of a definition.
#[derive(Clone, Debug)]
pub struct Conversion {
    target: Result<Target, String>,
    review_version: Option<String>,
    /// The `apiVersion` of what is stored.
    storage: String,
    /// The `apiVersion` of what was stored before anybody noted it.
    first: String,
    schemas: BTreeMap<String, Arc<Structural>>,
}

impl Conversion {
    /// That of a definition; `None` if its versions differ in nothing but their names.
    pub(crate) fn of(definition: &Value) -> Option<Self> {
        let conversion = meta::at(definition, &["spec", "conversion"])?;
        if meta::text(conversion, &["strategy"]) != "Webhook" {
            return None;
        }
        let group = meta::text(definition, &["spec", "group"]);
        let api_version = |version: &str| format!("{group}/{version}");
        let versions = meta::items(definition, &["spec", "versions"]);
        let schema = |version: &Value| {
            let schema = meta::at(version, &["schema", "openAPIV3Schema"]).cloned().unwrap_or_default();
            (api_version(meta::text(version, &["name"])), Arc::new(Structural::parse(&schema)))
        };
        let storage = storage_version(definition);
        let first = meta::items(definition, &["status", "storedVersions"]).first().and_then(Value::as_str);
        let understood = meta::items(conversion, &["webhook", "conversionReviewVersions"]).iter();
        let client_config = meta::at(conversion, &["webhook", "clientConfig"]).unwrap_or(&Value::Null);
        Some(Self {
            target: Target::from_client_config(client_config),
            review_version: understood
                .filter_map(Value::as_str)
                .find(|it| matches!(*it, "v1" | "v1beta1"))
                .map(str::to_owned),
            storage: api_version(storage),
            first: api_version(first.unwrap_or(storage)),
            schemas: versions.iter().map(schema).collect(),
        })
    }

    /// A stored object as its own version's schema has it.
    fn stored(&self, entry: &Entry, kind: &str) -> Value {
        let mut object: Value =
            serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON");
        let version = match meta::text(&object, &["apiVersion"]) {
            "" => self.first.clone(),
            version => version.to_owned(),
        };
        object::set_type(&mut object, &version, kind);
        if let Some(schema) = self.schemas.get(&version) {
            structural::prune(&mut object, schema);
            structural::default(&mut object, schema);
        }
        object
    }

    /// Converts objects, of which some may be of that version already.
    async fn run(&self, server: &Arc<Server>, objects: Vec<Value>, version: &str) -> Result<Vec<Value>, String> {
        let foreign: Vec<&Value> = objects.iter().filter(|it| meta::text(it, &["apiVersion"]) != version).collect();
        let Some(first) = foreign.first() else { return Ok(objects) };
        let kind = answer::go_kind(first);
        let failed = |why: String| format!("conversion webhook for {kind} failed: {why}");
        let target = self.target.as_ref().map_err(Clone::clone)?;
        let review_version = self.review_version.as_deref().ok_or("no supported conversion review versions")?;
        let uid = server.random.uuid();
        let review = json!({
            "kind": "ConversionReview", "apiVersion": format!("{GROUP}/{review_version}"),
            "request": {"uid": uid, "desiredAPIVersion": version, "objects": foreign},
        });
        let sent = foreign.len();
        let answered = outbound::review::post(server, target, TIMEOUT_SECONDS, &review).await.map_err(failed)?;
        let strict = review_version == "v1";
        let converted = answer::objects(answered, &uid, strict).map_err(failed)?;
        if converted.len() != sent {
            let count = converted.len();
            return Err(format!("conversion webhook for {kind} returned {count} objects, expected {sent}"));
        }
        let mut converted = converted.into_iter();
        let mut put_back = |original: Value| {
            if meta::text(&original, &["apiVersion"]) == version {
                return Ok(original);
            }
            let converted = converted.next().unwrap_or_default();
            answer::checked(&original, converted, version).map_err(|fault| fault.text(&kind))
        };
        objects.into_iter().map(&mut put_back).collect()
    }
}

/// The name of the version in which a definition's objects are stored.
pub(crate) fn storage_version(definition: &Value) -> &str {
    let mut versions = meta::items(definition, &["spec", "versions"]).iter();
    versions.find(|it| it.get("storage") == Some(&Value::Bool(true))).map_or("", |it| meta::text(it, &["name"]))
}

/// The object of an entry, as it is served by `resource`.
pub(crate) async fn read(server: &Arc<Server>, entry: &Entry, resource: &Resource) -> Result<Value, Status> {
    let mut objects = read_all(server, std::iter::once(entry), resource).await?;
    objects.pop().ok_or_else(|| Status::internal("an object got lost in conversion"))
}

/// The objects of entries, as they are served by `resource`; a webhook is asked once for all of them.
pub(crate) async fn read_all<'a>(
    server: &Arc<Server>,
    entries: impl Iterator<Item = &'a Entry>,
    resource: &Resource,
) -> Result<Vec<Value>, Status> {
    let Some(conversion) = resource.strategy.conversion() else {
        return Ok(entries.map(|entry| object::decode(entry, resource)).collect());
    };
    let stored = entries.map(|entry| conversion.stored(entry, &resource.kind)).collect();
    let mut objects = conversion.run(server, stored, &resource.api_version()).await.map_err(Status::untyped)?;
    objects.iter_mut().for_each(|object| resource.strategy.to_served(object));
    Ok(objects)
}

/// An object of `resource` in the version in which it is stored.
pub(crate) async fn to_store<'a>(
    server: &Arc<Server>,
    resource: &Resource,
    object: &'a Value,
) -> Result<Cow<'a, Value>, Status> {
    let Some(conversion) = resource.strategy.conversion() else { return Ok(Cow::Borrowed(object)) };
    if conversion.storage == resource.api_version() {
        return Ok(Cow::Borrowed(object));
    }
    let mut original = object.clone();
    object::set_type(&mut original, &resource.api_version(), &resource.kind);
    let mut converted = conversion.run(server, vec![original], &conversion.storage).await.map_err(Status::untyped)?;
    let mut stored = converted.pop().unwrap_or_default();
    if let Some(schema) = conversion.schemas.get(&conversion.storage) {
        structural::prune(&mut stored, schema);
        structural::default(&mut stored, schema);
    }
    Ok(Cow::Owned(stored))
}

/// The object, which is of the version `from`, in the version `to` of the same resource.
///
/// # Errors
/// Why it cannot be converted.
pub(crate) async fn convert(
    server: &Arc<Server>,
    from: &Resource,
    to: &Resource,
    mut object: Value,
) -> Result<Value, String> {
    if from.version == to.version && from.group == to.group {
        return Ok(object);
    }
    if let Some(conversion) = to.strategy.conversion() {
        let mut converted = conversion.run(server, vec![object], &to.api_version()).await?;
        return Ok(converted.pop().unwrap_or_default());
    }
    if !to.custom {
        from.strategy.to_stored(&mut object);
    }
    object::set_type(&mut object, &to.api_version(), &to.kind);
    if !to.custom {
        to.strategy.to_served(&mut object);
    }
    Ok(object)
}
