//! URLs, read as Go's `url.ParseRequestURI` reads them.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/urls.go`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Outcome, fail, no_overload};
use crate::value::{Opaque, Value};

/// An absolute URL or an absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    scheme: String,
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid =
            |why: &str| format!("URL parse error during conversion from string: parse {}: {why}", quoted(text));
        if text.is_empty() {
            return Err(invalid("empty url"));
        }
        if text.chars().any(|it| it.is_ascii_control()) {
            return Err(invalid("net/url: invalid control character in URL"));
        }
        let (scheme, rest) = scheme(text).map_err(invalid)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            // Go accepts `mailto:x` as opaque, and nothing else without a slash.
            return match scheme.is_empty() {
                true => Err(invalid("invalid URI for request")),
                false => Ok(Self { scheme, host: String::new(), path: String::new(), query: query.to_owned() }),
            };
        }
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) if !scheme.is_empty() => rest.split_at(rest.find('/').unwrap_or(rest.len())),
            _ => ("", rest),
        };
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        check_host(host).map_err(|why| invalid(&why))?;
        check_escapes(path).map_err(|why| invalid(&why))?;
        Ok(Self { scheme, host: host.to_owned(), path: path.to_owned(), query: query.to_owned() })
    }

    fn split_host(&self) -> (&str, &str) {
        if let Some(rest) = self.host.strip_prefix('[')
            && let Some((name, port)) = rest.split_once(']')
        {
            return (name, port.strip_prefix(':').unwrap_or_default());
        }
        self.host.rsplit_once(':').unwrap_or((&self.host, ""))
    }
}

fn quoted(text: &str) -> String {
    super::strings::quoted(text)
}

fn scheme(text: &str) -> Result<(String, &str), &'static str> {
    for (at, character) in text.char_indices() {
        match character {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((text[..at].to_ascii_lowercase(), &text[at + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn check_host(host: &str) -> Result<(), String> {
    let after = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((_, after)) => after,
            None => return Err("missing ']' in host".to_owned()),
        },
        None => host.rfind(':').map_or("", |at| &host[at..]),
    };
    let port = after.strip_prefix(':').unwrap_or(after);
    if (!after.is_empty() && !after.starts_with(':')) || !port.chars().all(|it| it.is_ascii_digit()) {
        return Err(format!("invalid port {} after host", quoted(after)));
    }
    match host.chars().find(|it| " <>\"{}|\\^`".contains(*it)) {
        Some(character) => Err(format!("invalid character {} in host name", quoted(&character.to_string()))),
        None => Ok(()),
    }
}

fn check_escapes(path: &str) -> Result<(), String> {
    for (at, _) in path.match_indices('%') {
        let digits = path.get(at + 1..at + 3);
        if !digits.is_some_and(|it| it.chars().all(|it| it.is_ascii_hexdigit())) {
            let end = (at + 3).min(path.len());
            let shown = path.get(at..end).unwrap_or("%");
            return Err(format!("invalid URL escape {}", quoted(shown)));
        }
    }
    Ok(())
}

pub(crate) fn url<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => match Url::parse(text.as_str()) {
            Ok(url) => Ok(Value::Opaque(Opaque::Url(Arc::new(url)))),
            Err(error) => fail(error),
        },
        _ => no_overload(),
    }
}

pub(crate) fn is_url<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => Ok(Value::Bool(Url::parse(text.as_str()).is_ok())),
        _ => no_overload(),
    }
}

fn part<'a>(args: &[Value<'a>], of: impl Fn(&Url) -> &str) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Url(url))] => Ok(Value::text(of(url))),
        _ => no_overload(),
    }
}

pub(crate) fn scheme_of<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |url| &url.scheme)
}

pub(crate) fn host<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |url| &url.host)
}

pub(crate) fn hostname<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |url| url.split_host().0)
}

pub(crate) fn port<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    part(args, |url| url.split_host().1)
}

/// The path, with everything escaped that has to be.
pub(crate) fn escaped_path<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Url(url))] = args else { return no_overload() };
    let mut escaped = String::new();
    for byte in url.path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => escaped.push(char::from(byte)),
            _ if b"-_.~$&+,/:;=@%!'()*[]".contains(&byte) => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(Value::text(escaped))
}

pub(crate) fn query<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Url(url))] = args else { return no_overload() };
    let mut values: BTreeMap<String, Vec<Value<'a>>> = BTreeMap::new();
    for pair in url.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if let (Some(key), Some(value)) = (decode(key), decode(value)) {
            values.entry(key).or_default().push(Value::text(value));
        }
    }
    Ok(Value::map(values.into_iter().map(|(key, values)| (key, Value::list(values)))))
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}
