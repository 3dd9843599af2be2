//! Which paths there are, and which operations on each.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use steersman_machinery::group::{GroupVersion, GroupVersionKind};

use super::operation::{
    Body, DELETE, LIST, Operation, PRETTY, Parameter, WRITE, body_types, describe, list_types, object_types,
    patch_types,
};
use super::schemas::Schemas;
use super::{
    API_GROUP, API_GROUP_LIST, API_VERSIONS, DELETE_OPTIONS, Dialect, PATCH, RESOURCE_LIST, STATUS, WATCH_EVENT,
    group_version_path,
};
use crate::registry::resource::{Resource, Subresource};

const NAME: Parameter = ("name", "string");
const NAMESPACE: Parameter = ("namespace", "string");
/// The rest of the path of a proxy.
const PATH: Parameter = ("path", "string");

/// Collects the paths of a document.
pub(super) struct Paths<'a, 't> {
    dialect: Dialect,
    schemas: &'a mut Schemas<'t>,
    paths: Map<String, Value>,
}

/// What an operation is on: a resource or one of its subresources, seen from one kind of path.
struct Target<'a> {
    resource: &'a Resource,
    /// The kind of the bodies.
    kind: GroupVersionKind,
    /// The definition of the bodies; `None` for subresources that connect to something.
    definition: Option<String>,
    /// The end of the operation's identifier: `NamespacedPodStatus`.
    suffix: String,
    /// The subresource; empty for the resource itself.
    subresource: &'a str,
}

impl<'a, 't> Paths<'a, 't> {
    pub(super) fn new(dialect: Dialect, schemas: &'a mut Schemas<'t>) -> Self {
        Self { dialect, schemas, paths: Map::new() }
    }

    pub(super) fn into_value(self) -> Value {
        self.paths.into()
    }

    /// Adds the path of a group version's discovery document.
    pub(super) fn add_group_version(&mut self, group_version: &GroupVersion) {
        let (tag, camel) = tags(group_version);
        let path = format!("/{}/", group_version_path(group_version));
        let said = (&*format!("get{camel}APIResources"), &*tag, "get available resources");
        self.add_index(&path, said, RESOURCE_LIST);
    }

    /// Adds the paths of the groups' discovery documents, and those above them.
    pub(super) fn add_groups(&mut self, group_versions: &BTreeSet<GroupVersion>) {
        for group in group_versions.iter().map(|it| it.group.as_str()).collect::<BTreeSet<_>>() {
            let (tag, camel) = group_names(group);
            if group.is_empty() {
                self.add_index("/api/", ("getCoreAPIVersions", "core", "get available API versions"), API_VERSIONS);
                self.add_index("/apis/", ("getAPIVersions", "apis", "get available API versions"), API_GROUP_LIST);
            } else {
                let said = (&*format!("get{camel}APIGroup"), &*tag, "get information of a group");
                self.add_index(&format!("/apis/{group}/"), said, API_GROUP);
            }
        }
    }

    /// Adds a path at which there is one document to read.
    fn add_index(&mut self, path: &str, (id, tag, description): (&str, &str, &str), answer: &str) {
        let operation = Operation {
            id: id.to_owned(),
            description: description.to_owned(),
            tag: tag.to_owned(),
            action: "get",
            gvk: None,
            parameters: Vec::new(),
            options_of: None,
            body: None,
            codes: &[200],
            answer: Some(self.schemas.named(answer)),
            produces: object_types(false),
        };
        let mut value = operation.render((self.dialect, self.schemas.texts()), &[]);
        if let Some(fields) = value.as_object_mut() {
            fields.remove("x-kubernetes-action");
        }
        self.paths.insert(path.to_owned(), Value::from(Map::from_iter([("get".to_owned(), value)])));
    }

