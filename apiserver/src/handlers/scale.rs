//! The scale subresource: how many replicas an object wants and has.
//! Source: `autoscaling/v1` Scale.

use serde_json::{Value, json};
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::group::{GroupKind, GroupVersionKind};
use steersman_machinery::labels;
use steersman_machinery::schema::TypeRef;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;
use steersman_machinery::{decode, managed_fields, meta, patch};

use super::patch::Patch;
use super::write::{self, Change, Part};
use super::{Answer, input, output};
use crate::http::negotiate::{self, Form, Output};
use crate::http::respond;
use crate::object;
use crate::options::{FieldValidation, WriteKind, WriteOptions};
use crate::printers::{self, TableOptions};
use crate::registry::resource::{Resource, ScalePaths};
use crate::server::unavailable;
use crate::service::Call;

const API_VERSION: &str = "autoscaling/v1";

/// Reads or writes the scale of an object.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let output = output::negotiate(call)?;
    let scale = match call.info.verb.as_str() {
        "get" => read(call, resource).await?,
        "update" => replace(call, resource).await?,
        _ => change(call, resource).await?,
    };
    answer(call, &scale, output)
}

fn answer(call: &Call, scale: &Value, output: Output) -> Answer {
    let Form::Table { beta } = output.form else {
        return Ok(respond::object(200, scale, output));
    };
    let options = TableOptions {
        version: if beta { "v1beta1" } else { "v1" },
        columns: true,
        include: call.query.text("includeObject").parse().map_err(output::bad_include)?,
        now: call.server.clock.now(),
    };
    let metadata = json!({"resourceVersion": meta::resource_version(scale)});
    let table = printers::table(&*printers::printer_for("autoscaling", "scale"), [scale], metadata, &options);
    Ok(respond::object(200, &table, output))
}

fn scale_type() -> TypeRef<'static> {
    let gvk = GroupVersionKind::new("autoscaling", "v1", "Scale");
    builtin::type_ref(&gvk).expect("the schema table has the Scale type")
}

async fn read(call: &Call, resource: &Resource) -> Result<Value, Status> {
    let key = object::key(resource, &call.info.namespace, &call.info.name);
    let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
    let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), &call.info.name))?;
    scale_of(resource, &object::decode(&entry, resource))
}

async fn replace(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    let options = WriteOptions::read(&call.query, WriteKind::Update, call.user_agent())?;
    let expected = input::Expected { api_version: API_VERSION, kind: "Scale", ty: Some(scale_type()) };
    let scale = input::typed(call, expected, options.field_validation)?;
    write(call, resource, &options, |_, _| Ok(scale.clone())).await
}

async fn change(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    if negotiate::content_type(&call.headers) == "application/apply-patch+yaml" {
        return apply(call, resource).await;
    }
    let options = WriteOptions::read(&call.query, WriteKind::Patch, call.user_agent())?;
    let patch = Patch::read(call, resource.custom)?;
    write(call, resource, &options, |resource, live| {
        let scale = scale_of(resource, live)?;
        let patched = match &patch {
            Patch::Json(patch) => patch::json::apply(&scale, patch)?,
            Patch::Merge(patch) => patch::merge::apply(&scale, patch),
            Patch::Strategic(patch) => patch::strategic::apply(&scale, patch, scale_type())?,
        };
        let decoded = decode::convert(patched, scale_type(), "Scale");
        Ok(decoded.map_err(|error| Status::bad_request(error.to_string()))?.object)
    })
    .await
}

