//! Taking away what a schema does not know.

use serde_json::Value;
use steersman_machinery::decode::MAX_PROBLEMS;
use steersman_machinery::field::told;
use steersman_machinery::schema::builtin;
use steersman_machinery::schema::{Type, TypeRef};

use super::{Additional, Structural};

/// Whether every object has a field of that name, whether its schema says so or not.
pub(super) fn is_implied(name: &str) -> bool {
    matches!(name, "apiVersion" | "kind" | "metadata")
}

/// Removes from an object what its schema does not declare, and returns the paths of that, sorted.
pub fn prune(object: &mut Value, schema: &Structural) -> Vec<String> {
    let mut walk = Walk { path: String::new(), gone: Vec::new() };
    walk.resource(object, schema);
    walk.gone.sort();
    walk.gone
}

struct Walk {
    path: String,
    gone: Vec<String>,
}

impl Walk {
    fn below(&mut self, step: &str, visit: impl FnOnce(&mut Self)) {
        let len = self.path.len();
        if len > 0 && !step.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(step);
        visit(self);
        self.path.truncate(len);
    }

    /// Notes that a field was taken away, as far as such are told.
    fn gone(&mut self, name: &str) {
        if self.gone.len() < MAX_PROBLEMS {
            self.below(name, |walk| walk.gone.push(told(&walk.path).to_owned()));
        }
    }

    /// The object itself, or one embedded in it: with its own metadata.
    fn resource(&mut self, value: &mut Value, schema: &Structural) {
        if let Some(metadata) = value.get_mut("metadata")
            && let Some(ty) = metadata_type()
        {
            self.below("metadata", |walk| walk.typed(metadata, ty));
        }
        self.fields(value, schema, true);
    }

    fn value(&mut self, value: &mut Value, schema: &Structural) {
        if schema.embedded {
            return self.resource(value, schema);
        }
        match value {
            Value::Array(items) => self.items(items, schema),
            _ => self.fields(value, schema, false),
        }
    }

    fn items(&mut self, items: &mut [Value], schema: &Structural) {
        for (index, item) in items.iter_mut().enumerate() {
            let nothing = Structural { preserve_unknown: schema.preserve_unknown, ..Structural::default() };
            let schema = schema.items.as_deref().unwrap_or(&nothing);
            self.below(&format!("[{index}]"), |walk| walk.value(item, schema));
        }
    }

    fn fields(&mut self, value: &mut Value, schema: &Structural, is_resource: bool) {
        let Value::Object(fields) = value else {
            return;
        };
        let implied = |name: &str| is_resource && is_implied(name);
        let keeps_unknown = schema.preserve_unknown || matches!(schema.additional, Additional::Any);
        fields.retain(|name, _| {
            let known = implied(name) || keeps_unknown || schema.member(name).is_some();
            if !known {
                self.gone(name);
            }
            known
        });
        for (name, value) in fields.iter_mut().filter(|(name, _)| !implied(name)) {
            if let Some(schema) = schema.member(name) {
                self.below(name, |walk| walk.value(value, schema));
            }
        }
    }

    /// Metadata, whose type is Kubernetes' own.
    fn typed(&mut self, value: &mut Value, ty: TypeRef<'_>) {
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| {
                    let known = ty.member(name).is_some() || matches!(ty.ty(), Type::Any);
                    if !known {
                        self.gone(name);
                    }
                    known
                });
                for (name, value) in fields.iter_mut() {
                    if let Some(ty) = ty.member(name) {
                        self.below(name, |walk| walk.typed(value, ty));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    if let Some(ty) = ty.items() {
                        self.below(&format!("[{index}]"), |walk| walk.typed(item, ty));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The type of metadata.
fn metadata_type() -> Option<TypeRef<'static>> {
    let pod = steersman_machinery::group::GroupVersionKind::new("", "v1", "Pod");
    builtin::type_ref(&pod)?.member("metadata")
}
