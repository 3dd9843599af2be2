//! Writes the roles and bindings when a server starts. They are prepared once in a process: a start fills in uids and
//! times and stores them.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use serde_json::{Value, json};
use steersman_machinery::clock::format_time;
use steersman_machinery::managed_fields;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_store::{Attributes, Draft, Entry, Expect, Key, StoreError, Write};

use super::AUTOUPDATE;
use crate::authorization::rbac::GROUP;
use crate::authorization::rule::{self, PolicyRule};
use crate::handlers;
use crate::object;
use crate::registry::catalog::Catalog;
use crate::registry::resource::Resource;
use crate::server::{Server, unavailable};

/// Stands for what is only known when the object is stored.
const UID: &str = "{uid}";
const TIME: &str = "0001-01-01T00:00:00Z";
const REVISION: &str = "{revision}";

/// An object that is encoded but for its uid, its times and its revision.
struct Prepared {
    resource: Arc<Resource>,
    key: Key,
    object: Value,
    attributes: Arc<Attributes>,
    /// The text between what is to be filled in, and what follows it.
    pieces: Vec<(String, &'static str)>,
}

/// Makes what is missing; adds the rules and subjects that are missing from what is there.
pub(crate) async fn install(server: &Server) -> Result<(), Status> {
    static PREPARED: LazyLock<Vec<Prepared>> = LazyLock::new(prepare);
    let now = format_time(server.clock.now());
    for prepared in PREPARED.iter() {
        match server.store.commit(prepared.put(server, &now)).await {
            Ok(_) => {}
            Err(StoreError::Conflict(Some(entry))) => prepared.reconcile(server, &entry).await?,
            Err(error) => return Err(unavailable(&error)),
        }
    }
    Ok(())
}

fn prepare() -> Vec<Prepared> {
    let catalog = Catalog::builtin();
    let resource = |name| catalog.find(GROUP, "v1", name).expect("roles and bindings are built in").clone();
    let policy = super::policy();
    let roles = policy.roles.iter().map(|role| {
        let resource = resource(if role.namespace.is_empty() { "clusterroles" } else { "roles" });
        Prepared::new(resource, role.to_json())
    });
    let bindings = policy.bindings.iter().map(|binding| {
        let resource = resource(if binding.namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" });
        Prepared::new(resource, binding.to_json())
    });
    roles.chain(bindings).collect()
}

impl Prepared {
    fn new(resource: Arc<Resource>, object: Value) -> Self {
        let api_version = resource.api_version();
        let writer = managed_fields::Writer {
            manager: "kube-apiserver",
            subresource: "",
            api_version: &api_version,
            now: TIME.parse().expect("a time"),
            ty: resource.object_type.root(),
            reset_fields: &[],
            alike: None,
        };
        let mut object = writer.update(None, object);
        meta::set(&mut object, &["metadata", "uid"], UID);
        meta::set(&mut object, &["metadata", "creationTimestamp"], TIME);
        let key = object::key(&resource, meta::namespace(&object), meta::name(&object));
        let attributes = object::attributes(&object, &resource);
        let mut stored = object.clone();
        meta::set(&mut stored, &["metadata", "resourceVersion"], REVISION);
        meta::remove(&mut stored, &["apiVersion"]);
        meta::remove(&mut stored, &["kind"]);
        Self { resource, key, object, attributes, pieces: split(&stored.to_string()) }
    }

    fn draft(&self, uid: &str, now: &str) -> Draft {
        let (mut json, mut revision_at) = (Vec::with_capacity(1024), 0);
        for (text, next) in &self.pieces {
            json.extend_from_slice(text.as_bytes());
            match *next {
                UID => json.extend_from_slice(uid.as_bytes()),
                TIME => json.extend_from_slice(now.as_bytes()),
                REVISION => revision_at = json.len(),
                _ => {}
            }
        }
        Draft::new(json, revision_at)
    }

    /// Adds what is missing from an object of an earlier start, unless it says that it wants to be left alone.
    async fn reconcile(&self, server: &Server, entry: &Entry) -> Result<(), Status> {
        let live = object::decode(entry, &self.resource);
        if meta::annotation(&live, AUTOUPDATE) == Some("false") {
            return Ok(());
        }
        if meta::at(&live, &["roleRef"]) != meta::at(&self.object, &["roleRef"]) {
            return self.replace(server, entry).await;
        }
        let mut wanted = live.clone();
        for field in ["labels", "annotations"] {
            let ours = meta::at(&self.object, &["metadata", field]).and_then(Value::as_object);
            for (key, value) in ours.into_iter().flatten() {
                meta::set_default(&mut wanted, &["metadata", field, key], value.clone());
            }
        }
        add_rules(&mut wanted, &self.object);
        add_subjects(&mut wanted, &self.object);
        if wanted == live {
            return Ok(());
        }
        let written = handlers::put(server, &self.resource, &wanted, Expect::Revision(entry.revision)).await;
        written.map(drop).map_err(|error| unavailable(&error))
    }

    /// Puts a binding in the place of one to another role: that it is bound to cannot be changed.
    /// Source: `k8s.io/kubernetes/pkg/registry/rbac/reconciliation` (`ReconcileRecreate`).
    async fn replace(&self, server: &Server, entry: &Entry) -> Result<(), Status> {
        let expect = Expect::Revision(entry.revision);
        let gone = server.store.commit(Write::Delete { key: self.key.clone(), expect }).await;
        gone.map_err(|error| unavailable(&error))?;
        let write = self.put(server, &format_time(server.clock.now()));
        server.store.commit(write).await.map(drop).map_err(|error| unavailable(&error))
    }

    fn put(&self, server: &Server, now: &str) -> Write {
        Write::Put {
            key: self.key.clone(),
            draft: self.draft(&server.random.uuid(), now),
            attributes: Arc::clone(&self.attributes),
            expect: Expect::Absent,
        }
    }
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    meta::items(role, &["rules"]).iter().filter_map(|rule| PolicyRule::deserialize(rule).ok()).collect()
}

fn add_rules(live: &mut Value, ours: &Value) {
    let mut all = rules(live);
    let missing = rule::uncovered(&all, &rules(ours)).expect("what is built in stands for little");
    if !missing.is_empty() {
        all.extend(missing);
        meta::set(live, &["rules"], json!(all));
    }
}

fn add_subjects(live: &mut Value, ours: &Value) {
    let mut all = meta::items(live, &["subjects"]).to_vec();
    let missing: Vec<Value> =
        meta::items(ours, &["subjects"]).iter().filter(|subject| !all.contains(subject)).cloned().collect();
    if !missing.is_empty() {
        all.extend(missing);
        meta::set(live, &["subjects"], Value::Array(all));
    }
}

/// Cuts a text at everything that is to be filled in.
fn split(text: &str) -> Vec<(String, &'static str)> {
    let (mut rest, mut pieces) = (text, vec![]);
    let next = |rest: &str| [UID, TIME, REVISION].into_iter().filter_map(|it| Some((rest.find(it)?, it))).min();
    while let Some((at, what)) = next(rest) {
        pieces.push((rest[..at].to_owned(), what));
        rest = &rest[at + what.len()..];
    }
    pieces.push((rest.to_owned(), ""));
    pieces
}
