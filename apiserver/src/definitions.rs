//! What happens when a CustomResourceDefinition is written or goes: its names are accepted or not, its resources are
//! served or not, its instances are deleted before it.
//! Source: `k8s.io/apiextensions-apiserver/pkg/controller` (naming, establish, finalizer), done at once instead of later.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::{Entry, Expect, StoreError, Write};

use crate::authentication::{SYSTEM_MASTERS, UserInfo};
use crate::conversion;
use crate::crd;
use crate::handlers;
use crate::object;
use crate::registry::resource::Resource;
use crate::server::{Server, unavailable};

/// The resource under which the store keeps definitions.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
/// The finalizer that keeps a definition until its instances are gone.
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

fn is_definition(resource: &Resource) -> bool {
    resource.group == "apiextensions.k8s.io" && resource.name == "customresourcedefinitions"
}

/// Serves the custom resources of the definitions that are in the store when the server starts, and goes on with what an
/// earlier process began.
pub(crate) async fn restore(server: &Arc<Server>) -> Result<(), Status> {
    let definitions = all(server).await?;
    let groups: BTreeSet<&str> = definitions.iter().map(|definition| place(definition).0).collect();
    for group in groups {
        settle(server, group).await?;
    }
    for definition in definitions.iter().filter(|definition| meta::deletion_timestamp(definition).is_some()) {
        delete_instances(server, definition).await?;
    }
    Ok(())
}

/// Follows a write to any object. A definition is changed further, as controllers would: `object`, which answers the
/// client, stays as it was written.
pub(crate) async fn written(server: &Arc<Server>, resource: &Resource, object: &Value) -> Result<(), Status> {
    if !is_definition(resource) {
        return Ok(());
    }
    settle(server, place(object).0).await?;
    if meta::deletion_timestamp(object).is_some() {
        delete_instances(server, object).await?;
    }
    Ok(())
}

/// Follows the removal of any object.
pub(crate) async fn removed(server: &Arc<Server>, resource: &Resource, entry: &Entry) -> Result<(), Status> {
    if is_definition(resource) {
        let definition = object::decode(entry, resource);
        uninstall(server, &definition);
        return settle(server, place(&definition).0).await;
    }
    if resource.custom {
        let name = format!("{}.{}", resource.name, resource.group);
        if let Some(definition) = server.read(DEFINITIONS, "", &name).await?
            && meta::deletion_timestamp(&definition).is_some()
        {
            return finalize(server, &definition).await;
        }
    }
    Ok(())
}

async fn all(server: &Server) -> Result<Vec<Value>, Status> {
    let mut definitions = server.read_all(DEFINITIONS).await?;
    for definition in &mut definitions {
        object::set_type(definition, "apiextensions.k8s.io/v1", "CustomResourceDefinition");
    }
    Ok(definitions)
}

/// The definitions of a group. A definition is called `PLURAL.GROUP`, so that only those of the group are read.
async fn of_group(server: &Server, group: &str) -> Result<Vec<Value>, Status> {
    let snapshot = server.snapshot(DEFINITIONS).await?;
    let is_of = |name: &str| name.split_once('.').is_some_and(|(_, of)| of == group);
    let entries = snapshot.range(None, None).filter(|entry| is_of(&entry.key.name));
    let read = |entry: &Arc<Entry>| {
        let mut definition: Value =
            serde_json::from_slice(entry.bytes()).expect("the store holds what was encoded as JSON");
        object::set_type(&mut definition, "apiextensions.k8s.io/v1", "CustomResourceDefinition");
        definition
    };
    Ok(entries.map(read).collect())
}

/// Brings the status of every definition of a group up to date with its names and with those of the others, and serves
/// what is established. A definition that changes may give names free that another one wants.
async fn settle(server: &Arc<Server>, group: &str) -> Result<(), Status> {
    let _order = server.definitions.lock().await;
    let now = server.clock.now();
    let mut definitions = of_group(server, group).await?;
    for at in 0..definitions.len() {
        let mut definition = std::mem::take(&mut definitions[at]);
        for step in [crd::names::accept, crd::names::establish] {
            let status = step(&definition, &definitions, now);
            if definition.get("status") != Some(&status) {
                meta::set(&mut definition, &["status"], status);
                store(server, &mut definition).await?;
            }
        }
        install(server, &definition);
        definitions[at] = definition;
    }
    Ok(())
}

