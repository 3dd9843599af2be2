//! The options of requests: query parameters and DeleteOptions bodies, with upstream's checks.
//! Source: `metav1.ListOptions`, `CreateOptions`, `PatchOptions`, `DeleteOptions` and their validation.

use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError, Path, go_quote, show};
use steersman_machinery::group::GroupKind;
use steersman_machinery::status::Status;
use steersman_machinery::{meta, object_meta};

use crate::http::query::{Query, parse_uint};

/// How to treat unknown and duplicate fields in a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Drop them silently.
    Ignore,
    /// Drop them and warn: the default.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// The options of create, update and patch.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Nothing is stored.
    pub dry_run: bool,
    /// Who owns what is written.
    pub field_manager: String,
    /// How to treat unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Whether an apply takes fields away from other managers.
    pub force: Option<bool>,
    /// `fieldManager` and `fieldValidation` as the client gave them; empty if it did not.
    pub given: (String, String),
}

/// Which kind of options is read; decides the name in errors and the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteKind {
    /// POST.
    Create,
    /// PUT.
    Update,
    /// PATCH that is not an apply.
    Patch,
    /// PATCH with an apply body.
    Apply,
}

/// The only value of `dryRun`.
const DRY_RUN_ALL: &str = "All";
/// The most bytes of a field manager's name that is taken from a user agent.
const FIELD_MANAGER_MAX: usize = 128;

fn invalid(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    match errors {
        [] => Ok(()),
        errors => Err(Status::invalid(&GroupKind::new("meta.k8s.io", kind), "", errors)),
    }
}

impl WriteOptions {
    /// Reads the options from the query. An empty field manager is taken from the user agent.
    pub fn read(query: &Query, kind: WriteKind, user_agent: &str) -> Result<Self, Status> {
        let mut errors = ErrorList::new();
        let dry_run = read_dry_run(query.all("dryRun"), &mut errors);
        let manager = query.text("fieldManager");
        check_field_manager(manager, kind, &mut errors);
        let field_validation = match query.text("fieldValidation") {
            "" | "Warn" => FieldValidation::Warn,
            "Ignore" => FieldValidation::Ignore,
            "Strict" => FieldValidation::Strict,
            other => {
                let path = Path::new("fieldValidation");
                errors.push(FieldError::not_supported(&path, other, &["", "Ignore", "Strict", "Warn"]));
                FieldValidation::Warn
            }
        };
        let force = query.optional_flag("force");
        if kind == WriteKind::Patch && force.is_some() {
            errors.push(FieldError::forbidden(&Path::new("force"), "may not be specified for non-apply patch"));
        }
        invalid(
            match kind {
                WriteKind::Create => "CreateOptions",
                WriteKind::Update => "UpdateOptions",
                WriteKind::Patch | WriteKind::Apply => "PatchOptions",
            },
            &errors,
        )?;
        let field_manager = if manager.is_empty() { manager_from_agent(user_agent) } else { manager.to_owned() };
        let given = (manager.to_owned(), query.text("fieldValidation").to_owned());
        Ok(Self { dry_run, field_manager, field_validation, force, given })
    }

    /// The options as an object of that kind, as admission shows them.
    pub fn to_json(&self, kind: &str) -> Value {
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            options["dryRun"] = json!([DRY_RUN_ALL]);
        }
        for (field, text) in [("fieldManager", &self.given.0), ("fieldValidation", &self.given.1)] {
            if !text.is_empty() {
                options[field] = json!(text);
            }
        }
        options
    }
}

fn read_dry_run<'a>(values: impl Iterator<Item = &'a str>, errors: &mut ErrorList) -> bool {
    let values: Vec<&str> = values.collect();
    if values.iter().any(|value| *value != DRY_RUN_ALL) {
        let mut error = FieldError::not_supported(&Path::new("dryRun"), "", &[DRY_RUN_ALL]);
        error.value = show(&json!(values));
        errors.push(error);
    }
    values.contains(&DRY_RUN_ALL)
}

fn check_field_manager(manager: &str, kind: WriteKind, errors: &mut ErrorList) {
    let path = Path::new("fieldManager");
    if kind == WriteKind::Apply && manager.is_empty() {
        errors.push(FieldError::required(&path, "is required for apply patch"));
    }
    errors.extend(object_meta::validate_field_manager(manager, &path));
}

/// The part of a user agent before the first slash, printable characters only, at most 128 bytes.
fn manager_from_agent(agent: &str) -> String {
    let mut manager = String::new();
    for c in agent.split('/').next().unwrap_or_default().chars().filter(|c| !c.is_control()) {
        if manager.len() + c.len_utf8() > FIELD_MANAGER_MAX {
            break;
        }
        manager.push(c);
    }
    manager
}

/// What a client knows of the resource version that it wants to see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Match {
    /// Not said.
    #[default]
    Unset,
    /// That version or a newer one.
    NotOlderThan,
    /// Exactly that version.
    Exact,
}

