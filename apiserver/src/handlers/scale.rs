//! The scale subresource: how many replicas an object wants and has.
//! Source: `autoscaling/v1` Scale.

use serde_json::{Value, json};
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::group::{GroupKind, GroupResource, GroupVersionKind};
use steersman_machinery::labels;
use steersman_machinery::schema::TypeRef;
use steersman_machinery::schema::builtin;
use steersman_machinery::status::Status;
use steersman_machinery::{decode, managed_fields, meta};

use super::patch::{Patch, read_config};
use super::write::{self, Change};
use super::{Answer, input, output};
use crate::conversion;
use crate::http::negotiate::{self, Form, Output};
use crate::http::respond;
use crate::object;
use crate::options::{WriteKind, WriteOptions};
use crate::printers::{self, TableOptions};
use crate::registry::resource::{Resource, ScalePaths};
use crate::server::unavailable;
use crate::service::Call;

const API_VERSION: &str = "autoscaling/v1";
const KIND: &str = "Scale";

fn gvk() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", KIND)
}

/// Reads or writes the scale of an object.
pub(super) async fn handle(call: &mut Call, resource: &Resource) -> Answer {
    let output = output::negotiate(call, resource)?;
    let scale = match call.info.verb.as_str() {
        "get" => read(call, resource).await?,
        "update" => replace(call, resource).await?,
        _ => change(call, resource).await?,
    };
    answer(call, &scale, output)
}

fn answer(call: &Call, scale: &Value, output: Output) -> Answer {
    let beta = match output.form {
        Form::Table { beta } => beta,
        Form::Metadata { beta } => {
            let partial = printers::partial(scale, negotiate::version(beta));
            return Ok(respond::object(200, &partial, output));
        }
        Form::Plain | Form::MetadataList { .. } => return Ok(respond::object(200, scale, output)),
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
    builtin::type_ref(&gvk()).expect("the schema table has the Scale type")
}

fn expected() -> input::Expected<'static> {
    input::Expected { api_version: API_VERSION, kind: KIND, ty: Some(scale_type()) }
}

async fn read(call: &Call, resource: &Resource) -> Result<Value, Status> {
    let key = object::key(resource, &call.info.namespace, &call.info.name);
    let entry = call.server.store.get(&key).await.map_err(|error| unavailable(&error))?;
    let entry = entry.ok_or_else(|| Status::not_found(&resource.group_resource(), &call.info.name))?;
    scale_of(resource, &conversion::read(&call.server, &entry, resource).await?)
}

async fn replace(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    let options = WriteOptions::read(&call.query, WriteKind::Update, call.user_agent())?;
    let mut scale = input::typed(call, expected(), options.field_validation)?;
    write::check_place(call, resource, &mut scale)?;
    write(call, resource, &options, |_, writer, live| Ok(writer.update(Some(live), scale.clone()))).await
}

async fn change(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    if negotiate::content_type(&call.headers) == "application/apply-patch+yaml" {
        return apply(call, resource).await;
    }
    let options = WriteOptions::read(&call.query, WriteKind::Patch, call.user_agent())?;
    let patch = Patch::read(call, resource.custom, options.field_validation)?;
    let shape = |patched| decode::convert(patched, scale_type(), KIND).map(|it| (it.object, it.unknown));
    write(call, resource, &options, |call, writer, live| {
        let scale = patch.decode(call, Some(KIND), || patch.apply(live, scale_type()), shape)?;
        refuse_uid(resource, live, &scale)?;
        Ok(writer.update(Some(live), scale))
    })
    .await
}

/// A patch that names another uid is refused here; that of a replacement is looked at where it is stored.
fn refuse_uid(resource: &Resource, live: &Value, scale: &Value) -> Result<(), Status> {
    let (wanted, found) = (meta::uid(scale), meta::uid(live));
    if wanted.is_empty() || wanted == found || resource.custom {
        return Ok(());
    }
    let scales = GroupResource::new(resource.group.clone(), format!("{}/scale", resource.name));
    let why = format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}");
    Err(Status::conflict(&scales, meta::name(live), why))
}

