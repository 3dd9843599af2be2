//! What is odd about a JSON patch although it can be applied: members that mean nothing, and members that stand twice.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// The problems of the patch document itself, in document order, as texts for warnings and for strict field validation:
/// `json patch unknown field "[0].foo"`, `json patch duplicate field "[1].path"`. None for a patch that is not JSON.
pub fn check_strict(patch: &[u8]) -> Vec<String> {
    let mut problems = Vec::new();
    let walk = Walk { path: String::new(), depth: 0, problems: &mut problems };
    match walk.deserialize(&mut serde_json::Deserializer::from_slice(patch)) {
        Ok(()) => problems,
        Err(_) => Vec::new(),
    }
}

const KNOWN: [&str; 4] = ["op", "from", "path", "value"];
/// The depth at which the members of an operation stand: list, operation.
const OPERATION: usize = 1;

/// Visits a value and notes what is odd in it.
struct Walk<'a> {
    path: String,
    depth: usize,
    problems: &'a mut Vec<String>,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            let walk =
                Walk { path: format!("{}[{index}]", self.path), depth: self.depth + 1, problems: &mut *self.problems };
            if items.next_element_seed(walk)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut seen = BTreeSet::new();
        while let Some(name) = members.next_key::<String>()? {
            let path = format!("{}.{name}", self.path);
            if self.depth == OPERATION && !KNOWN.contains(&name.as_str()) {
                self.problems.push(format!("json patch unknown field \"{path}\""));
            } else if !seen.insert(name) {
                self.problems.push(format!("json patch duplicate field \"{path}\""));
            }
            members.next_value_seed(Walk { path, depth: self.depth + 1, problems: &mut *self.problems })?;
        }
        Ok(())
    }
}