/// The replicas that an apply sets; who owns them is recorded on the object that is scaled.
async fn apply(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    let options = WriteOptions::read(&call.query, WriteKind::Apply, call.user_agent())?;
    let config = input::yaml(&call.body).map_err(|why| Status::bad_request(format!("error decoding YAML: {why}")))?;
    let expected = input::Expected { api_version: API_VERSION, kind: "Scale", ty: Some(scale_type()) };
    let config = input::convert(call, config, expected, FieldValidation::Strict, Vec::new())?;
    let how = Change { subresource: "scale", part: Part::Main, options: &options, applied: true, replaces: false };
    let (now, force) = (call.server.clock.now(), options.force.unwrap_or(false));
    let scaled = write::update(call, resource, &how, |_, live| {
        let paths = paths(resource)?;
        let mut scale = scale_of(resource, live)?;
        let api_version = resource.api_version();
        let entries = managed_fields::to_scale(live, &paths.spec_steps());
        meta::set(&mut scale, &["metadata", "managedFields"], entries);
        let writer = managed_fields::Writer {
            manager: &options.field_manager,
            subresource: "scale",
            api_version: API_VERSION,
            now,
            ty: scale_type(),
            reset_fields: &[],
        };
        let applied = writer.apply(Some(&scale), config.clone(), force)?;
        let mut new = scaled(resource, live, &applied)?;
        managed_fields::from_scale(&mut new, &applied, &api_version, &paths.spec_steps());
        Ok(new)
    });
    scale_of(resource, &scaled.await?)
}

async fn write<F>(call: &mut Call, resource: &Resource, options: &WriteOptions, new: F) -> Result<Value, Status>
where
    F: Fn(&Resource, &Value) -> Result<Value, Status>,
{
    let how = Change { subresource: "scale", part: Part::Main, options, applied: false, replaces: false };
    let url = call.info.name.clone();
    let updated = write::update(call, resource, &how, |_, live| {
        let scale = new(resource, live)?;
        let name = meta::name(&scale);
        if !name.is_empty() && name != url {
            let message = format!("the name of the object ({name}) does not match the name on the URL ({url})");
            return Err(Status::bad_request(message));
        }
        scaled(resource, live, &scale)
    });
    scale_of(resource, &updated.await?)
}

fn paths(resource: &Resource) -> Result<&ScalePaths, Status> {
    resource.scale.as_ref().ok_or_else(Status::no_such_resource)
}

/// The scale of an object.
fn scale_of(resource: &Resource, object: &Value) -> Result<Value, Status> {
    let paths = paths(resource)?;
    let number = |path: &[&str]| meta::at(object, path).and_then(Value::as_i64);
    let spec = match number(&paths.spec_steps()) {
        None if resource.custom => {
            let path = &paths.spec;
            return Err(Status::untyped(format!("the spec replicas field {path:?} does not exist")));
        }
        replicas => replicas.unwrap_or(0),
    };
    let mut metadata = json!({});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = meta::at(object, &["metadata", field]) {
            metadata[field] = value.clone();
        }
    }
    let mut status = json!({"replicas": number(&paths.status_steps()).unwrap_or(0)});
    let selector = selector(paths, object);
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    let spec = if spec == 0 { json!({}) } else { json!({"replicas": spec}) };
    Ok(json!({"kind": "Scale", "apiVersion": API_VERSION, "metadata": metadata, "spec": spec, "status": status}))
}

fn selector(paths: &ScalePaths, object: &Value) -> String {
    match meta::at(object, &paths.selector_steps()) {
        Some(Value::String(text)) => text.clone(),
        Some(selector) if paths.plain_selector => labels::Selector::from_map(selector).to_string(),
        Some(selector) => labels::Selector::from_label_selector(selector).map(|it| it.to_string()).unwrap_or_default(),
        None => String::new(),
    }
}

/// The object with the replicas, and as preconditions the uid and resource version, of a scale.
fn scaled(resource: &Resource, live: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = meta::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    if replicas < 0 {
        let error =
            FieldError::invalid(&Path::from("spec.replicas"), &json!(replicas), "must be greater than or equal to 0");
        return Err(Status::invalid(&GroupKind::new("autoscaling", "Scale"), meta::name(live), &[error]));
    }
    let mut object = live.clone();
    for precondition in ["uid", "resourceVersion"] {
        let wanted = meta::text(scale, &["metadata", precondition]);
        if !wanted.is_empty() {
            meta::set(&mut object, &["metadata", precondition], wanted);
        }
    }
    meta::set(&mut object, &paths(resource)?.spec_steps(), replicas);
    Ok(object)
}
