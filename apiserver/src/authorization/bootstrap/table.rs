//! Reads the table of roles and bindings; its form is described at its head.

use super::{Policy, Role, RoleBinding};
use crate::authorization::rule::PolicyRule;

/// Reads the table.
///
/// # Errors
/// A text with the line that makes no sense.
pub(super) fn parse(table: &'static str) -> Result<Policy, String> {
    let mut policy = Policy::default();
    let lines = table.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    for line in lines {
        let read = || -> Option<()> {
            if line.starts_with(' ') {
                policy.roles.last_mut()?.rules.push(rule(line.trim())?);
                return Some(());
            }
            let (word, rest) = line.split_once(' ')?;
            match word {
                "role" => policy.roles.push(role(rest)?),
                "bind" => policy.bindings.push(binding(rest)?),
                "controller" => {
                    let name = format!("system:controller:{rest}");
                    policy.bindings.push(RoleBinding {
                        namespace: "",
                        role: name.clone(),
                        name: name.clone(),
                        subjects: vec![("ServiceAccount", format!("kube-system/{rest}"))],
                    });
                    let (labels, rules) = (vec![], vec![]);
                    policy.roles.push(Role { namespace: "", name, labels, aggregates: None, rules });
                }
                _ => return None,
            }
            Some(())
        };
        let mut read = read;
        read().ok_or_else(|| line.to_owned())?;
    }
    Ok(policy)
}

fn place(text: &'static str) -> (&'static str, &'static str) {
    text.split_once('/').unwrap_or(("", text))
}

fn role(text: &'static str) -> Option<Role> {
    let mut words = text.split(' ');
    let (namespace, name) = place(words.next()?);
    let mut role = Role { namespace, name: name.to_owned(), labels: vec![], aggregates: None, rules: vec![] };
    for word in words {
        match word.split_once('=')? {
            ("label", to) => role.labels.push(to),
            ("aggregates", from) => role.aggregates = Some(from),
            _ => return None,
        }
    }
    Some(role)
}

fn binding(text: &'static str) -> Option<RoleBinding> {
    let mut words = text.split(' ');
    let (namespace, name) = place(words.next()?);
    let mut binding = RoleBinding { namespace, name: name.to_owned(), role: name.to_owned(), subjects: vec![] };
    for word in words {
        match word.split_once('=') {
            Some(("to", role)) => binding.role = role.to_owned(),
            _ => {
                let (kind, name) = word.split_once(':')?;
                binding.subjects.push((kind, name.to_owned()));
            }
        }
    }
    Some(binding)
}

fn rule(text: &str) -> Option<PolicyRule> {
    let (place, rest) = text.split_once('{')?;
    let (things, rest) = rest.split_once('}')?;
    let (names, abbreviated) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once("]:")?,
        None => ("", rest.strip_prefix(':')?),
    };
    let verbs = verbs(abbreviated)?;
    if place == "URL" {
        return Some(PolicyRule { non_resource_urls: list(things), verbs, ..PolicyRule::default() });
    }
    let groups = place.split(',').map(|group| if group == "-" { "" } else { group }.to_owned());
    let (resources, resource_names) = (list(things), list(names));
    Some(PolicyRule { api_groups: groups.collect(), resources, resource_names, verbs, ..PolicyRule::default() })
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// Sorted, as upstream has them.
fn verbs(abbreviated: &str) -> Option<Vec<String>> {
    let (letters, words) = abbreviated.split_once('+').unwrap_or((abbreviated, ""));
    let verb = |letter| {
        Some(match letter {
            'c' => "create",
            'd' => "delete",
            'D' => "deletecollection",
            'g' => "get",
            'l' => "list",
            'p' => "patch",
            'u' => "update",
            'w' => "watch",
            '*' => "*",
            _ => return None,
        })
    };
    let mut verbs: Vec<String> =
        letters.chars().map(|letter| verb(letter).map(str::to_owned)).collect::<Option<_>>()?;
    verbs.extend(list(words));
    verbs.sort();
    Some(verbs)
}
