//! PATCH in its four forms.
//! Source: Kubernetes docs "Update API Objects in Place Using kubectl patch" and "Server-Side Apply".

use serde_json::{Value, json};
use steersman_machinery::decode::{self, Parsed};
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::group::{GroupKind, GroupVersionKind};
use steersman_machinery::meta;
use steersman_machinery::patch;
use steersman_machinery::status::Status;

use super::write::{self, Change};
use super::{Answer, input, output, yaml};
use crate::http::negotiate;
use crate::options::{FieldValidation, WriteKind, WriteOptions};
use crate::registry::resource::Resource;
use crate::service::Call;

const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// The media types of patches.
pub(super) const TYPES: [&str; 4] = [JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH];

/// A patch that was read.
pub(super) enum Patch {
    /// RFC 6902, as it came.
    Json(bytes::Bytes),
    /// RFC 7386.
    Merge(Parsed),
    /// By the strategies of the schema.
    Strategic(Parsed),
}

/// Changes an object by a patch; an apply makes it if it does not exist.
pub(super) async fn handle(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let content_type = negotiate::content_type(&call.headers);
    if content_type == APPLY_PATCH {
        return apply(call, resource, subresource).await;
    }
    let options = WriteOptions::read(&call.query, WriteKind::Patch, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let patch = Patch::read(call, resource.custom)?;
    let validation = options.field_validation;
    let how = Change::patch(resource, subresource, &options);
    let updated = write::update(call, resource, &how, |call, live| {
        let patched = patch.apply(live, resource)?;
        decode(call, resource, patched, validation, &patch)
    });
    let updated = updated.await?;
    output::written(call, resource, (200, &updated), output)
}

impl Patch {
    /// Reads a patch that is not an apply.
    pub(super) fn read(call: &Call, custom: bool) -> Result<Self, Status> {
        let accepted: Vec<&str> = TYPES.into_iter().filter(|it| !custom || *it != STRATEGIC_PATCH).collect();
        let value = || -> Result<Parsed, Status> {
            let parsed = decode::parse_json(&call.body).map_err(|error| Status::bad_request(error.to_string()))?;
            match parsed.value {
                Value::Object(_) => Ok(parsed),
                _ => Err(Status::bad_request("the patch must be a JSON object")),
            }
        };
        match negotiate::content_type(&call.headers).as_str() {
            JSON_PATCH => Ok(Self::Json(call.body.clone())),
            MERGE_PATCH => Ok(Self::Merge(value()?)),
            STRATEGIC_PATCH if !custom => Ok(Self::Strategic(value()?)),
            _ => Err(Status::unsupported_media_type(&accepted)),
        }
    }

    /// The document with the patch applied.
    pub(super) fn apply(&self, document: &Value, resource: &Resource) -> Result<Value, Status> {
        Ok(match self {
            Self::Json(patch) => patch::json::apply(document, patch)?,
            Self::Merge(patch) => patch::merge::apply(document, &patch.value),
            Self::Strategic(patch) => patch::strategic::apply(document, &patch.value, resource.object_type.root())?,
        })
    }

    fn problems(&self) -> Vec<String> {
        match self {
            Self::Json(patch) => patch::json::check_strict(patch),
            Self::Merge(patch) | Self::Strategic(patch) => {
                patch.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect()
            }
        }
    }

    /// How upstream shows the value at fault: the result, or for strategic patches the patch as Go prints it.
    fn shown(&self, patched: &Value) -> String {
        match self {
            Self::Json(_) | Self::Merge(_) => steersman_machinery::field::go_quote(&patched.to_string()),
            Self::Strategic(patch) => steersman_machinery::field::go_quote(&go_print(&patch.value)),
        }
    }
}

/// A JSON value as Go's `%+v` prints it.
fn go_print(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| format!("{key}:{}", go_print(value))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(go_print).collect::<Vec<_>>().join(" ")),
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

/// Brings the patched document into the form of its type.
fn decode(
    call: &mut Call,
    resource: &Resource,
    patched: Value,
    validation: FieldValidation,
    patch: &Patch,
) -> Result<Value, Status> {
    let mut problems = patch.problems();
    let invalid = |why: String| {
        let error = FieldError::invalid_shown(&Path::new("patch"), patch.shown(&patched), why);
        Status::invalid(&GroupKind::default(), "", &[error])
    };
    let kind = meta::text(&patched, &["kind"]);
    if !resource.custom && kind != resource.kind && !matches!(patch, Patch::Strategic(_)) {
        return Err(invalid(format!("no conversion from {kind} to {} exists", resource.kind)));
    }
    let shaped = input::shape(resource, patched.clone());
    let (mut object, unknown) = shaped.map_err(|error| invalid(error.to_string()))?;
    problems.extend(unknown.iter().map(|path| format!("unknown field \"{path}\"")));
    match validation {
        FieldValidation::Strict if !problems.is_empty() => {
            return Err(invalid(format!("strict decoding error: {}", problems.join(", "))));
        }
        FieldValidation::Warn => call.warnings.extend(problems),
        _ => {}
    }
    resource.default(&mut object);
    Ok(object)
}

async fn apply(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Apply, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let config = read_config(call, resource, options.field_validation)?;
    let recorder = write::writer(call, subresource, &options);
    let force = options.force.unwrap_or(false);
    let how = Change::apply(resource, subresource, &options);
    loop {
        let updated = write::update(call, resource, &how, |call, live| {
            let merged = recorder.apply(resource, Some(live), config.clone(), force)?;
            normalize(call, resource, merged)
        });
        match updated.await {
            Err(status) if status.is("NotFound") && subresource.is_empty() => {}
            updated => return output::written(call, resource, (200, &updated?), output),
        }
        refuse_uid(call, resource, &config)?;
        let mut object = normalize(call, resource, recorder.apply(resource, None, config.clone(), force)?)?;
        // There is no version that it could be compared with.
        meta::remove(&mut object, &["metadata", "resourceVersion"]);
        write::check_place(call, resource, &mut object)?;
        match write::create(call, resource, object, &options, true).await {
            // Somebody else made it in between: apply to that.
            Err(status) if status.is("AlreadyExists") && !options.dry_run => {}
            created => return output::written(call, resource, (201, &created?), output),
        }
    }
}

fn refuse_uid(call: &Call, resource: &Resource, config: &Value) -> Result<(), Status> {
    match meta::uid(config) {
        "" => Ok(()),
        uid => {
            let why =
                format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            Err(Status::conflict(&resource.group_resource(), &call.info.name, why))
        }
    }
}

/// Reads an applied configuration as YAML and reports its duplicate keys.
pub(super) fn read_yaml(call: &mut Call, validation: FieldValidation) -> Result<Value, Status> {
    const CONVERTING: &str = "decoding YAML: error converting YAML to JSON";
    let document = yaml::parse(&call.body);
    let document = document.map_err(|why| Status::bad_request(format!("error {CONVERTING}: yaml: {why}")))?;
    match (validation, input::yaml_error(&document.duplicates)) {
        (FieldValidation::Strict, Some(why)) => {
            return Err(Status::bad_request(format!("error strict {CONVERTING}: {why}")));
        }
        (FieldValidation::Warn, _) => call.warnings.extend(document.duplicates),
        _ => {}
    }
    Ok(document.value)
}

fn read_config(call: &mut Call, resource: &Resource, validation: FieldValidation) -> Result<Value, Status> {
    let config = read_yaml(call, validation)?;
    let found = meta::gvk(&config);
    if found != resource.gvk() {
        let GroupVersionKind { group, version, kind } = found;
        return Err(Status::bad_request(format!("invalid object type: {group}/{version}, Kind={kind}")));
    }
    if meta::at(&config, &["metadata", "managedFields"]).is_some_and(|fields| *fields != json!([])) {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    Ok(config)
}

fn normalize(call: &mut Call, resource: &Resource, merged: Value) -> Result<Value, Status> {
    input::complete(call, resource, merged, FieldValidation::Ignore, input::Problems::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_go_prints_them() {
        let value = json!({"spec": {"replicas": "three", "list": [1, {"a": null}]}});
        assert_eq!(go_print(&value), "map[spec:map[list:[1 map[a:<nil>]] replicas:three]]");
    }
}