/// The options of list, watch and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// The label selector as text.
    pub label_selector: String,
    /// The field selector as text.
    pub field_selector: String,
    /// Whether bookmarks may be sent.
    pub allow_bookmarks: bool,
    /// The resource version; `None` if not given.
    pub resource_version: Option<u64>,
    /// How the resource version is meant.
    pub version_match: Match,
    /// How long a watch lasts, in seconds; one with less than none ends at once.
    pub timeout_seconds: Option<u64>,
    /// The most objects in one answer; 0 for all.
    pub limit: usize,
    /// Where to go on with a list.
    pub continue_token: String,
    /// Whether a watch begins with the present objects.
    pub send_initial_events: Option<bool>,
}

impl ListOptions {
    /// Reads the options from the query.
    pub fn read(query: &Query, watch: bool) -> Result<Self, Status> {
        let match_text = query.text("resourceVersionMatch");
        let version_match = match match_text {
            "NotOlderThan" => Match::NotOlderThan,
            "Exact" => Match::Exact,
            _ => Match::Unset,
        };
        let positive = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let options = Self {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: read_version(query.text("resourceVersion"), watch)?,
            version_match,
            timeout_seconds: query
                .integer("timeoutSeconds")?
                .filter(|seconds| *seconds != 0)
                .map(|it| it.max(0).cast_unsigned()),
            limit: positive(query.integer("limit")?).and_then(|limit| usize::try_from(limit).ok()).unwrap_or(0),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.optional_flag("sendInitialEvents"),
        };
        let errors = if watch { options.watch_errors(match_text) } else { options.list_errors(match_text) };
        invalid("ListOptions", &errors)?;
        Ok(options)
    }

    fn list_errors(&self, match_text: &str) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("resourceVersionMatch");
        if self.send_initial_events.is_some() {
            let detail = "sendInitialEvents is forbidden for list";
            errors.push(FieldError::forbidden(&Path::new("sendInitialEvents"), detail));
        }
        if match_text.is_empty() {
            return errors;
        }
        if self.resource_version.is_none() {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            errors.push(FieldError::forbidden(&path, detail));
        }
        errors.extend(self.match_with_continue());
        if self.version_match == Match::Unset {
            errors.push(FieldError::not_supported(&path, match_text, &["Exact", "NotOlderThan", ""]));
        }
        if self.version_match == Match::Exact && self.resource_version == Some(0) {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            errors.push(FieldError::forbidden(&path, detail));
        }
        errors
    }

    fn watch_errors(&self, match_text: &str) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new("resourceVersionMatch");
        if self.send_initial_events.is_some() && self.version_match != Match::NotOlderThan {
            let detail = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
            errors.push(FieldError::forbidden(&path, detail));
        }
        if match_text.is_empty() {
            return errors;
        }
        if self.send_initial_events.is_none() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            errors.push(FieldError::forbidden(&path, detail));
        }
        if self.version_match != Match::NotOlderThan {
            errors.push(FieldError::not_supported(&path, match_text, &["NotOlderThan"]));
        }
        errors.extend(self.match_with_continue());
        errors
    }

    fn match_with_continue(&self) -> Option<FieldError> {
        let detail = "resourceVersionMatch is forbidden when continue is provided";
        (!self.continue_token.is_empty()).then(|| FieldError::forbidden(&Path::new("resourceVersionMatch"), detail))
    }
}

/// Reads a resource version; empty is `None`.
pub fn read_version(text: &str, watch: bool) -> Result<Option<u64>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    parse_uint(text).map(Some).map_err(|why| {
        let why = format!("Invalid value: {}: {why}", go_quote(text));
        match watch {
            true => Status::untyped(format!("resourceVersion: {why}")),
            false => Status::bad_request(format!("invalid resource version: resourceVersion: {why}")),
        }
    })
}

/// What happens to the dependents of a deleted object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They are deleted after it, by the garbage collector.
    Background,
    /// They are deleted before it.
    Foreground,
    /// They stay.
    Orphan,
}

