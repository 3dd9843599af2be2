//! Which objects a list, a watch or a deletecollection is about.

use steersman_machinery::fields;
use steersman_machinery::labels;
use steersman_machinery::status::Status;
use steersman_store::{Entry, Event, EventKind};

use crate::options::ListOptions;
use crate::registry::resource::Resource;
use crate::service::Call;

/// A namespace, a label selector and a field selector.
pub(super) struct Selection {
    namespace: Option<String>,
    /// The one name that is meant, if the path names an object.
    name: Option<String>,
    labels: Option<labels::Selector>,
    fields: fields::Selector,
}

/// What a watcher sees of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The object came into view.
    Added,
    /// The object changed.
    Modified,
    /// The object went out of view.
    Deleted,
}

impl Selection {
    /// Reads the selectors of a request.
    pub(super) fn read(call: &Call, resource: &Resource, options: &ListOptions) -> Result<Self, Status> {
        let labels = match options.label_selector.as_str() {
            "" => None,
            text => Some(labels::Selector::parse(text).map_err(|error| Status::bad_request(error.to_string()))?),
        };
        let fields =
            fields::Selector::parse(&options.field_selector).map_err(|error| Status::bad_request(error.to_string()))?;
        check_fields(resource, &fields)?;
        let mut namespace = Some(call.info.namespace.clone()).filter(|it| !it.is_empty() && resource.namespaced);
        if namespace.is_none() && resource.namespaced {
            namespace = fields.exact_match("metadata.namespace").map(str::to_owned);
        }
        let name = call.info.name_in_path.then(|| call.info.name.clone());
        let fields = fields.renamed(|field| resource.strategy.indexed_as(field));
        Ok(Self { namespace, name, labels, fields })
    }

    /// The namespace to which the selection is confined.
    pub(super) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether anything but the namespace is looked at.
    pub(super) fn is_selective(&self) -> bool {
        self.name.is_some() || self.labels.is_some() || !self.fields.requirements().is_empty()
    }

    /// Whether an entry is selected.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| &*entry.key.namespace == namespace)
            && self.name.as_deref().is_none_or(|name| &*entry.key.name == name)
            && self.labels.as_ref().is_none_or(|labels| labels.matches(|key| label(entry, key)))
            && self.fields.matches(|field| value(entry, field))
    }

    /// What a watcher with this selection sees of an event.
    pub(super) fn sees(&self, event: &Event) -> Option<Seen> {
        let before = event.previous.as_ref().is_some_and(|entry| self.matches(entry));
        let after = event.kind == EventKind::Put && self.matches(&event.entry);
        match (before, after) {
            (false, true) => Some(Seen::Added),
            (true, true) => Some(Seen::Modified),
            (true, false) => Some(Seen::Deleted),
            (false, false) => None,
        }
    }
}

fn label<'a>(entry: &'a Entry, key: &str) -> Option<&'a str> {
    let labels = &entry.attributes.labels;
    labels.binary_search_by(|(have, _)| (**have).cmp(key)).ok().map(|at| &*labels[at].1)
}

fn value<'a>(entry: &'a Entry, field: &str) -> Option<&'a str> {
    match field {
        "metadata.name" => Some(&entry.key.name),
        "metadata.namespace" => Some(&entry.key.namespace),
        field => entry.attributes.fields.iter().find(|(have, _)| *have == field).map(|(_, value)| &**value),
    }
}

fn check_fields(resource: &Resource, selector: &fields::Selector) -> Result<(), Status> {
    let own = resource.strategy.selectable_fields(&serde_json::json!({}));
    let by_namespace = resource.namespaced || resource.strategy.selects_by_namespace();
    for requirement in selector.requirements() {
        let field = requirement.field.as_str();
        let known = field == "metadata.name"
            || (field == "metadata.namespace" && by_namespace)
            || own.iter().any(|(name, _)| *name == field);
        if known {
            continue;
        }
        let message = resource.strategy.unknown_field(field);
        return Err(Status::bad_request(message));
    }
    Ok(())
}
