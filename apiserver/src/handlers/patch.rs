//! PATCH in its four forms.
//! Source: Kubernetes docs "Update API Objects in Place Using kubectl patch" and "Server-Side Apply".

use serde_json::{Value, json};
use steersman_machinery::decode::{self, Parsed, TypeError};
use steersman_machinery::field::{FieldError, Path, go_quote};
use steersman_machinery::group::{GroupKind, GroupVersionKind};
use steersman_machinery::meta;
use steersman_machinery::patch;
use steersman_machinery::schema::TypeRef;
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

/// A patch that is not an apply, as it was read.
pub(super) struct Patch {
    document: Document,
    validation: FieldValidation,
}

enum Document {
    /// RFC 6902, as it came.
    Json(bytes::Bytes),
    /// RFC 7386.
    Merge(Parsed),
    /// By the strategies of the schema.
    Strategic(Parsed),
    /// What can't be read, and why; it counts only once there is an object to be patched.
    Unreadable(Box<Status>),
}

/// Changes an object by a patch; an apply makes it if it does not exist.
pub(super) async fn handle(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let content_type = negotiate::content_type(&call.headers);
    if content_type == APPLY_PATCH {
        return apply(call, resource, subresource).await;
    }
    let options = WriteOptions::read(&call.query, WriteKind::Patch, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let patch = Patch::read(call, resource.custom, options.field_validation)?;
    let how = Change::patch(resource, subresource, &options);
    let updated = write::update(call, resource, &how, |call, live| {
        let kind = (!resource.custom).then_some(resource.kind.as_str());
        let patched = || patch.apply(live, resource.object_type.root());
        let mut object = patch.decode(call, kind, patched, |made| input::shape_changed(resource, live, made))?;
        resource.default(&mut object);
        Ok(object)
    });
    let updated = updated.await?;
    output::written(call, resource, (200, &updated), output)
}

impl Document {
    fn read(media_type: &str, body: &bytes::Bytes, validation: FieldValidation) -> Option<Self> {
        Some(match media_type {
            JSON_PATCH if validation == FieldValidation::Ignore => Self::Json(body.clone()),
            JSON_PATCH => match patch::json::check_types(body) {
                Ok(()) => Self::Json(body.clone()),
                Err(error) => Self::Unreadable(Box::new(error.into())),
            },
            MERGE_PATCH => match document(body) {
                Ok(Parsed { value: Value::Null, .. }) => Self::unreadable("Invalid JSON Patch".to_owned()),
                Ok(parsed) => Self::Merge(parsed),
                Err(why) => Self::unreadable(format!("error decoding patch: {why}")),
            },
            STRATEGIC_PATCH => match document(body) {
                // Null changes nothing.
                Ok(Parsed { value: Value::Null, duplicates }) => {
                    Self::Strategic(Parsed { value: json!({}), duplicates })
                }
                Ok(parsed) => Self::Strategic(parsed),
                Err(why) => Self::unreadable(why),
            },
            _ => return None,
        })
    }

    fn unreadable(why: String) -> Self {
        Self::Unreadable(Box::new(Status::bad_request(why)))
    }

    fn problems(&self) -> Vec<String> {
        match self {
            Self::Json(patch) => patch::json::check_strict(patch),
            Self::Merge(patch) | Self::Strategic(patch) => {
                patch.duplicates.iter().map(|path| format!("duplicate field \"{path}\"")).collect()
            }
            Self::Unreadable(_) => Vec::new(),
        }
    }

    /// How upstream shows the value at fault: the result, or for strategic patches the patch as Go prints it.
    fn shown(&self, patched: &Value) -> String {
        go_quote(&match self {
            Self::Strategic(patch) => patch::go_print(&patch.value),
            _ => patched.to_string(),
        })
    }
}

impl Patch {
    /// Reads a patch that is not an apply.
    pub(super) fn read(call: &Call, custom: bool, validation: FieldValidation) -> Result<Self, Status> {
        let accepted: Vec<&str> = TYPES.into_iter().filter(|it| !custom || *it != STRATEGIC_PATCH).collect();
        let media_type = negotiate::content_type(&call.headers);
        let document = Some(media_type).filter(|it| accepted.contains(&it.as_str()));
        let document = document.and_then(|it| Document::read(&it, &call.body, validation));
        let document = document.ok_or_else(|| Status::unsupported_media_type(&accepted))?;
        Ok(Self { document, validation })
    }

    /// The object, which is of that type, with the patch applied.
    pub(super) fn apply(&self, object: &Value, ty: TypeRef<'_>) -> Result<Value, Status> {
        Ok(match &self.document {
            Document::Json(patch) => patch::json::apply(object, patch)?,
            Document::Merge(patch) => patch::merge::apply(object, &patch.value),
            Document::Strategic(patch) => patch::strategic::apply(object, &patch.value, ty)?,
            Document::Unreadable(why) => return Err((**why).clone()),
        })
    }

    /// Brings the patched object into the form of its type by `shape`, which gives the paths of unknown fields as well.
    /// `kind` is that of the object if it is a built-in one. `patched` makes the object, once more if it has to be shown.
    pub(super) fn decode(
        &self,
        call: &mut Call,
        kind: Option<&str>,
        patched: impl Fn() -> Result<Value, Status>,
        shape: impl FnOnce(Value) -> Result<(Value, Vec<String>), TypeError>,
    ) -> Result<Value, Status> {
        let invalid = |why: String| match patched() {
            Err(status) => status,
            Ok(patched) => {
                let error = FieldError::invalid_shown(&Path::new("patch"), self.document.shown(&patched), why);
                Status::invalid(&GroupKind::default(), "", &[error])
            }
        };
        let made = patched()?;
        let found = meta::text(&made, &["kind"]);
        match kind {
            Some(kind) if kind != found && !matches!(self.document, Document::Strategic(_)) => {
                return Err(invalid(format!("no conversion from {found} to {kind} exists")));
            }
            _ => {}
        }
        let (object, unknown) = shape(made).map_err(|error| invalid(error.to_string()))?;
        let mut problems = self.document.problems();
        problems.extend(unknown.iter().map(|path| format!("unknown field \"{path}\"")));
        match self.validation {
            FieldValidation::Strict if !problems.is_empty() => {
                return Err(invalid(format!("strict decoding error: {}", problems.join(", "))));
            }
            FieldValidation::Warn => call.warnings.extend(problems),
            _ => {}
        }
        Ok(object)
    }
}

/// The object, or null, that a merge patch is; else Go's words for why it is none.
fn document(body: &[u8]) -> Result<Parsed, String> {
    let parsed = decode::parse_json(body).map_err(|error| error.to_string())?;
    match &parsed.value {
        Value::Object(_) | Value::Null => Ok(parsed),
        other => {
            let kind = decode::kind_of(other);
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
    }
}

async fn apply(call: &mut Call, resource: &Resource, subresource: &str) -> Answer {
    let options = WriteOptions::read(&call.query, WriteKind::Apply, call.user_agent())?;
    let output = output::negotiate(call, resource)?;
    let config = read_config(call, &resource.gvk(), options.field_validation)?;
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
fn read_yaml(call: &mut Call, validation: FieldValidation) -> Result<Value, Status> {
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

/// Reads an applied configuration, which must be of that kind.
pub(super) fn read_config(
    call: &mut Call,
    kind: &GroupVersionKind,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let config = read_yaml(call, validation)?;
    let found = meta::gvk(&config);
    if found != *kind {
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