    /// Adds the paths of a resource and of its subresources.
    pub(super) fn add(&mut self, resource: &Resource) {
        let root = format!("/{}", group_version_path(&resource.gvk().group_version()));
        let (place, scope) = if resource.namespaced { ("/namespaces/{namespace}", "Namespaced") } else { ("", "") };
        let collection = format!("{root}{place}/{}", resource.name);
        let definition = self.schemas.object(resource);
        let target = |suffix: String| Target {
            resource,
            kind: resource.gvk(),
            definition: Some(definition.clone()),
            suffix,
            subresource: "",
        };
        let own = target(format!("{scope}{}", resource.kind));
        self.collection(&collection, &own, scope);
        self.single(&format!("{collection}/{{name}}"), &own);
        if resource.namespaced && resource.has_verb("list") {
            let all = target(format!("{}ForAllNamespaces", resource.kind));
            let operations = [("get", self.list(&all))];
            self.insert((&format!("{root}/{}", resource.name), &resource.kind), operations);
        }
        self.watches(&root, &own, scope);
        for subresource in &resource.subresources {
            self.subresource(&format!("{collection}/{{name}}"), &own, subresource);
        }
    }

    fn collection(&mut self, path: &str, target: &Target<'_>, scope: &str) {
        let mut operations = Vec::new();
        if target.resource.has_verb("list") {
            operations.push(("get", self.list(target)));
        }
        if target.resource.has_verb("create") {
            operations.push(("post", self.create(target)));
        }
        if target.resource.has_verb("deletecollection") {
            operations.push(("delete", self.delete_collection(target, scope)));
        }
        self.insert((path, &target.resource.kind), operations);
    }

    fn single(&mut self, path: &str, target: &Target<'_>) {
        let mut operations = self.read_and_write(target, &target.resource.verbs);
        if target.resource.has_verb("delete") {
            operations.push(("delete", self.delete(target)));
        }
        self.insert((path, &target.resource.kind), operations);
    }

    /// GET, PUT and PATCH, as far as the verbs have them.
    fn read_and_write(&mut self, target: &Target<'_>, verbs: &[String]) -> Vec<(&'static str, Operation)> {
        let has = |verb: &str| verbs.iter().any(|it| it == verb);
        let custom = target.resource.custom;
        let mut operations = Vec::new();
        if has("get") {
            operations.push(("get", target.operation("read", "get", &[200], Vec::new())));
        }
        if has("update") {
            let mut replace = target.operation("replace", "put", &[200, 201], WRITE[..3].to_vec());
            replace.body = target.body();
            operations.push(("put", replace));
        }
        if has("patch") {
            let mut patch = target.operation("patch", "patch", &[200, 201], WRITE.to_vec());
            patch.body =
                Some(Body { definition: self.schemas.named(PATCH), consumes: patch_types(custom), required: true });
            operations.push(("patch", patch));
        }
        operations
    }

    fn list(&mut self, target: &Target<'_>) -> Operation {
        let list = self.schemas.list(target.resource);
        Operation {
            answer: Some(list),
            produces: list_types(target.resource.custom),
            ..target.operation("list", "list", &[200], LIST.to_vec())
        }
    }

    fn create(&mut self, target: &Target<'_>) -> Operation {
        Operation { body: target.body(), ..target.operation("create", "post", &[200, 201, 202], WRITE[..3].to_vec()) }
    }

    fn delete(&mut self, target: &Target<'_>) -> Operation {
        Operation {
            body: Some(self.delete_options(target)),
            answer: Some(self.schemas.named(STATUS)),
            ..target.operation("delete", "delete", &[200, 202], DELETE.to_vec())
        }
    }

    fn delete_collection(&mut self, target: &Target<'_>, scope: &str) -> Operation {
        let not_watch = LIST.into_iter().filter(|(name, _)| !["allowWatchBookmarks", "watch"].contains(name));
        let mut operation = Operation {
            body: Some(self.delete_options(target)),
            answer: Some(self.schemas.named(STATUS)),
            ..target.operation("delete", "deletecollection", &[200], not_watch.chain(DELETE).collect())
        };
        operation.parameters.sort_unstable();
        operation.parameters.dedup();
        let camel = tags(&target.resource.gvk().group_version()).1;
        operation.id = format!("delete{camel}Collection{scope}{}", target.resource.kind);
        operation.description = target.description("deletecollection");
        operation
    }

    fn delete_options(&mut self, target: &Target<'_>) -> Body {
        Body {
            definition: self.schemas.named(DELETE_OPTIONS),
            consumes: body_types(target.resource.custom),
            required: false,
        }
    }

