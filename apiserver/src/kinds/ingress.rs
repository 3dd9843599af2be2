//! Ingresses and ingress classes. Source: `k8s.io/kubernetes/pkg/apis/networking/validation`.

use jiff::Timestamp;
use serde_json::{Value, json};
use steersman_machinery::field::{ErrorList, FieldError};
use steersman_machinery::{meta, names};

use super::check::{self, Cursor, text};
use super::service::of_ingress;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of ingresses.
#[derive(Clone, Copy, Debug)]
pub struct Ingress;

/// The strategy of ingress classes.
#[derive(Clone, Copy, Debug)]
pub struct IngressClass;

const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
/// What a path of type Exact or Prefix may not hold, and not end with.
const BAD_PARTS: &[&str] = &["//", "/./", "/../", "%2f", "%2F"];
const BAD_ENDS: &[&str] = &["/..", "/."];

impl Strategy for Ingress {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, has_status: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec"], json!({}));
        meta::set_default(object, &["status", "loadBalancer"], json!({}));
    }

    fn prepare_for_create(&self, object: &mut Value, _now: Timestamp) {
        meta::set(object, &["status"], json!({"loadBalancer": {}}));
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            let annotation = meta::annotation(object, CLASS_ANNOTATION);
            let class = root.at("spec").at("ingressClassName");
            if let Some(annotation) = annotation
                && class.is_set()
                && class.text() != annotation
            {
                root.with(None, "annotations.kubernetes.io/ingress.class".into())
                    .invalid_str(annotation, "must match `ingressClassName` when both are specified");
            }
            ingress(&root.at("spec"));
        })
    }

    fn validate_update(&self, object: &Value, _old: &Value) -> ErrorList {
        check::collect(object, |root| ingress(&root.at("spec")))
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| of_ingress(&root.down(&["status", "loadBalancer"]), old))
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = |object: &Value| meta::annotation(object, CLASS_ANNOTATION).is_some();
        if annotated(object) && !old.is_some_and(annotated) {
            vec![format!("annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead")]
        } else {
            Vec::new()
        }
    }
}

fn ingress(spec: &Cursor<'_>) {
    let (rules, default) = (spec.at("rules"), spec.at("defaultBackend"));
    if rules.is_empty() && !default.is_set() {
        spec.invalid_as(rules.value.to_string(), "either `defaultBackend` or `rules` must be specified");
    }
    if default.is_set() {
        backend(&default);
    }
    for rule in rules.items() {
        host(&rule.at("host"));
        let http = rule.at("http");
        if http.is_set() {
            paths(&http.at("paths"));
        }
    }
    for tls in spec.at("tls").items() {
        for name in tls.at("hosts").items() {
            dns_name(&name);
        }
        let secret = tls.at("secretName");
        if !secret.is_empty() {
            secret.named(names::dns1123_subdomain);
        }
    }
    let class = spec.at("ingressClassName");
    if class.is_set() {
        class.named(names::dns1123_subdomain);
    }
}

fn host(host: &Cursor<'_>) {
    if host.is_empty() {
        return;
    }
    if text::sloppy_ip(host.text()).is_some() {
        host.invalid_text("must be a DNS name, not an IP address");
    }
    dns_name(host);
}

fn dns_name(name: &Cursor<'_>) {
    if name.text().contains('*') {
        name.named(text::wildcard_subdomain);
    } else {
        name.named(names::dns1123_subdomain);
    }
}

fn paths(paths: &Cursor<'_>) {
    paths.must_be_set();
    for path in paths.items() {
        let (sort, text) = (path.at("pathType"), path.at("path"));
        match sort.text() {
            _ if !sort.is_set() => {
                sort.required("pathType must be specified");
                continue;
            }
            "Exact" | "Prefix" => absolute_path(&text),
            "ImplementationSpecific" => {
                if !text.is_empty() && !text.text().starts_with('/') {
                    text.invalid_text("must be an absolute path");
                }
            }
            _ => sort.not_supported(PATH_TYPES),
        }
        backend(&path.at("backend"));
    }
}

fn absolute_path(path: &Cursor<'_>) {
    if !path.text().starts_with('/') {
        path.invalid_text("must be an absolute path");
    }
    if path.is_empty() {
        return;
    }
    for part in BAD_PARTS.iter().filter(|part| path.text().contains(**part)) {
        path.invalid_text(format!("must not contain '{part}'"));
    }
    for end in BAD_ENDS.iter().filter(|end| path.text().ends_with(**end)) {
        path.invalid_text(format!("cannot end with '{end}'"));
    }
}