async fn apply(call: &mut Call, resource: &Resource) -> Result<Value, Status> {
    let options = WriteOptions::read(&call.query, WriteKind::Apply, call.user_agent())?;
    let config = read_config(call, &gvk(), options.field_validation)?;
    let force = options.force.unwrap_or(false);
    write(call, resource, &options, |_, writer, live| {
        let scale = writer.apply(Some(live), config.clone(), force)?;
        let decoded = decode::convert(scale, scale_type(), KIND);
        decoded.map(|it| it.object).map_err(|error| Status::bad_request(error.to_string()))
    })
    .await
}

/// Writes the replicas of the scale that `new` makes of the present one. Who owns them is kept with the object.
async fn write<F>(call: &mut Call, resource: &Resource, options: &WriteOptions, new: F) -> Result<Value, Status>
where
    F: Fn(&mut Call, &managed_fields::Writer<'_>, &Value) -> Result<Value, Status>,
{
    let how = Change::scale(resource, options);
    let now = call.server.clock.now();
    let updated = write::update(call, resource, &how, |call, live| {
        let steps = paths(resource)?.spec_steps();
        let owners = meta::at(live, &["metadata", "managedFields"]);
        let mut present = present(resource, live)?;
        meta::set(&mut present, &["metadata", "managedFields"], managed_fields::scale::from_object(owners, &steps));
        let writer = managed_fields::Writer {
            manager: &options.field_manager,
            subresource: "scale",
            api_version: API_VERSION,
            now,
            ty: scale_type(),
            reset_fields: &[],
            alike: None,
        };
        let mut scale = new(call, &writer, &present)?;
        write::check_place(call, resource, &mut scale)?;
        let mut object = scaled(resource, live, &scale)?;
        let scale_owners = meta::at(&scale, &["metadata", "managedFields"]);
        let owners = managed_fields::scale::to_object(owners, scale_owners, &resource.api_version(), &steps);
        meta::set(&mut object, &["metadata", "managedFields"], owners);
        Ok(object)
    });
    scale_of(resource, &updated.await?.object)
}

fn paths(resource: &Resource) -> Result<&ScalePaths, Status> {
    resource.scale.as_ref().ok_or_else(Status::no_such_resource)
}

/// The scale of an object. Custom objects that do not say how many they want have none.
fn scale_of(resource: &Resource, object: &Value) -> Result<Value, Status> {
    let paths = paths(resource)?;
    if resource.custom && meta::at(object, &paths.spec_steps()).is_none() {
        let path = format!(".{}", paths.spec);
        return Err(Status::internal(format!("the spec replicas field {path:?} does not exist")));
    }
    present(resource, object)
}

/// The scale from which a write starts.
pub(super) fn present(resource: &Resource, object: &Value) -> Result<Value, Status> {
    let paths = paths(resource)?;
    let number = |path: &[&str]| meta::at(object, path).and_then(Value::as_i64);
    let spec = number(&paths.spec_steps()).unwrap_or(0);
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
        Some(selector) if paths.plain_selector => labels::Selector::from_labels(meta::pairs(selector, &[])).to_string(),
        Some(selector) => labels::Selector::from_label_selector(selector).map(|it| it.to_string()).unwrap_or_default(),
        None => String::new(),
    }
}

/// Gives an object the replicas of a scale.
pub(super) fn take_over(resource: &Resource, scale: &Value, object: &mut Value) -> Result<(), Status> {
    let replicas = meta::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    meta::set(object, &paths(resource)?.spec_steps(), replicas);
    Ok(())
}

/// The object with the replicas, and as preconditions the uid and resource version, of a scale.
fn scaled(resource: &Resource, live: &Value, scale: &Value) -> Result<Value, Status> {
    let replicas = meta::at(scale, &["spec", "replicas"]).and_then(Value::as_i64).unwrap_or(0);
    // Those of custom objects are validated as the objects are.
    if replicas < 0 && !resource.custom {
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