    /// The deprecated paths that watch without a parameter.
    fn watches(&mut self, root: &str, target: &Target<'_>, scope: &str) {
        let resource = target.resource;
        if !resource.has_verb("watch") {
            return;
        }
        let event = self.schemas.named(WATCH_EVENT);
        let watch = |suffix: String, action: &'static str| {
            let mut operation = target.operation("watch", action, &[200], LIST.to_vec());
            operation.id = format!("watch{}{suffix}", tags(&resource.gvk().group_version()).1);
            operation.description = target.description(action);
            operation.answer = Some(event.clone());
            operation.produces = list_types(resource.custom);
            operation
        };
        let (kind, plural) = (&resource.kind, &resource.name);
        let list = |scope: &str| format!("{scope}{kind}List");
        if resource.namespaced {
            let all = watch(format!("{kind}ListForAllNamespaces"), "watchlist");
            self.insert((&format!("{root}/watch/{plural}"), kind), [("get", all)]);
        }
        let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}/watch{place}/{plural}");
        self.insert((&collection, kind), [("get", watch(list(scope), "watchlist"))]);
        let single = [("get", watch(format!("{scope}{kind}"), "watch"))];
        self.insert((&format!("{collection}/{{name}}"), kind), single);
    }

    fn subresource(&mut self, object: &str, own: &Target<'_>, subresource: &Subresource) {
        let definition =
            if subresource.kind == own.kind { own.definition.clone() } else { self.schemas.kind(&subresource.kind) };
        let target = Target {
            resource: own.resource,
            kind: subresource.kind.clone(),
            suffix: format!("{}{}", own.suffix, capitalized(&subresource.name)),
            definition,
            subresource: &subresource.name,
        };
        let path = format!("{object}/{}", subresource.name);
        if target.definition.is_none() {
            return self.connect(&path, &target, subresource);
        }
        let mut operations = self.read_and_write(&target, &subresource.verbs);
        if subresource.name == "log" {
            for (_, operation) in &mut operations {
                operation.answer = None;
                operation.produces.insert(0, "text/plain");
                operation.take_options("PodLogOptions");
            }
        }
        if subresource.verbs.iter().any(|verb| verb == "create") {
            operations.push(("post", self.create(&target)));
        }
        self.insert((&path, &own.resource.kind), operations);
    }

    /// A subresource that passes everything on, such as `exec` and `proxy`.
    fn connect(&mut self, path: &str, target: &Target<'_>, subresource: &Subresource) {
        let methods = [("create", "post"), ("delete", "delete"), ("get", "get"), ("patch", "patch"), ("update", "put")];
        let operations = |end: &str| -> Vec<_> {
            methods
                .into_iter()
                .filter(|(verb, _)| subresource.verbs.iter().any(|it| it == verb))
                .map(|(_, method)| {
                    let mut operation = target.operation("connect", "connect", &[200], Vec::new());
                    let camel = tags(&target.resource.gvk().group_version()).1;
                    operation.id = format!("connect{camel}{}{}{end}", capitalized(method), target.suffix);
                    let (subresource, kind) = (target.subresource, &target.resource.kind);
                    let method_name = method.to_ascii_uppercase();
                    operation.description = format!("connect {method_name} requests to {subresource} of {kind}");
                    operation.produces = vec!["*/*"];
                    operation.parameters.clear();
                    operation.take_options(&target.kind.kind);
                    (method, operation)
                })
                .collect()
        };
        let kind = &target.resource.kind;
        self.insert((path, kind), operations(""));
        if subresource.name == "proxy" {
            self.insert((&format!("{path}/{{path}}"), kind), operations("WithPath"));
        }
    }

    /// Adds a path of a kind. Parameters that all its operations have stand at the path.
    fn insert(&mut self, (path, kind): (&str, &str), operations: impl IntoIterator<Item = (&'static str, Operation)>) {
        let operations: Vec<_> = operations.into_iter().collect();
        let Some((_, last)) = operations.last() else {
            return;
        };
        let (dialect, texts) = (self.dialect, self.schemas.texts());
        let in_all = |it: &&Parameter| operations.iter().all(|(_, operation)| operation.parameters.contains(it));
        let common: Vec<Parameter> = last.parameters.iter().filter(in_all).copied().collect();
        let mut shared: Vec<_> = common.iter().map(|it| last.parameter(*it, dialect, texts)).collect();
        for of_path in [NAME, NAMESPACE, PATH] {
            let said = match of_path {
                NAME => format!("name of the {kind}"),
                other => texts.of_parameter(other.0, "").to_owned(),
            };
            if path.contains(&format!("{{{}}}", of_path.0)) {
                shared.push(describe(of_path, ("path", &said), dialect));
            }
        }
        shared.sort_by_key(|it| ["name", "in"].map(|key| it[key].as_str().unwrap_or_default().to_owned()));
        let render = |operation: &Operation| operation.render((dialect, texts), &common);
        let mut entry: Map<_, _> =
            operations.iter().map(|(method, operation)| ((*method).to_owned(), render(operation))).collect();
        if !shared.is_empty() {
            entry.insert("parameters".into(), shared.into());
        }
        self.paths.insert(path.to_owned(), entry.into());
    }
}

