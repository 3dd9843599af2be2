//! Why an apply fails.

use serde_json::Value;
use thiserror::Error;

use crate::field_set::FieldSet;
use crate::meta;
use crate::status::Status;

/// The fields that a configuration would take from another manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The other manager as it is named to people: `"curl" with subresource "scale" using apps/v1`.
    pub manager: String,
    /// The fields.
    pub fields: FieldSet,
}

/// Why an apply fails; becomes a [`Status`] with upstream's text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ApplyError {
    /// 409: others own fields that the configuration sets to other values.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
    /// 400: the configuration is of another version than the endpoint.
    #[error("Incorrect version specified in apply patch. Specified patch version: {specified}, expected: {expected}")]
    WrongVersion {
        /// The version of the configuration.
        specified: String,
        /// The version of the endpoint.
        expected: String,
    },
    /// 400: the configuration has managedFields.
    #[error("metadata.managedFields must be nil")]
    ManagedFieldsGiven,
    /// 500: the configuration does not fit its type.
    #[error("{0}")]
    NotTyped(String),
}

impl ApplyError {
    pub(super) fn not_typed(config: &Value, errors: &[String]) -> Self {
        let gvk = meta::gvk(config);
        let (namespace, name) = (meta::namespace(config), meta::name(config));
        let errors = match errors {
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        // The version is printed with its slash even in the core group.
        let version = format!("{}/{}", gvk.group, gvk.version);
        let kind = &gvk.kind;
        Self::NotTyped(format!(
            "failed to create typed patch object ({namespace}/{name}; {version}, Kind={kind}): {errors}"
        ))
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    let all: Vec<(&Conflict, Vec<String>)> = conflicts.iter().map(|it| (it, it.fields.paths())).collect();
    match all.iter().map(|(_, paths)| paths.len()).sum() {
        1_usize => {
            let (manager, path) = all.first().map_or(("", ""), |(conflict, paths)| {
                (conflict.manager.as_str(), paths.first().map_or("", String::as_str))
            });
            format!("Apply failed with 1 conflict: conflict with {manager}: {path}")
        }
        count => {
            let lines: Vec<String> = all
                .iter()
                .flat_map(|(conflict, paths)| {
                    let heading = format!("conflicts with {}:", conflict.manager);
                    std::iter::once(heading).chain(paths.iter().map(|path| format!("- {path}")))
                })
                .collect();
            format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
        }
    }
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Conflicts(conflicts) => {
                let mut status = Self::failure(409, "Conflict", message);
                for conflict in conflicts {
                    let cause = format!("conflict with {}", conflict.manager);
                    for path in conflict.fields.paths() {
                        status = status.with_cause("FieldManagerConflict", cause.as_str(), &path);
                    }
                }
                status
            }
            ApplyError::WrongVersion { .. } | ApplyError::ManagedFieldsGiven => Self::bad_request(message),
            ApplyError::NotTyped(_) => Self::untyped(message),
        }
    }
}
