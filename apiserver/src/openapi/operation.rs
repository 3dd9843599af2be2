//! One operation on one path, and how the two dialects write it.

use serde_json::{Map, Value, json};
use steersman_machinery::group::GroupVersionKind;

use super::texts::Texts;
use super::{Dialect, gvk_value};

/// A parameter: its name and the type of its value.
pub(super) type Parameter = (&'static str, &'static str);

/// Parameters of every operation on a path.
pub(super) const PRETTY: Parameter = ("pretty", "string");
/// Parameters of reads of collections.
pub(super) const LIST: [Parameter; 10] = [
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
/// Parameters of creations, updates and, with the last, patches.
pub(super) const WRITE: [Parameter; 4] =
    [("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];
/// Parameters of deletions.
pub(super) const DELETE: [Parameter; 5] = [
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

/// Parameters of subresources that have options of their own, by the name of the options.
pub(super) const OPTIONS: [(&str, &[Parameter]); 7] = [
    ("NodeProxyOptions", &[("path", "string")]),
    (
        "PodAttachOptions",
        &[
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    (
        "PodExecOptions",
        &[
            ("command", "string"),
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    (
        "PodLogOptions",
        &[
            ("container", "string"),
            ("follow", "boolean"),
            ("insecureSkipTLSVerifyBackend", "boolean"),
            ("limitBytes", "integer"),
            ("previous", "boolean"),
            ("sinceSeconds", "integer"),
            ("stream", "string"),
            ("tailLines", "integer"),
            ("timestamps", "boolean"),
        ],
    ),
    ("PodPortForwardOptions", &[("ports", "integer")]),
    ("PodProxyOptions", &[("path", "string")]),
    ("ServiceProxyOptions", &[("path", "string")]),
];

/// The media types of answers.
const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const JSON_STREAM: &str = "application/json;stream=watch";
const PROTOBUF_STREAM: &str = "application/vnd.kubernetes.protobuf;stream=watch";

/// An operation.
pub(super) struct Operation {
    pub(super) id: String,
    /// What it does.
    pub(super) description: String,
    pub(super) tag: String,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) gvk: Option<GroupVersionKind>,
    pub(super) parameters: Vec<Parameter>,
    /// The options whose fields the parameters are, if they are not those of all resources.
    pub(super) options_of: Option<&'static str>,
    pub(super) body: Option<Body>,
    /// The codes of success.
    pub(super) codes: &'static [u16],
    /// The definition of what is answered; `None` for a plain text.
    pub(super) answer: Option<String>,
    /// The media types of the answer.
    pub(super) produces: Vec<&'static str>,
}

/// The body of a request.
pub(super) struct Body {
    /// Its definition.
    pub(super) definition: String,
    /// Its media types.
    pub(super) consumes: Vec<&'static str>,
    pub(super) required: bool,
}

/// The media types in which objects are answered.
pub(super) fn object_types(custom: bool) -> Vec<&'static str> {
    if custom { vec![JSON, YAML] } else { vec![JSON, YAML, PROTOBUF] }
}

/// The media types in which lists and watches are answered.
pub(super) fn list_types(custom: bool) -> Vec<&'static str> {
    let stream = if custom { vec![JSON_STREAM] } else { vec![JSON_STREAM, PROTOBUF_STREAM] };
    [object_types(custom), stream].concat()
}

/// The media types in which objects are sent.
pub(super) fn body_types(custom: bool) -> Vec<&'static str> {
    if custom { vec![JSON, YAML] } else { vec!["*/*"] }
}

/// The media types in which patches are sent. Custom resources have no strategic merge.
pub(super) fn patch_types(custom: bool) -> Vec<&'static str> {
    let mut types = vec!["application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json"];
    if !custom {
        types.push("application/strategic-merge-patch+json");
    }
    types
}

impl Operation {
    /// Adds the parameters that are the fields of some options.
    pub(super) fn take_options(&mut self, kind: &str) {
        if let Some((name, parameters)) = OPTIONS.iter().find(|(name, _)| *name == kind) {
            self.options_of = Some(name);
            self.parameters.extend(*parameters);
            self.parameters.sort_unstable();
        }
    }

    /// The operation in the words of the dialect, without the parameters of which `left_out` says that they stand elsewhere.
    pub(super) fn render(&self, (dialect, texts): (Dialect, &Texts), left_out: &[Parameter]) -> Value {
        let mut value = json!({
            "description": self.description,
            "operationId": self.id,
            "tags": [self.tag],
            "responses": self.responses(dialect),
        });
        let own = self.parameters.iter().filter(|it| !left_out.contains(it));
        let mut parameters: Vec<_> = own.map(|it| self.parameter(*it, dialect, texts)).collect();
        match (dialect, &self.body) {
            (Dialect::V3, Some(body)) => value["requestBody"] = body.render(),
            (Dialect::V2, Some(body)) => {
                let mut entry = json!({"in": "body", "name": "body", "schema": dialect.reference(&body.definition)});
                if body.required {
                    entry["required"] = true.into();
                }
                parameters.insert(0, entry);
            }
            _ => {}
        }
        if dialect == Dialect::V2 {
            let any = vec!["*/*"];
            value["consumes"] = self.body.as_ref().map_or(any, |body| body.consumes.clone()).into();
            value["produces"] = self.produces.as_slice().into();
            value["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            value["parameters"] = parameters.into();
        }
        value["x-kubernetes-action"] = self.action.into();
        if let Some(gvk) = &self.gvk {
            value["x-kubernetes-group-version-kind"] = gvk_value(gvk);
        }
        value
    }

    /// A parameter in the query.
    pub(super) fn parameter(&self, parameter: Parameter, dialect: Dialect, texts: &Texts) -> Value {
        let said = match self.options_of {
            Some(kind) if parameter != PRETTY => texts.of_option(kind, parameter.0),
            _ => texts.of_parameter(parameter.0, self.action),
        };
        describe(parameter, ("query", said), dialect)
    }

    fn responses(&self, dialect: Dialect) -> Value {
        let schema = || match &self.answer {
            Some(definition) => dialect.reference(definition),
            None => json!({"type": "string"}),
        };
        let mut responses = Map::new();
        for code in self.codes {
            let mut response = json!({"description": description(*code)});
            match dialect {
                Dialect::V2 => response["schema"] = schema(),
                Dialect::V3 => response["content"] = content(&self.produces, &schema()),
            }
            responses.insert(code.to_string(), response);
        }
        responses.insert("401".into(), json!({"description": description(401)}));
        responses.into()
    }
}

impl Body {
    fn render(&self) -> Value {
        let mut value = json!({"content": content(&self.consumes, &Dialect::V3.reference(&self.definition))});
        if self.required {
            value["required"] = true.into();
        }
        value
    }
}

fn content(types: &[&str], schema: &Value) -> Value {
    let entry = json!({"schema": schema});
    types.iter().map(|it| ((*it).to_owned(), entry.clone())).collect::<Map<_, _>>().into()
}

fn description(code: u16) -> &'static str {
    match code {
        201 => "Created",
        202 => "Accepted",
        401 => "Unauthorized",
        _ => "OK",
    }
}

/// A parameter in the query or in the path.
pub(super) fn describe((name, kind): Parameter, (place, said): (&str, &str), dialect: Dialect) -> Value {
    let mut value = json!({"name": name, "in": place, "description": said});
    if place == "path" {
        value["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => {
            value["type"] = kind.into();
            value["uniqueItems"] = true.into();
        }
        Dialect::V3 => value["schema"] = json!({"type": kind, "uniqueItems": true}),
    }
    value
}
