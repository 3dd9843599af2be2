//! Query parameters, by upstream's rules: repeated scalars use the first value, unknown names are ignored.

use std::num::{IntErrorKind, ParseIntError};

use steersman_machinery::field::go_quote;
use steersman_machinery::status::Status;

/// The decoded parameters of a URL, in order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes the part of a URL after `?`.
    pub fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The parameters as they stand in a URL, sorted by name.
    pub fn encode(&self) -> String {
        let mut pairs: Vec<_> = self.0.iter().collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// The first value of a parameter; empty if it is absent.
    pub fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A boolean: present and neither `false`, in whatever case, nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// A boolean that may be absent.
    pub fn optional_flag(&self, name: &str) -> Option<bool> {
        self.first(name).map(|value| value != "0" && !value.eq_ignore_ascii_case("false"))
    }

    /// A whole number that may be absent.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        let parse = |text: &str| text.parse().map_err(|error| Status::bad_request(no_number("ParseInt", text, &error)));
        self.first(name).map(parse).transpose()
    }
}

/// Reads a whole number without a sign.
///
/// # Errors
/// The text of Go's `strconv.ParseUint`.
pub fn parse_uint(text: &str) -> Result<u64, String> {
    // Go takes no sign here; an empty text is as wrong as one with a sign.
    let number = if text.starts_with('+') { "" } else { text }.parse();
    number.map_err(|error| no_number("ParseUint", text, &error))
}

fn no_number(function: &str, text: &str, error: &ParseIntError) -> String {
    let why = match error.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    };
    format!("strconv.{function}: parsing {}: {why}", go_quote(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_upstream_reads_them() {
        let query = Query::parse("a=1&a=2&watch&b=false&c=0&d=x%2Cy+z");
        assert_eq!(query.first("a"), Some("1"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["1", "2"]);
        assert!(query.flag("watch") && !query.flag("b") && !query.flag("c") && !query.flag("none"));
        assert_eq!(query.text("d"), "x,y z");
        assert_eq!(query.integer("a").unwrap(), Some(1));
        assert!(query.integer("d").unwrap_err().message.contains("invalid syntax"));
        assert!(!Query::parse("b=False").flag("b"));
        let fault = |query: &str| Query::parse(query).integer("n").unwrap_err().message;
        assert_eq!(fault("n="), r#"strconv.ParseInt: parsing "": invalid syntax"#);
        assert_eq!(
            fault("n=9223372036854775808"),
            r#"strconv.ParseInt: parsing "9223372036854775808": value out of range"#
        );
        assert_eq!(parse_uint("5"), Ok(5));
        for (text, why) in
            [("+5", "invalid syntax"), ("-5", "invalid syntax"), ("18446744073709551616", "value out of range")]
        {
            assert_eq!(parse_uint(text), Err(format!("strconv.ParseUint: parsing \"{text}\": {why}")));
        }
    }
}