/// The options of delete and deletecollection.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Nothing is deleted.
    pub dry_run: bool,
    /// The seconds until the object is gone.
    pub grace_period: Option<i64>,
    /// What happens to the dependents; `None` leaves it to the kind.
    pub propagation: Option<Propagation>,
    /// The deprecated form of the propagation, as given.
    pub orphan_dependents: Option<bool>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The resource version that the object must have.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the options from the body or, if that is absent, from the query.
    pub fn read(body: Option<&Value>, query: &Query) -> Result<Self, Status> {
        let mut errors = ErrorList::new();
        let mut options = match body {
            Some(body) => Self::from_body(body, &mut errors)?,
            None => Self {
                dry_run: read_dry_run(query.all("dryRun"), &mut errors),
                grace_period: query.integer("gracePeriodSeconds")?,
                propagation: read_propagation(query.all("propagationPolicy").next(), &mut errors),
                orphan_dependents: query.optional_flag("orphanDependents"),
                ..Self::default()
            },
        };
        if let Some(orphan) = options.orphan_dependents {
            if options.propagation.is_some() {
                let detail = "orphanDependents and deletionPropagation cannot be both set";
                errors.push(FieldError::invalid_str(
                    &Path::new("propagationPolicy"),
                    &propagation_text(body, query),
                    detail,
                ));
            }
            options.propagation = Some(if orphan { Propagation::Orphan } else { Propagation::Background });
        }
        invalid("DeleteOptions", &errors)?;
        Ok(options)
    }

    /// The options as an object, as admission shows them.
    pub fn to_json(&self) -> Value {
        let mut options = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run {
            options["dryRun"] = json!([DRY_RUN_ALL]);
        }
        if let Some(seconds) = self.grace_period {
            options["gracePeriodSeconds"] = json!(seconds);
        }
        match (self.orphan_dependents, self.propagation) {
            (Some(orphan), _) => options["orphanDependents"] = json!(orphan),
            (None, Some(propagation)) => options["propagationPolicy"] = json!(format!("{propagation:?}")),
            (None, None) => {}
        }
        for (field, text) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(text) = text {
                meta::set(&mut options, &["preconditions", field], text.as_str());
            }
        }
        options
    }

    fn from_body(body: &Value, errors: &mut ErrorList) -> Result<Self, Status> {
        if !body.is_object() {
            return Err(Status::bad_request("the body of a delete must be DeleteOptions"));
        }
        let text = |path: &[&str]| meta::at(body, path).and_then(Value::as_str).map(str::to_owned);
        let dry_run = meta::items(body, &["dryRun"]).iter().filter_map(Value::as_str);
        Ok(Self {
            dry_run: read_dry_run(dry_run, errors),
            grace_period: meta::at(body, &["gracePeriodSeconds"]).and_then(Value::as_i64),
            propagation: read_propagation(meta::at(body, &["propagationPolicy"]).and_then(Value::as_str), errors),
            orphan_dependents: meta::at(body, &["orphanDependents"]).and_then(Value::as_bool),
            uid: text(&["preconditions", "uid"]),
            resource_version: text(&["preconditions", "resourceVersion"]),
        })
    }
}

fn propagation_text(body: Option<&Value>, query: &Query) -> String {
    body.map_or(query.text("propagationPolicy"), |body| meta::text(body, &["propagationPolicy"])).to_owned()
}

/// Reads a propagation; one that is given must not be empty.
fn read_propagation(text: Option<&str>, errors: &mut ErrorList) -> Option<Propagation> {
    match text? {
        "Background" => Some(Propagation::Background),
        "Foreground" => Some(Propagation::Foreground),
        "Orphan" => Some(Propagation::Orphan),
        other => {
            let supported = ["Foreground", "Background", "Orphan", "nil"];
            errors.push(FieldError::not_supported(&Path::new("propagationPolicy"), other, &supported));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn list_options_are_checked() {
        let check = |query: &str, watch: bool, expect: &str| {
            let got =
                ListOptions::read(&Query::parse(query), watch).map_or_else(|status| status.message, |_| "ok".into());
            assert!(got.contains(expect), "{query}: {got}");
        };
        check("limit=5&resourceVersion=7", false, "ok");
        check("resourceVersionMatch=Exact", false, "forbidden unless resourceVersion is provided");
        check("resourceVersionMatch=Exact&resourceVersion=0", false, "is forbidden for resourceVersion \"0\"");
        check("sendInitialEvents=true", false, "sendInitialEvents is forbidden for list");
        check("sendInitialEvents=true", true, "requires setting resourceVersionMatch to NotOlderThan");
        check("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true, "ok");
        check("resourceVersion=x", false, "invalid resource version");
        check("limit=x", false, "invalid syntax");
    }

    #[test]
    fn write_options_are_checked() {
        let read = |query: &str, kind| WriteOptions::read(&Query::parse(query), kind, "kubectl/v1.36 (linux)");
        assert_eq!(read("", WriteKind::Create).unwrap().field_manager, "kubectl");
        assert!(read("dryRun=All", WriteKind::Create).unwrap().dry_run);
        assert!(read("dryRun=x", WriteKind::Create).unwrap_err().message.contains("Unsupported value"));
        assert_eq!(
            read("", WriteKind::Apply).unwrap_err().message,
            "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
        );
        assert!(read("force=true", WriteKind::Patch).unwrap_err().message.contains("non-apply patch"));
    }

    #[test]
    fn delete_options_come_from_the_body_or_the_query() {
        let body = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "propagationPolicy": "Foreground"});
        let options = DeleteOptions::read(Some(&body), &Query::default()).unwrap();
        assert_eq!(options.propagation, Some(Propagation::Foreground));
        assert_eq!((options.grace_period, options.uid.as_deref()), (Some(0), Some("u")));
        let options = DeleteOptions::read(None, &Query::parse("gracePeriodSeconds=3&orphanDependents=true")).unwrap();
        assert_eq!((options.grace_period, options.propagation), (Some(3), Some(Propagation::Orphan)));
        let body = json!({"orphanDependents": true, "propagationPolicy": "Orphan"});
        assert!(DeleteOptions::read(Some(&body), &Query::default()).is_err());
        let empty = json!({"propagationPolicy": ""});
        assert!(DeleteOptions::read(Some(&empty), &Query::default()).is_err());
        assert!(DeleteOptions::read(None, &Query::parse("propagationPolicy=")).is_err());
    }
}