async fn store(server: &Server, definition: &mut Value) -> Result<(), Status> {
    let catalog = server.catalog();
    let found = catalog.find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
    let resource = found.ok_or_else(Status::no_such_resource)?;
    let revision = meta::resource_version(definition).parse().unwrap_or_default();
    match handlers::put(server, resource, definition, Expect::Revision(revision)).await {
        Ok(entry) => {
            meta::set(definition, &["metadata", "resourceVersion"], entry.revision.to_string());
            Ok(())
        }
        // Somebody wrote in between, and settles in turn.
        Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(unavailable(&error)),
    }
}

fn place(definition: &Value) -> (&str, &str) {
    (meta::text(definition, &["spec", "group"]), meta::text(definition, &["spec", "names", "plural"]))
}

fn install(server: &Server, definition: &Value) {
    let (group, plural) = place(definition);
    let generation = (meta::uid(definition).to_owned(), meta::generation(definition), is_served(definition));
    if server.is_installed(group, plural, &generation) {
        return;
    }
    let mut resources = crd::resources(definition);
    for resource in &mut resources {
        resource.served_since = server.store.revision();
    }
    server.replace_catalog(server.catalog().with_custom(group, plural, resources));
    server.installed(group, plural, Some(generation));
}

/// Whether the definition is established and whether it is on its way out.
fn is_served(definition: &Value) -> (bool, bool) {
    (crd::condition_is_true(definition, "Established"), meta::deletion_timestamp(definition).is_some())
}

fn uninstall(server: &Server, definition: &Value) {
    let (group, plural) = place(definition);
    server.replace_catalog(server.catalog().with_custom(group, plural, Vec::new()));
    server.installed(group, plural, None);
}

async fn delete_instances(server: &Arc<Server>, definition: &Value) -> Result<(), Status> {
    let (group, plural) = place(definition);
    let catalog = server.catalog();
    // In the version in which they are stored, so that nothing has to be converted.
    let storage = conversion::storage_version(definition);
    let all = || catalog.all().iter().filter(|it| it.custom && it.group == group && it.name == plural);
    let served = all().find(|it| it.version == storage).or_else(|| all().next()).cloned();
    if let Some(resource) = served {
        let user = UserInfo::known("system:apiserver", &[SYSTEM_MASTERS]);
        let root = format!("/apis/{group}/{}", resource.version);
        let snapshot = server.snapshot(&object::storage_name(&resource)).await?;
        for entry in snapshot.range(None, None) {
            let path = match &*entry.key.namespace {
                "" => format!("{root}/{plural}/{}", entry.key.name),
                namespace => format!("{root}/namespaces/{namespace}/{plural}/{}", entry.key.name),
            };
            let deleted = handlers::perform(server, user.clone(), (Method::DELETE, &path), &Value::Null);
            match Box::pin(deleted).await {
                Err(status) if !status.is("NotFound") => return Err(status),
                _ => {}
            }
        }
    }
    finalize(server, definition).await
}

/// Lets a definition go whose instances are gone.
async fn finalize(server: &Arc<Server>, definition: &Value) -> Result<(), Status> {
    let (group, plural) = place(definition);
    if !server.snapshot(&format!("{plural}.{group}")).await?.is_empty() {
        return Ok(());
    }
    let Some(mut definition) = server.read(DEFINITIONS, "", meta::name(definition)).await? else { return Ok(()) };
    object::set_type(&mut definition, "apiextensions.k8s.io/v1", "CustomResourceDefinition");
    let finalizers: Vec<Value> = meta::finalizers(&definition).filter(|it| *it != CLEANUP).map(Value::from).collect();
    if !finalizers.is_empty() {
        meta::set(&mut definition, &["metadata", "finalizers"], finalizers);
        return store(server, &mut definition).await;
    }
    let key = steersman_store::Key::new(DEFINITIONS, "", meta::name(&definition));
    let revision = meta::resource_version(&definition).parse().unwrap_or_default();
    match server.store.commit(Write::Delete { key, expect: Expect::Revision(revision) }).await {
        Ok(_) => {
            uninstall(server, &definition);
            settle(server, group).await
        }
        Err(StoreError::Conflict(_)) => Ok(()),
        Err(error) => Err(unavailable(&error)),
    }
}