impl Target<'_> {
    /// An operation that answers with the target itself and takes no body.
    fn operation(
        &self,
        verb: &str,
        action: &'static str,
        codes: &'static [u16],
        parameters: Vec<Parameter>,
    ) -> Operation {
        let (tag, camel) = tags(&self.resource.gvk().group_version());
        let mut parameters = parameters;
        parameters.push(PRETTY);
        parameters.sort_unstable();
        Operation {
            id: format!("{verb}{camel}{}", self.suffix),
            description: self.description(verb),
            tag,
            action,
            gvk: Some(self.kind.clone()),
            parameters,
            options_of: None,
            body: None,
            codes,
            answer: self.definition.clone(),
            produces: object_types(self.resource.custom),
        }
    }

    /// What a verb does with the target.
    fn description(&self, verb: &str) -> String {
        let kind = &self.resource.kind;
        let of = match self.subresource {
            "" => String::new(),
            name => format!("{name} of "),
        };
        let instead = "use the 'watch' parameter with a list operation instead";
        match verb {
            "list" => format!("list {of}objects of kind {kind}"),
            "read" | "replace" => format!("{verb} {of}the specified {kind}"),
            "patch" => format!("partially update {of}the specified {kind}"),
            "create" | "delete" => format!("{verb} {of}{}{kind}", article(kind)),
            "deletecollection" if of.is_empty() => format!("delete collection of {kind}"),
            "deletecollection" => format!("delete collection of {of}a {kind}"),
            "watch" => {
                let single = "filtered to a single item with the 'fieldSelector' parameter";
                let object = if of.is_empty() { "an object" } else { "of an object" };
                format!("watch changes to {object} of kind {kind}. deprecated: {instead}, {single}.")
            }
            "watchlist" => format!("watch individual changes to a list of {of}{kind}. deprecated: {instead}."),
            other => format!("{other} {of}{kind}"),
        }
    }

    fn body(&self) -> Option<Body> {
        Some(Body { definition: self.definition.clone()?, consumes: body_types(self.resource.custom), required: true })
    }
}

/// The article of a noun, with a blank; plurals have none.
fn article(noun: &str) -> &'static str {
    match noun.chars().next() {
        _ if noun.ends_with('s') && !noun.ends_with("ss") => "",
        Some('A' | 'E' | 'I' | 'O' | 'U') => "an ",
        _ => "a ",
    }
}

/// The tag of a group version, `rbacAuthorization_v1`, and how it stands in identifiers, `RbacAuthorizationV1`.
fn tags(group_version: &GroupVersion) -> (String, String) {
    let (tag, camel) = group_names(&group_version.group);
    (format!("{tag}_{}", group_version.version), camel + &capitalized(&group_version.version))
}

/// The tag of a group, and how it stands in identifiers.
fn group_names(group: &str) -> (String, String) {
    let group = match group {
        "" => "core",
        group => group.strip_suffix(".k8s.io").unwrap_or(group),
    };
    let camel: String = group.split(['.', '-']).map(capitalized).collect();
    let mut tag = camel.clone();
    if let Some(first) = tag.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    (tag, camel)
}

fn capitalized(word: &str) -> String {
    let mut word = word.to_owned();
    if let Some(first) = word.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    word
}
