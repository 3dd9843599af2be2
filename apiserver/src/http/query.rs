//! Query parameters, by upstream's rules: repeated scalars use the first value, unknown names are ignored.

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

    /// A boolean: present and neither `false` nor `0`.
    pub fn flag(&self, name: &str) -> bool {
        self.optional_flag(name).unwrap_or(false)
    }

    /// A boolean that may be absent.
    pub fn optional_flag(&self, name: &str) -> Option<bool> {
        self.first(name).map(|value| !matches!(value, "false" | "0"))
    }

    /// A whole number that may be absent.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.first(name) {
            None | Some("") => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| Status::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax"))),
        }
    }
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
    }
}
