//! What Go's types say and the OpenAPI document doesn't: the lines of `go.txt`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// The facts, each kept until it is used, so that one about a field that does not exist is found.
#[derive(Default)]
pub(super) struct Facts {
    /// `(type, field)` to the flags that the field's line gets.
    flags: BTreeMap<(String, String), Vec<String>>,
    used: BTreeSet<(String, String)>,
}

impl Facts {
    /// Reads the file.
    pub(super) fn read() -> Result<Self> {
        let mut facts = Self::default();
        for line in include_str!("go.txt").lines() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.split(' ');
            let (Some(fact), Some(ty)) = (words.next(), words.next()) else {
                anyhow::bail!("go.txt: no type in {line:?}");
            };
            for word in words {
                let (field, flag) = match fact {
                    "pointer" | "always" | "omit" | "null" => (word, fact.to_owned()),
                    "default" | "go" => {
                        let (field, value) = word.split_once('=').with_context(|| format!("go.txt: {line:?}"))?;
                        (field, format!("{fact}={value}"))
                    }
                    _ => anyhow::bail!("go.txt: unknown fact {fact:?}"),
                };
                facts.flags.entry((ty.to_owned(), field.to_owned())).or_default().push(flag);
            }
        }
        Ok(facts)
    }

    /// The flags of a field.
    pub(super) fn of(&mut self, ty: &str, field: &str) -> Vec<String> {
        let key = (ty.to_owned(), field.to_owned());
        let flags = self.flags.get(&key).cloned().unwrap_or_default();
        self.used.insert(key);
        flags
    }

    /// Fails if a fact is about a field that was never asked for.
    pub(super) fn finish(&self) -> Result<()> {
        let unused: Vec<_> = self.flags.keys().filter(|key| !self.used.contains(key)).collect();
        ensure!(unused.is_empty(), "go.txt names fields that don't exist: {unused:?}");
        Ok(())
    }
}
