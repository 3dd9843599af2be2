//! The rows of `resources.txt`.

use super::{GroupResource, GroupVersion, GroupVersionKind};

/// What `*` stands for, sorted.
const ALL_VERBS: &str = "create,delete,deletecollection,get,list,patch,update,watch";

/// A resource: where it is served, what its objects are, what can be done with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceInfo {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version, such as `v1`.
    pub version: String,
    /// The resource: lower case, plural.
    pub resource: String,
    /// The kind of its objects.
    pub kind: String,
    /// The kind of its lists; empty if it can't be listed.
    pub list_kind: String,
    /// The name for one object.
    pub singular: String,
    /// Abbreviations that kubectl takes.
    pub short_names: Vec<String>,
    /// Groups of resources that kubectl takes, such as `all`.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// What can be done, sorted.
    pub verbs: Vec<String>,
    /// The subresources, sorted by name.
    pub subresources: Vec<SubresourceInfo>,
}

/// A subresource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubresourceInfo {
    /// The last part of its path, such as `scale`.
    pub name: String,
    /// The API group of what is sent and received.
    pub group: String,
    /// Its version.
    pub version: String,
    /// Its kind.
    pub kind: String,
    /// What can be done, sorted.
    pub verbs: Vec<String>,
}

impl ResourceInfo {
    /// The kind of its objects, in full.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::new(&self.group, &self.version, &self.kind)
    }

    /// The resource with its group.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.resource)
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&SubresourceInfo> {
        self.subresources.iter().find(|it| it.name == name)
    }

    /// Whether that can be done.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|it| it == verb)
    }
}

pub(super) fn parse(text: &str) -> Result<Vec<ResourceInfo>, String> {
    let mut resources: Vec<ResourceInfo> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let fault = || format!("resources.txt: {line:?}");
        if let Some(line) = line.strip_prefix("  ") {
            let resource = resources.last_mut().ok_or_else(fault)?;
            let subresource = subresource(line, resource).ok_or_else(fault)?;
            resource.subresources.push(subresource);
        } else {
            resources.push(resource(line).ok_or_else(fault)?);
        }
    }
    Ok(resources)
}

/// The rows of `gated/resources.txt`, each with its gate.
pub(super) fn parse_gated(text: &'static str) -> Result<Vec<(&'static str, ResourceInfo)>, String> {
    let mut gated = Vec::new();
    for part in text.split("\ngate ").skip(1) {
        let (gate, rows) = part.split_once('\n').ok_or_else(|| format!("gated/resources.txt: {part:?}"))?;
        gated.extend(parse(rows)?.into_iter().map(|info| (gate, info)));
    }
    Ok(gated)
}

fn list(text: &str) -> Vec<String> {
    let text = match text {
        "-" => return Vec::new(),
        "*" => ALL_VERBS,
        text => text,
    };
    text.split(',').map(str::to_owned).collect()
}

fn resource(line: &str) -> Option<ResourceInfo> {
    let words: Vec<&str> = line.split(' ').collect();
    let [group_version, resource, kind, singular, scope, short_names, categories, verbs] = words[..] else {
        return None;
    };
    let GroupVersion { group, version } = GroupVersion::parse(group_version);
    let verbs = list(verbs);
    let can_list = verbs.iter().any(|verb| verb == "list");
    Some(ResourceInfo {
        group,
        version,
        resource: resource.to_owned(),
        kind: kind.to_owned(),
        list_kind: if can_list { format!("{kind}List") } else { String::new() },
        singular: singular.to_owned(),
        short_names: list(short_names),
        categories: list(categories),
        namespaced: scope == "namespaced",
        verbs,
        subresources: Vec::new(),
    })
}

fn subresource(line: &str, of: &ResourceInfo) -> Option<SubresourceInfo> {
    let words: Vec<&str> = line.split(' ').collect();
    let own = GroupVersion::new(&of.group, &of.version);
    let (name, verbs, group_version, kind) = match words[..] {
        [name, verbs] => (name, verbs, own, of.kind.as_str()),
        [name, verbs, kind] => (name, verbs, own, kind),
        [name, verbs, group_version, kind] => (name, verbs, GroupVersion::parse(group_version), kind),
        _ => return None,
    };
    Some(SubresourceInfo {
        name: name.to_owned(),
        group: group_version.group,
        version: group_version.version,
        kind: kind.to_owned(),
        verbs: list(verbs),
    })
}
