//! Content negotiation: which media type and which form (plain, Table, metadata only) an answer has.
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`; Kubernetes doc "Resource representations".

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName};
use steersman_machinery::status::Status;

use super::query::Query;

/// The media types that resource endpoints write, and that endpoints of custom resources read.
pub const ACCEPTED: [&str; 2] = ["application/json", "application/yaml"];
/// The media types that endpoints of built-in resources read.
pub const READABLE: [&str; 3] = [ACCEPTED[0], ACCEPTED[1], PROTOBUF];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A media type of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// JSON, compact or indented.
    #[default]
    Json,
    /// YAML.
    Yaml,
}

/// The form in which objects are returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The objects themselves.
    #[default]
    Plain,
    /// A `meta.k8s.io` Table, `v1` or, if the flag is set, `v1beta1`.
    Table {
        /// Whether the version is `v1beta1`.
        beta: bool,
    },
    /// A `PartialObjectMetadata`, `v1` or, if the flag is set, `v1beta1`.
    Metadata {
        /// Whether the version is `v1beta1`.
        beta: bool,
    },
    /// A `PartialObjectMetadataList`, likewise.
    MetadataList {
        /// Whether the version is `v1beta1`.
        beta: bool,
    },
}

/// What the client gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// The media type.
    pub media: Media,
    /// The form.
    pub form: Form,
    /// Whether JSON is indented.
    pub pretty: bool,
}

/// One clause of an Accept header.
#[derive(Clone, Debug)]
pub struct Clause<'a> {
    /// The type and subtype, in lower case.
    pub media: String,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Clause<'_> {
    /// The value of a parameter; empty if it is absent.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn matches(&self, media: &str) -> bool {
        matches!(self.media.as_str(), "*/*" | "application/*") || self.media == media
    }
}

/// The clauses of the Accept headers, best first.
pub fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(parse_clause)
        .filter(|clause| !clause.media.is_empty())
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn parse_clause(text: &str) -> Clause<'_> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let parameters: Vec<_> = parts.filter_map(|part| part.split_once('=')).collect();
    let quality = parameters.iter().find(|(key, _)| *key == "q").and_then(|(_, q)| q.parse().ok()).unwrap_or(1.0);
    Clause { media, parameters, quality }
}

/// Chooses the form of the answer of a resource endpoint, or says 406.
pub fn output(headers: &HeaderMap, query: &Query) -> Result<Output, Status> {
    let clauses = clauses(headers);
    let pretty = pretty(headers, query);
    if clauses.is_empty() {
        return Ok(Output { pretty, ..Output::default() });
    }
    clauses
        .iter()
        .find_map(|clause| {
            let media = media_of(clause)?;
            let pretty = pretty || clause.parameter("pretty") == "1";
            Some(Output { media, form: form_of(clause)?, pretty })
        })
        .ok_or_else(|| Status::not_acceptable(&ACCEPTED))
}

fn media_of(clause: &Clause<'_>) -> Option<Media> {
    [(Media::Json, ACCEPTED[0]), (Media::Yaml, ACCEPTED[1])]
        .into_iter()
        .find(|(_, name)| clause.matches(name))
        .map(|(media, _)| media)
}

fn form_of(clause: &Clause<'_>) -> Option<Form> {
    let beta = match clause.parameter("v") {
        _ if clause.parameter("as").is_empty() => return Some(Form::Plain),
        "v1" => false,
        "v1beta1" => true,
        _ => return None,
    };
    match (clause.parameter("g"), clause.parameter("as")) {
        ("meta.k8s.io", "Table") => Some(Form::Table { beta }),
        ("meta.k8s.io", "PartialObjectMetadata") => Some(Form::Metadata { beta }),
        ("meta.k8s.io", "PartialObjectMetadataList") => Some(Form::MetadataList { beta }),
        _ => None,
    }
}

/// The version that a flag of [`Form`] stands for.
pub fn version(beta: bool) -> &'static str {
    if beta { "v1beta1" } else { "v1" }
}

/// Whether the router of built-in resources lets a request pass that wants one of these media types: their names are
/// compared as they stand, and of the wildcards only the widest counts. Source: `go-restful`, which routes upstream.
pub fn route_produces(headers: &HeaderMap, produced: &[&str]) -> Result<(), Status> {
    let accept = joined(headers, &ACCEPT);
    if accept.is_empty() || names(&accept).any(|name| name == "*/*" || produced.contains(&name)) {
        return Ok(());
    }
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", produced.join(", "));
    Err(routing(406, "NotAcceptable", message))
}

/// The same for the media type of a body.
pub fn route_consumes(headers: &HeaderMap, consumed: &[&str]) -> Result<(), Status> {
    match names(&joined(headers, &CONTENT_TYPE)).any(|name| consumed.contains(&name)) {
        true => Ok(()),
        false => Err(routing(415, "UnsupportedMediaType", "415: Unsupported Media Type".to_owned())),
    }
}

fn routing(code: u16, reason: &str, message: String) -> Status {
    let mut status = Status::failure(code, reason, message);
    status.details = Some(Box::default());
    status
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> String {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    values.join(",")
}

fn names(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(|clause| clause.split(';').next().unwrap_or_default().trim())
}

fn pretty(headers: &HeaderMap, query: &Query) -> bool {
    query.optional_flag("pretty").unwrap_or_else(|| {
        let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        ["curl", "Wget", "Mozilla/5.0"].iter().any(|browser| agent.starts_with(browser))
    })
}

/// The media type of the request body, without parameters; empty if the header is absent.
pub fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The form of a request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyForm {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf envelope.
    Protobuf,
}

/// The form of a body that holds an object; JSON if the client does not say. Only built-in types can be read from
/// protobuf.
pub fn body_form(headers: &HeaderMap, built_in: bool) -> Result<BodyForm, Status> {
    match content_type(headers).as_str() {
        "" | "application/json" => Ok(BodyForm::Json),
        "application/yaml" => Ok(BodyForm::Yaml),
        PROTOBUF if built_in => Ok(BodyForm::Protobuf),
        _ if built_in => Err(Status::unsupported_media_type(&READABLE)),
        _ => Err(Status::unsupported_media_type(&ACCEPTED)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(accept: &str, expect: Option<(Media, Form)>) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        let got = output(&headers, &Query::default()).ok().map(|output| (output.media, output.form));
        assert_eq!(got, expect, "{accept}");
    }

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        check("application/json", Some((Media::Json, Form::Plain)));
        check("*/*", Some((Media::Json, Form::Plain)));
        check("application/yaml", Some((Media::Yaml, Form::Plain)));
        check("application/json;q=0.5, application/yaml", Some((Media::Yaml, Form::Plain)));
        check("application/vnd.kubernetes.protobuf,application/json", Some((Media::Json, Form::Plain)));
        check("application/vnd.kubernetes.protobuf", None);
        check("text/html", None);
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            Some((Media::Json, Form::Table { beta: false })),
        );
        check("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Some((Media::Json, Form::Plain)));
        check(
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            Some((Media::Json, Form::Metadata { beta: false })),
        );
    }

    #[test]
    fn people_get_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "curl/8.0".parse().unwrap());
        assert!(output(&headers, &Query::default()).unwrap().pretty);
        assert!(!output(&headers, &Query::parse("pretty=false")).unwrap().pretty);
    }

    #[test]
    fn the_router_compares_names_as_they_stand() {
        let check = |accept: &str, expect: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(route_produces(&headers, &ACCEPTED).is_ok(), expect, "{accept}");
        };
        check("text/html, application/yaml;q=0.1", true);
        check("*/*", true);
        check("application/*", false);
        check("Application/JSON", false);
        assert!(route_produces(&HeaderMap::new(), &ACCEPTED).is_ok());
        assert_eq!(route_consumes(&HeaderMap::new(), &["a/b"]).unwrap_err().code, 415);
    }
}
