//! Content negotiation: which media type and which form (plain, Table, metadata only) an answer has.
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/negotiation`; Kubernetes doc "Resource representations".

use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName};
use steersman_machinery::status::Status;

use super::query::Query;

/// The media types that resource endpoints write and read. Custom resources themselves are not written or read in
/// protobuf, but what is said about them (errors, metadata) is.
pub const ACCEPTED: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
/// The media types that endpoints of custom resources read.
pub const CUSTOM_READABLE: [&str; 2] = [ACCEPTED[0], ACCEPTED[1]];
/// The media types that a watch can have.
pub const STREAMED: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
/// Kubernetes' protobuf envelope.
pub const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// A media type of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Media {
    /// JSON, compact or indented.
    #[default]
    Json,
    /// YAML.
    Yaml,
    /// Kubernetes' protobuf envelope.
    Protobuf,
}

/// Which answers an endpoint can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Objects of a built-in type, Tables and metadata.
    BuiltIn,
    /// Custom objects, Tables and metadata.
    Custom,
    /// Only objects as they are: discovery and errors.
    Plain,
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
    /// The type and subtype as they stand.
    pub media: String,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Clause<'_> {
    /// The value of a parameter; empty if it is absent.
    pub fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().rev().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }

    fn has(&self, name: &str) -> bool {
        self.parameters.iter().any(|(key, _)| *key == name)
    }

    fn matches(&self, media: &str) -> bool {
        matches!(self.media.as_str(), "*/*" | "application/*") || self.media == media
    }

    /// Whether the clause goes before another. Upstream's order is none: a wildcard of better quality goes behind.
    fn is_before(&self, other: &Self) -> bool {
        let any_type = |clause: &Self| clause.media.starts_with('*');
        let any_subtype = |clause: &Self| clause.media.ends_with('*');
        self.quality > other.quality
            || (!any_type(self) && any_type(other))
            || (!any_subtype(self) && any_subtype(other))
    }
}

/// The clauses of the Accept header, best first.
/// Source: `github.com/munnerz/goautoneg`, which upstream parses the header with.
pub fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let header = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut clauses: Vec<Clause<'_>> = Vec::new();
    for clause in header.split(',').filter_map(parse_clause) {
        // The order of an insertion sort, since what is compared is no order.
        let after = clauses.iter().rposition(|before| !clause.is_before(before));
        clauses.insert(after.map_or(0, |at| at + 1), clause);
    }
    clauses
}

fn parse_clause(text: &str) -> Option<Clause<'_>> {
    let mut parts = text.split(';').map(|part| part.trim_matches(' '));
    let media = match parts.next().unwrap_or_default() {
        "*" => "*/*".to_owned(),
        media => {
            let (ty, subtype) = media.split_once('/').filter(|(_, subtype)| !subtype.contains('/'))?;
            format!("{}/{}", ty.trim_matches(' '), subtype.trim_matches(' '))
        }
    };
    let mut clause = Clause { media, parameters: Vec::new(), quality: 1.0 };
    for (name, value) in parts.filter_map(|part| part.split_once('=')).filter(|(_, value)| !value.contains('=')) {
        match name.trim_matches(' ') {
            "q" => clause.quality = value.parse().unwrap_or(0.0),
            name => clause.parameters.push((name, value.trim_matches(' '))),
        }
    }
    Some(clause)
}

/// Chooses the form of the answer of an endpoint, or says 406: the first clause that can be served in the first media type
/// that it matches.
pub fn output(headers: &HeaderMap, query: &Query, endpoint: Endpoint) -> Result<Output, Status> {
    let pretty = pretty(headers, query);
    if headers.get(ACCEPT).is_none_or(http::HeaderValue::is_empty) {
        return Ok(Output { pretty, ..Output::default() });
    }
    let medias = [Media::Json, Media::Yaml, Media::Protobuf];
    let clauses = clauses(headers);
    let candidates = clauses.iter().flat_map(|clause| medias.into_iter().zip(ACCEPTED).map(move |it| (clause, it)));
    candidates
        .filter(|(clause, (_, name))| clause.matches(name))
        .find_map(|(clause, (media, _))| {
            let form = form_of(clause, media, endpoint)?;
            Some(Output { media, form, pretty: pretty || clause.parameter("pretty") == "1" })
        })
        .ok_or_else(|| Status::not_acceptable(&ACCEPTED))
}

/// The form of an error: what the client asked for, as far as that can be; else JSON for a person to read.
pub fn error_output(headers: &HeaderMap, query: &Query) -> Output {
    let readable = Output { pretty: true, ..Output::default() };
    output(headers, query, Endpoint::Plain).unwrap_or(readable)
}

/// `None` if the endpoint cannot give the answer that a clause wants in that media type.
fn form_of(clause: &Clause<'_>, media: Media, endpoint: Endpoint) -> Option<Form> {
    let stream = clause.parameter("stream");
    let streams = stream.is_empty() || (stream == "watch" && media != Media::Yaml);
    let versions: &[&str] = if endpoint == Endpoint::Plain { &[""] } else { &["", "v1"] };
    if !streams || !versions.contains(&clause.parameter("sv")) {
        return None;
    }
    if !["as", "g", "v"].iter().any(|name| clause.has(name)) {
        return (endpoint != Endpoint::Custom || media != Media::Protobuf).then_some(Form::Plain);
    }
    let beta = match clause.parameter("v") {
        "v1" => false,
        "v1beta1" => true,
        _ => return None,
    };
    match (clause.parameter("g"), clause.parameter("as")) {
        _ if endpoint == Endpoint::Plain => None,
        ("meta.k8s.io", "Table") if media != Media::Protobuf => Some(Form::Table { beta }),
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
        _ if built_in => Err(Status::unsupported_media_type(&ACCEPTED)),
        _ => Err(Status::unsupported_media_type(&CUSTOM_READABLE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        headers
    }

    fn check_at(endpoint: Endpoint, accept: &str, expect: Option<(Media, Form)>) {
        let got = output(&headers(accept), &Query::default(), endpoint).ok();
        assert_eq!(got.map(|output| (output.media, output.form)), expect, "{endpoint:?} {accept}");
    }

    const AS: &str = "g=meta.k8s.io;as";

    #[test]
    fn the_first_clause_that_can_be_served_wins() {
        let check = |accept: &str, media, form| check_at(Endpoint::BuiltIn, accept, Some((media, form)));
        check("", Media::Json, Form::Plain);
        check("application/json", Media::Json, Form::Plain);
        check("*/*", Media::Json, Form::Plain);
        check("*", Media::Json, Form::Plain);
        check("application/yaml", Media::Yaml, Form::Plain);
        check("application/json;q=0.5, application/yaml", Media::Yaml, Form::Plain);
        check("application/vnd.kubernetes.protobuf,application/json", Media::Protobuf, Form::Plain);
        check("application/json;charset=utf-8", Media::Json, Form::Plain);
        check("application/json;stream=watch", Media::Json, Form::Plain);
        check("application/*;stream=watch", Media::Json, Form::Plain);
        check("application/json;sv=v1", Media::Json, Form::Plain);
        check("text/html,application/xml;q=0.9,*/*;q=0.8", Media::Json, Form::Plain);
        check("*/*,application/yaml;q=0.1", Media::Yaml, Form::Plain);
        check("junk,a/b/c,application/yaml", Media::Yaml, Form::Plain);
        let (v1, beta) = (Form::Table { beta: false }, Form::Table { beta: true });
        check(&format!("application/json;v=v1;{AS}=Table,application/json"), Media::Json, v1);
        check(&format!("application/yaml;v=v1beta1;{AS}=Table"), Media::Yaml, beta);
        check(&format!("application/json;v=v9;{AS}=Table,application/json"), Media::Json, Form::Plain);
        check(&format!("application/vnd.kubernetes.protobuf;v=v1;{AS}=Table,*/*"), Media::Json, Form::Plain);
        check(&format!("application/*;v=v1;{AS}=Table"), Media::Json, v1);
        let metadata = Form::Metadata { beta: false };
        check(
            &format!("application/vnd.kubernetes.protobuf;v=v1;{AS}=PartialObjectMetadata"),
            Media::Protobuf,
            metadata,
        );
    }

    #[test]
    fn what_an_endpoint_cannot_give_is_not_acceptable() {
        for accept in ["text/html", "junk", "application/yaml;stream=watch", "application/json;stream=x"] {
            check_at(Endpoint::BuiltIn, accept, None);
        }
        check_at(Endpoint::BuiltIn, "application/json;sv=v2", None);
        check_at(Endpoint::BuiltIn, "application/json;as=Table", None);
        check_at(Endpoint::BuiltIn, "application/json;g=meta.k8s.io", None);
        check_at(Endpoint::BuiltIn, &format!("application/json;v=v1;{AS}=Chair"), None);
        check_at(Endpoint::Custom, PROTOBUF, None);
        check_at(Endpoint::Custom, &format!("{PROTOBUF},application/json"), Some((Media::Json, Form::Plain)));
        let metadata = Some((Media::Protobuf, Form::MetadataList { beta: true }));
        check_at(Endpoint::Custom, &format!("{PROTOBUF};v=v1beta1;{AS}=PartialObjectMetadataList"), metadata);
        check_at(Endpoint::Plain, &format!("application/json;v=v1;{AS}=Table"), None);
        check_at(Endpoint::Plain, PROTOBUF, Some((Media::Protobuf, Form::Plain)));
    }

    #[test]
    fn errors_are_written_as_asked_for_or_for_a_person() {
        let check = |accept: &str, media, pretty| {
            let got = error_output(&headers(accept), &Query::default());
            assert_eq!(got, Output { media, pretty, form: Form::Plain }, "{accept}");
        };
        check("application/json", Media::Json, false);
        check("application/vnd.kubernetes.protobuf", Media::Protobuf, false);
        check("text/html", Media::Json, true);
        check(&format!("application/json;v=v1;{AS}=Table,application/yaml"), Media::Yaml, false);
        check(&format!("{PROTOBUF};v=v1;{AS}=Table"), Media::Json, true);
    }

    #[test]
    fn people_get_indented_json() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, "curl/8.0".parse().unwrap());
        assert!(output(&headers, &Query::default(), Endpoint::Plain).unwrap().pretty);
        assert!(!output(&headers, &Query::parse("pretty=false"), Endpoint::Plain).unwrap().pretty);
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