/// Where the traffic goes: to a port of a service, or to another resource.
fn backend(backend: &Cursor<'_>) {
    let (resource, service) = (backend.at("resource"), backend.at("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => backend.invalid_str("", "cannot set both resource and service backends"),
        (false, false) => backend.invalid_str("", "resource or service backend is required"),
        (true, false) => {
            let group = resource.at("apiGroup");
            if group.is_set() {
                group.named(names::dns1123_subdomain);
            }
            for field in ["kind", "name"] {
                resource.at(field).must_be_named(names::path_segment);
            }
        }
        (false, true) => {
            let name = service.at("name");
            if name.must_be_set() {
                name.named(names::dns1123_label);
            }
            let port = service.at("port");
            let (number, name) = (port.at("number"), port.at("name"));
            match (number.int().unwrap_or_default() != 0, !name.is_empty()) {
                (true, true) => backend.invalid_str("", "cannot set both port name & port number"),
                (false, false) => backend.required("port name or number is required"),
                (true, false) => number.port(),
                (false, true) => name.named(text::port_name),
            }
        }
    }
}

impl Strategy for IngressClass {
    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        if meta::at(object, &["spec", "parameters"]).is_some_and(Value::is_object) {
            meta::set_default(object, &["spec", "parameters", "scope"], "Cluster");
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| {
            ingress_class(&root);
        })
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| {
            root.at("spec").at("controller").immutable(meta::at(old, &["spec", "controller"]));
            ingress_class(&root);
        })
    }
}

/// A path of which the first part is a domain: `acme.io/foo`.
pub(crate) fn domain_prefixed_path(name: &Cursor<'_>) {
    for (shown, complaint) in text::domain_prefixed_path(name.text()) {
        name.invalid_str(shown, complaint);
    }
}

/// The longest name of a controller.
const LONGEST_CONTROLLER: usize = 250;

fn ingress_class(root: &Cursor<'_>) {
    let spec = root.at("spec");
    let controller = spec.at("controller");
    if controller.must_be_set() {
        if controller.text().len() > LONGEST_CONTROLLER {
            controller.push(FieldError::too_long(&controller.path, LONGEST_CONTROLLER));
        }
        domain_prefixed_path(&controller);
    }
    class_parameters(&spec.at("parameters"));
}

fn class_parameters(parameters: &Cursor<'_>) {
    if !parameters.is_set() {
        return;
    }
    let group = parameters.at("apiGroup");
    if group.is_set() {
        group.named(names::dns1123_subdomain);
    }
    for field in ["kind", "name"] {
        let field = parameters.at(field);
        if field.must_be_set() {
            field.named(names::path_segment);
        }
    }
    let (scope, namespace) = (parameters.at("scope"), parameters.at("namespace"));
    if !scope.is_set() {
        scope.required("");
        return;
    }
    match scope.text() {
        "Namespace" => {
            if !namespace.is_set() {
                namespace.required("`parameters.scope` is set to 'Namespace'");
            } else {
                namespace.named(names::dns1123_label);
            }
        }
        "Cluster" => {
            if namespace.is_set() {
                namespace.forbidden("`parameters.scope` is set to 'Cluster'");
            }
        }
        _ => scope.not_supported(&["Cluster", "Namespace"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        assert_eq!(check::messages(&Ingress.validate(&json!({"spec": spec}))), expect);
    }

    fn path(path: Value) -> Value {
        json!({"rules": [{"http": {"paths": [path]}}]})
    }

    #[test]
    fn rules_lead_somewhere() {
        let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
        let at = "spec.rules[0].http.paths[0]";
        check(json!({"defaultBackend": backend}), &[]);
        check(json!({}), &["spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"]);
        check(path(json!({"path": "/", "pathType": "Prefix", "backend": backend})), &[]);
        check(
            path(json!({"path": "/a/../b", "pathType": "Exact", "backend": backend})),
            &[&format!("{at}.path: Invalid value: \"/a/../b\": must not contain '/../'")],
        );
        check(
            path(json!({"path": "/", "pathType": "Exact", "backend": {}})),
            &[&format!("{at}.backend: Invalid value: \"\": resource or service backend is required")],
        );
        check(
            path(json!({"path": "/", "pathType": "Exact", "backend": {"service": {"name": "web", "port": {}}}})),
            &[&format!("{at}.backend: Required value: port name or number is required")],
        );
    }

    #[test]
    fn hosts_are_names() {
        check(
            json!({"rules": [{"host": "192.0.2.1"}, {"host": "*.example.com"}]}),
            &[r#"spec.rules[0].host: Invalid value: "192.0.2.1": must be a DNS name, not an IP address"#],
        );
    }

    #[test]
    fn classes_name_a_controller() {
        let errors = IngressClass.validate(&json!({"spec": {"controller": "no-domain"}}));
        assert_eq!(
            check::messages(&errors),
            [r#"spec.controller: Invalid value: "no-domain": must be a domain-prefixed path (such as "acme.io/foo")"#]
        );
    }
}
